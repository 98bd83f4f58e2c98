// What benches find out, as plain data: the table for people and the JSON document are both made of it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace godwit::bench {

// What a row is meant to reach.
struct Target {
  enum class Of : std::uint8_t { share, value } of = Of::share;
  enum class Sense : std::uint8_t { at_least, at_most } sense = Sense::at_least;
  double value = 0;  // of a share: 0.65
};

struct Row {
  std::string job;  // "dense30 bf16"
  double value = 0;
  std::string unit;
  std::optional<double> ceiling;  // the most the machine could give, in the same unit
  std::optional<Target> target;
  std::string note;  // what the ceiling is made of, how the value was measured

  [[nodiscard]] std::optional<double> share() const;  // of the ceiling
  [[nodiscard]] std::optional<bool> met() const;      // the target
};

// All nodes of one op and shape in the programs of a job.
struct OpRow {
  std::string op;
  std::string shape;
  double runs = 0;              // per step
  double ms = 0;                // per step
  double share_of_step = 0;     // of the step's wall time
  double flops_per_s = 0;       // by Op::cost
  double bytes_per_s = 0;       // by Op::cost
  double share_of_ceiling = 0;  // max(FLOPs / peak, bytes / read bandwidth) over the time taken; above 1: its data were in the cache
};

struct OpTable {
  std::string job;
  double step_ms = 0;
  std::vector<OpRow> rows;  // the longest first

  [[nodiscard]] double ops_ms() const;
};

struct Report {
  std::vector<Row> rows;
  std::vector<OpTable> ops;
  std::vector<std::string> notes;  // formulas, and what a reader must know
};

[[nodiscard]] std::string text_of(std::string_view bench, const Report& report);
[[nodiscard]] Json json_of(std::string_view bench, const Report& report);

// Columns as wide as their widest cell, two blanks between them; the first `left` columns and the last one are set to the left, the others
// to the right. No blanks at the end of a line.
[[nodiscard]] std::string table_text(std::span<const std::vector<std::string>> rows, std::size_t left);
// Three significant digits and more where the number has them before the point: "0.812", "23.4", "1,364".
[[nodiscard]] std::string number_text(double value);

}  // namespace godwit::bench
