#include "bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace godwit::bench {

namespace {

// Ops below this share of the step are one line of the text; the JSON document has them all.
constexpr double op_share_shown = 0.003;

// Columns people see: a code point each.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::string target_text(const Target& target) {
  const std::string number =
      target.of == Target::Of::share ? fmt::format("{:.0f} %", 100 * target.value) : fmt::format("{:g}", target.value);
  return (target.sense == Target::Sense::at_least ? "≥ " : "≤ ") + number;
}

std::string rows_text(std::span<const Row> rows) {
  if (rows.empty()) return {};
  std::vector<std::vector<std::string>> cells = {{"  job", "measured", "unit", "ceiling", "share", "target", ""}};
  for (const Row& row : rows) {
    const auto met = row.met();
    cells.push_back({"  " + row.job, number_text(row.value), row.unit, row.ceiling ? number_text(*row.ceiling) : "",
                     row.share() ? percent(*row.share()) : "", row.target ? target_text(*row.target) + (*met ? " met" : " not met") : "",
                     row.note});
  }
  return table_text(cells, 1);
}

std::string ops_text(const OpTable& table) {
  std::vector<std::vector<std::string>> cells = {{"  op", "shape", "runs", "ms", "of step", "GFLOP/s", "GB/s", "of ceiling"}};
  std::size_t small = 0;
  double small_ms = 0;
  for (const OpRow& row : table.rows) {
    if (row.share_of_step < op_share_shown) {
      ++small;
      small_ms += row.ms;
      continue;
    }
    cells.push_back({"  " + row.op, row.shape, fmt::format("{:.0f}", row.runs), fmt::format("{:.3f}", row.ms), percent(row.share_of_step),
                     number_text(row.flops_per_s / 1e9), number_text(row.bytes_per_s / 1e9), percent(row.share_of_ceiling)});
  }
  if (small > 0) {
    cells.push_back(
        {fmt::format("  {} smaller", small), "", "", fmt::format("{:.3f}", small_ms), percent(small_ms / table.step_ms), "", "", ""});
  }
  const double outside = table.step_ms - table.ops_ms();
  cells.push_back({"  outside ops", "", "", fmt::format("{:.3f}", outside), percent(outside / table.step_ms), "", "", ""});
  return fmt::format("  {}: {:.1f} ms a step\n", table.job, table.step_ms) + table_text(cells, 2);
}

Json json_of(const Row& row) {
  Json json = {{"job", row.job}, {"value", row.value}, {"unit", row.unit}};
  if (row.ceiling) {
    json["ceiling"] = *row.ceiling;
    json["share"] = *row.share();
  }
  if (row.target) {
    json["target"] = {{"of", row.target->of == Target::Of::share ? "share" : "value"},
                      {"sense", row.target->sense == Target::Sense::at_least ? "at_least" : "at_most"},
                      {"value", row.target->value},
                      {"met", *row.met()}};
  }
  if (!row.note.empty()) json["note"] = row.note;
  return json;
}

Json json_of(const OpTable& table) {
  Json rows = Json::array();
  for (const OpRow& row : table.rows) {
    rows.push_back({{"op", row.op},
                    {"shape", row.shape},
                    {"runs", row.runs},
                    {"ms", row.ms},
                    {"share_of_step", row.share_of_step},
                    {"flops_per_s", row.flops_per_s},
                    {"bytes_per_s", row.bytes_per_s},
                    {"share_of_ceiling", row.share_of_ceiling}});
  }
  return {{"job", table.job}, {"step_ms", table.step_ms}, {"outside_ops_ms", table.step_ms - table.ops_ms()}, {"rows", rows}};
}

}  // namespace

std::optional<double> Row::share() const {
  if (!ceiling) return std::nullopt;
  return value / *ceiling;
}

std::optional<bool> Row::met() const {
  if (!target) return std::nullopt;
  CHECK(target->of == Target::Of::value || ceiling, "{} has a target for its share and no ceiling", job);
  const double reached = target->of == Target::Of::share ? *share() : value;
  return target->sense == Target::Sense::at_least ? reached >= target->value : reached <= target->value;
}

double OpTable::ops_ms() const {
  return std::accumulate(rows.begin(), rows.end(), 0.0, [](double sum, const OpRow& row) { return sum + row.ms; });
}

std::string text_of(std::string_view bench, const Report& report) {
  std::string text = fmt::format("{}\n", bench);
  if (report.rows.empty() && report.ops.empty()) text += "  no job in this dtype\n";
  text += rows_text(report.rows);
  for (const OpTable& table : report.ops) text += ops_text(table);
  for (const std::string& note : report.notes) text += fmt::format("  {}\n", note);
  return text;
}

Json json_of(std::string_view bench, const Report& report) {
  Json json = {{"name", bench}, {"rows", Json::array()}};
  for (const Row& row : report.rows) json["rows"].push_back(json_of(row));
  if (!report.ops.empty()) json["ops"] = Json::array();
  for (const OpTable& table : report.ops) json["ops"].push_back(json_of(table));
  if (!report.notes.empty()) json["notes"] = report.notes;
  return json;
}

std::string table_text(std::span<const std::vector<std::string>> rows, std::size_t left) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string blanks(widths[i] - columns(row[i]), ' ');
      line += i < left || i + 1 == widths.size() ? row[i] + blanks : blanks + row[i];
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string number_text(double value) {
  const double size = std::abs(value);
  if (size < 100) return fmt::format("{:.{}f}", value, size < 1 ? 3 : size < 10 ? 2 : 1);
  std::string digits = fmt::format("{:.0f}", value);
  for (std::size_t at = digits.size(); at > 3 && digits[at - 4] != '-'; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

}  // namespace godwit::bench
