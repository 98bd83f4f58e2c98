#include "cli/report_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "cli/page.h"

namespace godwit::cli {

namespace {

constexpr std::size_t samples_shown = 60;
constexpr std::size_t events_shown = 200;
constexpr std::size_t value_bytes_shown = 4000;

struct Line {
  std::string_view member, name;
};
struct Plot {
  std::string_view title, unit;
  std::vector<Line> lines;
};

// By metrics.jsonl's members; those of reinforcement learning first, where there are any.
const std::vector<Plot>& plots() {
  static const std::vector<Plot> list{
      {"Reward", "mean of a completion", {{"reward", "reward"}}},
      {"Answers", "share of completions", {{"accuracy", "right"}, {"well_formed", "well formed"}, {"cut_share", "cut"}}},
      {"Length", "tokens of a completion", {{"thinking_mean", "thinking"}, {"length_mean", "all"}}},
      {"Entropy", "nats per token", {{"entropy", "entropy"}}},
      {"Silent groups", "share, all alike in reward", {{"silent_groups", "silent"}}},
      {"Ratio deviation", "largest |ratio − 1|", {{"ratio_deviation", "training over decoding"}}},
      {"Loss", "nats per token", {{"loss", "training"}, {"validation_loss", "validation"}}},
      {"Loss of the second token", "nats per token", {{"mtp_loss", "multi-token prediction"}}},
      {"Learning rate", "factor of the update", {{"lr", "learning rate"}}},
      {"Gradient norm", "norm before clipping", {{"grad_norm", "norm"}}},
      {"Speed",
       "tokens per second",
       {{"tokens_per_s", "tokens/s"}, {"roll_out_tokens_per_s", "writing"}, {"update_tokens_per_s", "learning"}}},
  };
  return list;
}

std::string value_text(const Json& value) {
  if (value.is_number()) return short_number(value.get<double>());
  return value.is_string() ? value.string() : write_json(value);
}

std::string shown_value(const Json& value) {
  std::string text = value_text(value);
  // Cut in the middle of a character the page shows U+FFFD for what is left of it.
  if (text.size() > value_bytes_shown) text = text.substr(0, value_bytes_shown) + " …";
  return escape_html(text);
}

double number(const Json& object, std::string_view key) {
  const Json* found = object.find(key);
  return found != nullptr && found->is_number() ? found->get<double>() : 0;
}

std::string facts(const RunReport& report) {
  std::string html = "<dl>\n";
  const auto fact = [&](std::string_view name, const std::string& value) {
    html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", name, escape_html(value));
  };
  const Json& s = report.status;
  fact("state", s.value("state", std::string("?")));
  fact("step", fmt::format("{} of {}", short_number(number(s, "step")), short_number(number(s, "steps"))));
  for (const auto& [title, key, step] : {std::tuple{"validation loss", "validation_loss", "validation_step"},
                                         std::tuple{"best validation loss", "best_validation_loss", "best_step"}}) {
    if (s.contains(key)) {
      fact(title, fmt::format("{} nats per token at step {}", short_number(number(s, key)), short_number(number(s, step))));
    }
  }
  const Json* digest = s.find("digest");
  fact("digest", digest != nullptr && digest->is_string() ? digest->string() : "none: no step is committed");
  return html + "</dl>\n";
}

std::string counters(const Json& status) {
  constexpr std::pair<const char*, const char*> shown[] = {{"faults", "faults"},
                                                           {"respawns", "processes begun anew"},
                                                           {"replays", "replays"},
                                                           {"findings", "findings"},
                                                           {"confirmations", "confirmations"},
                                                           {"rollbacks", "roll-backs"},
                                                           {"quarantined", "quarantined"},
                                                           {"skipped", "batches left out"},
                                                           {"checkpoints_refused", "checkpoints refused"},
                                                           {"slow", "slow workers"},
                                                           {"checkpoints_failed", "checkpoints failed"}};
  std::vector<std::string> parts;
  for (const auto& [key, name] : shown) {
    if (status.contains(key)) parts.push_back(fmt::format("{} {}", name, short_number(number(status, key))));
  }
  std::string html = fmt::format("<p>{}.</p>\n", fmt::join(parts, ", "));
  if (status.contains("goodput")) {
    html += fmt::format("<p>Goodput of the last start: {:.1f} % of its time went into steps that count.</p>\n",
                        100 * number(status, "goodput"));
  }
  return html;
}

// A table of one row per object.
std::string table(const std::vector<std::pair<std::string_view, std::string_view>>& columns, const std::vector<Json>& rows) {
  std::string html = "<div class=\"wide\"><table>\n<tr>";
  for (const auto& [key, title] : columns) html += fmt::format("<th>{}</th>", escape_html(title));
  html += "</tr>\n";
  for (const Json& row : rows) {
    html += "<tr>";
    for (const auto& [key, title] : columns) {
      const Json* found = row.find(key);
      const bool is_number = found != nullptr && found->is_number();
      html += fmt::format("<td{}>{}</td>", is_number ? " class=\"number\"" : "", found == nullptr ? "" : shown_value(*found));
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

template <typename T>
std::vector<T> last_of(const std::vector<T>& list, std::size_t count) {
  return std::vector<T>(list.end() - static_cast<std::ptrdiff_t>(std::min(count, list.size())), list.end());
}

std::string how_many(std::size_t shown, std::size_t all) {
  return shown == all ? fmt::format("{}", all) : fmt::format("the last {} of {}", shown, all);
}

std::string guard(const RunReport& report) {
  std::string html = "<h2>What the guard met</h2>\n" + counters(report.status);
  const Json* told = report.status.find("recoveries");
  std::vector<Json> recoveries;
  if (told != nullptr && told->is_array()) recoveries.assign(told->begin(), told->end());
  if (!recoveries.empty()) {
    const auto shown = last_of(recoveries, events_shown);
    html += fmt::format("<h3>Recoveries ({})</h3>\n", how_many(shown.size(), recoveries.size()));
    html += table({{"step", "step"}, {"seconds", "seconds"}, {"fault", "what had happened"}}, shown);
  }
  if (!report.faults.empty()) {
    const auto shown = last_of(report.faults, events_shown);
    html += fmt::format("<details><summary>Faults on purpose ({})</summary>\n<pre>", how_many(shown.size(), report.faults.size()));
    for (const Json& fault : shown) html += escape_html(write_json(fault)) + "\n";
    html += "</pre></details>\n";
  }
  if (!report.events.empty()) {
    const auto shown = last_of(report.events, events_shown);
    html +=
        fmt::format("<details open=\"open\"><summary>Journal and log ({})</summary>\n<pre>", how_many(shown.size(), report.events.size()));
    for (const std::string& event : shown) html += escape_html(event) + "\n";
    html += "</pre></details>\n";
  }
  return html;
}

// As many as the page shows, from the first to the last step.
std::vector<Json> chosen_samples(const std::vector<Json>& samples) {
  if (samples.size() <= samples_shown) return samples;
  std::vector<Json> chosen;
  for (std::size_t i = 0; i < samples_shown; ++i) chosen.push_back(samples[i * (samples.size() - 1) / (samples_shown - 1)]);
  return chosen;
}

std::string heading(const Json& sample) {
  const Json* right = sample.find("right");
  const bool judged = right != nullptr && right->is_boolean();
  return fmt::format("<h3>step {}{}</h3>", short_number(number(sample, "step")), !judged ? "" : right->get<bool>() ? ": right" : ": wrong");
}

std::string answers(const std::vector<Json>& samples) {
  if (samples.empty()) return "";
  const std::vector<Json> shown = chosen_samples(samples);
  std::string html =
      fmt::format("<h2>Answers over time</h2>\n<p class=\"soft\">{} of {} that the run kept.</p>\n", shown.size(), samples.size());
  for (const Json& sample : shown) {
    html += fmt::format("<div class=\"card\">{}<dl>\n", heading(sample));
    for (const auto& [key, value] : sample.items()) {
      if (key == "step" || key == "right") continue;
      html += fmt::format("<dt>{}</dt><dd><pre>{}</pre></dd>\n", escape_html(key), shown_value(value));
    }
    html += "</dl></div>\n";
  }
  return html;
}

}  // namespace

std::vector<Curve> curves_of(const std::vector<Json>& metrics) {
  std::vector<Curve> curves;
  const bool rolls_out = std::ranges::any_of(metrics, [](const Json& each) { return each.contains("reward"); });
  for (const Plot& plot : plots()) {
    Curve curve{.title = std::string(plot.title), .unit = std::string(plot.unit), .series = {}};
    bool any = false;
    for (const Line& line : plot.lines) {
      Series series{std::string(line.name), {}};
      for (const Json& each : metrics) {
        const Json* step = each.find("step");
        const Json* value = each.find(line.member);
        if (step == nullptr || value == nullptr || !step->is_number() || !value->is_number()) continue;
        series.points.push_back({step->get<double>(), value->get<double>()});
      }
      any = any || !series.points.empty();
      curve.series.push_back(std::move(series));
    }
    if (rolls_out && plot.title == "Loss") curve.unit = "surrogate of the reward";
    if (any) curves.push_back(std::move(curve));
  }
  return curves;
}

Result<std::string> report_page(const RunReport& report) {
  std::string html = facts(report);
  html += "<h2>Curves</h2>\n";
  const std::vector<Curve> curves = curves_of(report.metrics);
  if (curves.empty()) html += "<p>No step has left metrics yet.</p>\n";
  html += "<div class=\"grid\">\n";
  for (const Curve& curve : curves) {
    TRY_ASSIGN(const std::string drawn, draw_curve(curve));
    html += drawn;
  }
  html += "</div>\n" + guard(report) + answers(report.samples);
  html += fmt::format("<h2>Config</h2>\n<details><summary>config.toml, as resolved</summary>\n<pre>{}</pre></details>\n",
                      escape_html(report.config));
  for (const std::string& each : report.damaged) html += fmt::format("<p class=\"soft\">{}</p>\n", escape_html(each));
  return html_page(report.name, html);
}

}  // namespace godwit::cli
