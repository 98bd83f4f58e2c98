// Bars as SVG, drawn by us, lying one below the other. A pure function of the values.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace godwit::cli {

struct Bar {
  std::string name;
  double value = 0;
  std::string text;  // behind it: "0.82 ms"
};

struct Bars {
  std::string title;
  std::string unit;
  std::vector<Bar> bars;
  double mark = 0;  // where a line is drawn across all of them; 0: nowhere
  std::string mark_name;
};

// A <figure>: title, unit, and a bar each, scaled to the largest value or the mark. Values that are not finite, or negative, are an input
// error that names the bar.
[[nodiscard]] Result<std::string> draw_bars(const Bars& bars);

}  // namespace godwit::cli
