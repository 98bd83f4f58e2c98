#include "cli/qualify_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/bars.h"
#include "cli/curve.h"
#include "cli/page.h"

namespace godwit::cli {

namespace {

using qualify::Failure;
using qualify::Qualification;
using qualify::Tried;

constexpr std::size_t failures_shown = 20;
constexpr std::size_t bars_shown = 40;

std::string headline(const Qualification& q) {
  if (q.qualified()) {
    return fmt::format("qualified{}: {} results of {} ops and programs, each bit for bit", q.brief ? " in short" : "", q.compared,
                       q.tried.size());
  }
  return fmt::format("refused: {} failure{}; the first: {}", q.failures.size(), q.failures.size() == 1 ? "" : "s",
                     q.failures.front().text());
}

std::string milliseconds(const std::optional<double>& ms) {
  return ms ? short_number(*ms) : "";
}

// "0.61": how fast the device is in the op, the CPU being 1.
std::string ratio(const Tried& each) {
  if (!each.ms || !each.cpu_ms || *each.ms == 0) return "";
  return fmt::format("{:.2f}", *each.cpu_ms / *each.ms);
}

std::string percent(const std::optional<double>& part) {
  return part ? fmt::format("{:.1f} %", 100 * *part) : "";
}

std::string verdict_of(const Tried& each) {
  if (each.failed) return "FAILED";
  if (each.kernel.empty()) return each.whole ? "not tried" : "fell back";
  return each.compared > 0 ? "right" : "not tried";
}

std::vector<std::pair<std::string, std::string>> facts_of(const Qualification& q) {
  std::vector<std::pair<std::string, std::string>> facts = {
      {"verdict", q.qualified() ? (q.brief ? "qualified (short)" : "qualified") : "refused"},
      {"device", q.device.text()},
      {"opened as", q.device_name},
      {"library", q.device.library.empty() ? "linked" : "SHA-256 " + q.device.library},
      {"run", fmt::format("{}, {} worker{}", q.config, q.workers, q.workers == 1 ? "" : "s")},
      {"programs", "SHA-256 " + q.program},
      {"took", fmt::format("{:.1f} s", q.seconds)},
      {"fell back",
       fmt::format("{} of {} ops", q.fell_back(), std::ranges::count_if(q.tried, [](const Tried& each) { return !each.whole; }))},
  };
  if (q.pairs > 0) facts.emplace_back("two at once", fmt::format("{} pairs, {} runs", q.pairs, q.pair_runs));
  if (q.warm.runs > 0)
    facts.emplace_back("warm", fmt::format("{:.0f} s of work in {:.0f} s, {} runs", q.warm.busy_s, q.warm.seconds, q.warm.runs));
  if (q.ceilings.flops > 0) {
    facts.emplace_back("ceilings", fmt::format("{}: {:.1f} GFLOP/s in f32, {:.1f} in bf16, {:.1f} GB/s", q.ceilings.from,
                                               q.ceilings.flops / 1e9, q.ceilings.bf16_flops / 1e9, q.ceilings.bytes / 1e9));
  }
  if (!q.lie.empty()) facts.emplace_back("made to lie", q.lie);
  return facts;
}

std::string short_name(const Tried& each) {
  constexpr std::size_t most = 30;
  std::string name = each.whole ? each.text : each.op + each.text.substr(std::min(each.op.size(), each.text.size()));
  std::string cut;
  std::size_t characters = 0;
  for (const char c : name) {
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80 && ++characters > most) return cut + "…";
    cut += c;
  }
  return cut;
}

// The ops that take longest, on the device.
std::vector<const Tried*> slowest(const Qualification& q) {
  std::vector<const Tried*> list;
  for (const Tried& each : q.tried) {
    if (each.ms && !each.whole) list.push_back(&each);
  }
  std::ranges::sort(list, [](const Tried* a, const Tried* b) { return *a->ms > *b->ms; });
  list.resize(std::min(list.size(), bars_shown));
  return list;
}

Result<std::string> charts(const Qualification& q) {
  Bars times{.title = "Time of a run", .unit = "ms on the device, the slowest ops", .bars = {}, .mark_name = {}};
  Bars speeds{.title = "Beside the CPU backend", .unit = "speed, the CPU's being 1", .bars = {}, .mark = 1, .mark_name = "the CPU"};
  Bars ceilings{
      .title = "Of the ceiling", .unit = "share of what arithmetic and memory allow", .bars = {}, .mark = 1, .mark_name = "100 %"};
  for (const Tried* each : slowest(q)) {
    times.bars.push_back({short_name(*each), *each->ms, milliseconds(each->ms)});
    if (each->cpu_ms && *each->ms > 0) speeds.bars.push_back({short_name(*each), *each->cpu_ms / *each->ms, ratio(*each)});
    if (each->of_ceiling) ceilings.bars.push_back({short_name(*each), *each->of_ceiling, percent(each->of_ceiling)});
  }
  std::string html = "<h2>Speed</h2>\n<div class=\"grid\">\n";
  for (const Bars* each : {&times, &speeds, &ceilings}) {
    if (each->bars.empty()) continue;
    TRY_ASSIGN(const std::string drawn, draw_bars(*each));
    html += drawn;
  }
  Curve warm{.title = "While it was kept warm", .unit = "speed, each op's best being 1", .x_label = "order", .series = {{"some ops each", {}}}};
  for (std::size_t i = 0; i < q.warm.speed.size(); ++i) warm.series[0].points.push_back({static_cast<double>(i + 1), q.warm.speed[i]});
  if (!q.warm.speed.empty()) {
    TRY_ASSIGN(const std::string drawn, draw_curve(warm));
    html += drawn;
  }
  Bars phases{.title = "Where the time went", .unit = "seconds", .bars = {}, .mark_name = {}};
  for (const auto& each : q.phases) phases.bars.push_back({each.name, each.seconds, fmt::format("{:.1f} s", each.seconds)});
  TRY_ASSIGN(const std::string drawn, draw_bars(phases));
  return html + drawn + "</div>\n";
}

}  // namespace

Result<std::string> qualify_page(const Qualification& q) {
  std::string html = "<dl>\n";
  for (const auto& [name, value] : facts_of(q)) html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_html(name), escape_html(value));
  html += "</dl>\n";
  if (!q.failures.empty()) {
    html += fmt::format("<h2>Failures ({})</h2>\n", q.failures.size());
    for (std::size_t i = 0; i < std::min(q.failures.size(), failures_shown); ++i) {
      const Failure& each = q.failures[i];
      html += fmt::format("<div class=\"card\"><h3>{}: {}</h3><p>{}</p></div>\n", escape_html(each.phase), kind_name(each.kind),
                          escape_html(each.text()));
    }
  }
  TRY_ASSIGN(const std::string drawn, charts(q));
  html += drawn;
  html +=
      "<h2>Every op</h2>\n<div class=\"wide\"><table>\n<tr><th>op</th><th>verdict</th><th>kernel</th><th>held to</th><th>stands for</th>"
      "<th>compared</th><th>ms</th><th>CPU ms</th><th>speed</th><th>of ceiling</th></tr>\n";
  for (const Tried& each : q.tried) {
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td>", escape_html(each.text), verdict_of(each),
                        escape_html(each.kernel.empty() ? "none" : each.kernel), each.held_to);
    for (const std::string& cell : {fmt::format("{}", each.uses), fmt::format("{}", each.compared), milliseconds(each.ms),
                                    milliseconds(each.cpu_ms), ratio(each), percent(each.of_ceiling)}) {
      html += fmt::format("<td class=\"number\">{}</td>", cell);
    }
    html += "</tr>\n";
  }
  html += "</table></div>\n";
  return html_page(fmt::format("{}: {}", q.device.option(), q.qualified() ? "qualified" : "refused"), html);
}

std::string qualify_text(const Qualification& q) {
  std::string text;
  struct Sum {
    int count = 0, failed = 0;
    double ms = 0, cpu_ms = 0;
    std::map<std::string, int> kernels;
  };
  std::map<std::string, Sum> ops;
  for (const Tried& each : q.tried) {
    Sum& sum = ops[each.whole ? "program " + each.op : each.op];
    ++sum.count;
    sum.failed += each.failed;
    sum.ms += each.ms.value_or(0);
    sum.cpu_ms += each.cpu_ms.value_or(0);
    ++sum.kernels[each.kernel.empty() ? (each.whole ? "not tried" : "none, falls back") : each.kernel];
  }
  text += fmt::format("{:<32} {:>6} {:>7} {:>11} {:>11} {:>7}  {}\n", "op", "tried", "failed", "ms in all", "CPU ms", "speed", "kernels");
  for (const auto& [op, sum] : ops) {
    std::string kernels;
    for (const auto& [name, count] : sum.kernels) kernels += (kernels.empty() ? "" : ", ") + name;
    const std::string speed = sum.ms > 0 ? fmt::format("{:.2f}", sum.cpu_ms / sum.ms) : "";
    text +=
        fmt::format("{:<32} {:>6} {:>7} {:>11.3f} {:>11.3f} {:>7}  {}\n", op, sum.count, sum.failed, sum.ms, sum.cpu_ms, speed, kernels);
  }
  text += "\n";
  for (const auto& [name, value] : facts_of(q)) text += fmt::format("{:<12} {}\n", name, value);
  for (std::size_t i = 0; i < std::min(q.failures.size(), failures_shown); ++i) {
    text += fmt::format("{:<12} {}\n", kind_name(q.failures[i].kind), q.failures[i].text());
  }
  return text + "\n" + headline(q) + "\n";
}

}  // namespace godwit::cli
