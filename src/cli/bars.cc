#include "cli/bars.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/curve.h"

namespace godwit::cli {

namespace {

// In the drawing's own units.
constexpr double width = 420, line = 18, left = 190, right = 74, top = 8, bottom = 22;

std::string label(double x, double y, std::string_view anchor, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, escape_html(text));
}

}  // namespace

Result<std::string> draw_bars(const Bars& bars) {
  double most = bars.mark;
  for (const Bar& bar : bars.bars) {
    if (!std::isfinite(bar.value) || bar.value < 0) {
      return input_error("the bars '{}': {} is {}; only finite values from 0 on can be drawn", bars.title, bar.name, bar.value);
    }
    most = std::max(most, bar.value);
  }
  const auto place = [&](double value) { return left + (most == 0 ? 0 : value / most) * (width - left - right); };
  const double height = top + line * static_cast<double>(bars.bars.size()) + bottom;
  std::string html = fmt::format("<figure>\n<figcaption><h3>{}</h3><span class=\"soft\">{}</span></figcaption>\n", escape_html(bars.title),
                                 escape_html(bars.unit));
  if (bars.bars.empty()) return html + "<p>Nothing was measured.</p>\n</figure>\n";
  html += fmt::format("<svg viewBox=\"0 0 {} {:.0f}\" role=\"img\" aria-label=\"{}\">\n", width, height, escape_html(bars.title));
  double y = top;
  for (const Bar& bar : bars.bars) {
    html += label(left - 6, y + 0.7 * line, "end", bar.name);
    html += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\" fill=\"var(--series-0)\"/>\n", left, y + 3,
                        place(bar.value) - left, line - 6);
    html += label(place(bar.value) + 4, y + 0.7 * line, "start", bar.text);
    y += line;
  }
  if (bars.mark > 0) {
    html += fmt::format("<path class=\"grid\" d=\"M{0:.1f} {1:.1f}V{2:.1f}\"/>\n", place(bars.mark), top, y);
    html += label(place(bars.mark), y + 14, "middle", bars.mark_name);
  }
  return html + "</svg>\n</figure>\n";
}

}  // namespace godwit::cli
