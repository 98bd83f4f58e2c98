// Curves as SVG, drawn by us: pages with them need no scripts and nothing from the network. A pure function of the points.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace godwit::cli {

struct Point {
  double x = 0, y = 0;
};

struct Series {
  std::string name;           // in the legend
  std::vector<Point> points;  // x ascending
};

struct Curve {
  std::string title;
  std::string unit;  // along y: "nats per token"
  std::string x_label = "step";
  std::vector<Series> series;
};

// A <figure>: title, legend with every series' last value, and the drawing. Colours are the page's CSS variables --series-0, --series-1 …,
// --grid and --text. A curve of no points says so; one of one is a dot. A value that is not finite is an input error that names the curve,
// the series and the place.
[[nodiscard]] Result<std::string> draw_curve(const Curve& curve);

// At most four points a column: the first, the lowest, the highest and the last of each. What stands out stays.
[[nodiscard]] std::vector<Point> thin_out(const std::vector<Point>& points, int columns);

// Round numbers 1, 2 or 5 times a power of ten apart that reach around low … high: from 3 to 8 of them.
[[nodiscard]] std::vector<double> ticks(double low, double high);

// "12,400", "0.0031", "1.2e-7": for people, four figures.
[[nodiscard]] std::string short_number(double value);

// Text between tags or in a quoted attribute. What no page may hold (control characters, bytes that are no UTF-8) becomes U+FFFD.
[[nodiscard]] std::string escape_html(std::string_view text);

}  // namespace godwit::cli
