#include "cli/curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/utf8.h"

namespace godwit::cli {

namespace {

// In the drawing's own units. Small enough that the letters can still be read where a phone shrinks it.
constexpr double width = 420, height = 230;
constexpr double left = 78, right = 12, top = 10, bottom = 42;
constexpr int columns = 300;

struct Range {
  double low = 0, high = 0;
};

// Of one coordinate over all series; wider than nothing.
Range range_of(const Curve& curve, double Point::*coordinate) {
  Range range{INFINITY, -INFINITY};
  for (const Series& series : curve.series) {
    for (const Point& point : series.points) {
      range.low = std::min(range.low, point.*coordinate);
      range.high = std::max(range.high, point.*coordinate);
    }
  }
  if (range.low < range.high) return range;
  const double pad = range.low == 0 ? 1 : std::fabs(range.low) / 10;
  return {range.low - pad, range.high + pad};
}

Result<void> check_finite(const Curve& curve) {
  for (const Series& series : curve.series) {
    for (const Point& point : series.points) {
      if (std::isfinite(point.x) && std::isfinite(point.y)) continue;
      return input_error("the curve '{}': {} is {} at {} {}; only finite values can be drawn", curve.title, series.name, point.y,
                         curve.x_label, point.x);
    }
  }
  return {};
}

std::string legend(const Curve& curve) {
  std::string html;
  for (std::size_t i = 0; i < curve.series.size(); ++i) {
    const Series& series = curve.series[i];
    if (series.points.empty()) continue;
    html += fmt::format("<span class=\"key\"><i style=\"background:var(--series-{})\"></i>{} <b>{}</b> at {} {}</span>\n", i,
                        escape_html(series.name), short_number(series.points.back().y), escape_html(curve.x_label),
                        short_number(series.points.back().x));
  }
  return html;
}

std::string label(double x, double y, std::string_view anchor, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, escape_html(text));
}

class Drawing {
 public:
  explicit Drawing(const Curve& curve) : curve_(curve), x_(range_of(curve, &Point::x)), y_ticks_(make_ticks(range_of(curve, &Point::y))) {}

  std::string svg() const {
    std::string svg = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", width, height, escape_html(curve_.title));
    for (const double tick : y_ticks_) {
      svg += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", left, y(tick), width - right);
      svg += label(left - 6, y(tick) + 4, "end", short_number(tick));
    }
    for (const double tick : ticks(x_.low, x_.high)) {
      if (tick < x_.low || tick > x_.high || tick != std::floor(tick)) continue;  // steps are whole, and no curve is beside its frame
      svg += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}v4\"/>\n", x(tick), height - bottom);
      svg += label(x(tick), height - bottom + 17, "middle", short_number(tick));
    }
    svg += label((left + width - right) / 2, height - 6, "middle", curve_.x_label);
    svg += fmt::format("<text transform=\"translate(13 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                       (top + height - bottom) / 2, escape_html(curve_.unit));
    for (std::size_t i = 0; i < curve_.series.size(); ++i) svg += line(curve_.series[i], i);
    return svg + "</svg>\n";
  }

 private:
  static std::vector<double> make_ticks(Range range) { return ticks(range.low, range.high); }

  double x(double value) const { return left + (value - x_.low) / (x_.high - x_.low) * (width - left - right); }
  double y(double value) const {
    const double low = y_ticks_.front(), high = y_ticks_.back();
    return height - bottom - (value - low) / (high - low) * (height - top - bottom);
  }

  std::string line(const Series& series, std::size_t index) const {
    if (series.points.empty()) return "";
    std::string svg;
    if (series.points.size() > 1) {
      svg += fmt::format("<polyline style=\"stroke:var(--series-{})\" points=\"", index);
      for (const Point& point : thin_out(series.points, columns)) svg += fmt::format("{:.1f},{:.1f} ", x(point.x), y(point.y));
      svg.back() = '"';
      svg += "/>\n";
    }
    const Point& last = series.points.back();
    return svg +
           fmt::format("<circle style=\"fill:var(--series-{})\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>\n", index, x(last.x), y(last.y));
  }

  const Curve& curve_;
  Range x_;
  std::vector<double> y_ticks_;
};

}  // namespace

std::vector<Point> thin_out(const std::vector<Point>& points, int columns_wanted) {
  const auto most = static_cast<std::size_t>(columns_wanted);
  if (points.size() <= 4 * most) return points;
  std::vector<Point> kept;
  for (std::size_t column = 0; column < most; ++column) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(column * points.size() / most);
    const auto end = points.begin() + static_cast<std::ptrdiff_t>((column + 1) * points.size() / most);
    const auto [low, high] = std::minmax_element(begin, end, [](const Point& a, const Point& b) { return a.y < b.y; });
    std::vector chosen{begin, low, high, end - 1};
    std::ranges::sort(chosen);
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    for (const auto each : chosen) kept.push_back(*each);
  }
  return kept;
}

std::vector<double> ticks(double low, double high) {
  const double span = high - low;
  const double power = std::pow(10.0, std::floor(std::log10(span / 4)));
  const double rough = span / 4 / power;
  const double step = (rough < 1.5 ? 1 : rough < 3 ? 2 : rough < 7 ? 5 : 10) * power;
  std::vector<double> list;
  // A value a rounding error beyond a tick needs no further one.
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  for (double i = first; i <= last; ++i) list.push_back(i * step);
  return list;
}

std::string short_number(double value) {
  const double size = std::fabs(value);
  if (size != 0 && (size < 1e-4 || size >= 1e7)) return fmt::format("{:.3g}", value);
  if (size < 1000) return fmt::format("{:.4g}", value);
  std::string text = fmt::format("{:.0f}", value);
  const std::size_t digits = text.size();
  for (std::size_t at = 3; at < digits - (value < 0); at += 3) text.insert(digits - at, 1, ',');
  return text;
}

std::string escape_html(std::string_view text) {
  std::string html;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = text::character_length(text, at);
    const auto byte = static_cast<unsigned char>(text[at]);
    if (length == 0 || (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F) {
      html += "\uFFFD";
    } else if (byte == '&') {
      html += "&amp;";
    } else if (byte == '<') {
      html += "&lt;";
    } else if (byte == '>') {
      html += "&gt;";
    } else if (byte == '"') {
      html += "&quot;";
    } else {
      html += text.substr(at, length);
    }
    at += std::max<std::size_t>(length, 1);
  }
  return html;
}

Result<std::string> draw_curve(const Curve& curve) {
  TRY(check_finite(curve));
  const bool empty = std::ranges::all_of(curve.series, [](const Series& series) { return series.points.empty(); });
  return fmt::format("<figure>\n<figcaption><h3>{}</h3>\n{}</figcaption>\n{}</figure>\n", escape_html(curve.title), legend(curve),
                     empty ? "<p>There are no values yet.</p>\n" : Drawing(curve).svg());
}

}  // namespace godwit::cli
