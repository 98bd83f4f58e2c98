#include "bench/op_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace godwit::bench {

namespace {

using program::Dtype;
using program::TensorId;
using program::TensorType;

std::string sizes(const program::Shape& shape) {
  std::string text;
  for (int axis = 0; axis < shape.rank(); ++axis) text += fmt::format("{}{}", axis > 0 ? "×" : "", shape[axis]);
  return text.empty() ? "1" : text;
}

// What all nodes of a row have taken and done.
struct Sum {
  std::int64_t runs = 0;
  double seconds = 0;
  double flops = 0;
  double bytes = 0;
  bool bf16 = false;  // its products have bf16 operands
};

}  // namespace

Result<std::vector<TimedProgram>> timed_programs(std::span<const device::Executable* const> executables) {
  std::vector<TimedProgram> timed;
  for (const device::Executable* executable : executables) {
    TRY_ASSIGN(std::vector<device::OpTime> times, executable->op_times());
    std::fill_n(times.begin(), executable->program().refresh_count, device::OpTime{});
    timed.push_back({&executable->program(), std::move(times)});
  }
  return timed;
}

Result<std::vector<TimedProgram>> times_since(std::span<const TimedProgram> before,
                                              std::span<const device::Executable* const> executables) {
  TRY_ASSIGN(std::vector<TimedProgram> timed, timed_programs(executables));
  CHECK(timed.size() == before.size(), "{} programs, {} before the measured steps", timed.size(), before.size());
  for (std::size_t p = 0; p < timed.size(); ++p) {
    for (std::size_t i = 0; i < timed[p].times.size(); ++i) {
      timed[p].times[i].runs -= before[p].times[i].runs;
      timed[p].times[i].nanoseconds -= before[p].times[i].nanoseconds;
    }
  }
  return timed;
}

std::string shape_text(const program::Program& program, const program::Node& node) {
  std::string text, dtype;
  const auto say_dtype = [&](const TensorType& type) {
    const std::string name(dtype_name(type.dtype));
    if (name == dtype) return std::string();
    dtype = name;
    return name + " ";
  };
  std::string last;
  int repeated = 1;
  const auto end_repeat = [&] {
    if (repeated > 1) text += fmt::format(" ({} times)", repeated);
    repeated = 1;
  };
  for (const TensorType& type : program.types(node.inputs)) {
    if (type.dtype == Dtype::i32 || type.shape.count() <= 1) continue;
    const std::string part = say_dtype(type) + sizes(type.shape);
    if (part == last) {
      ++repeated;
      continue;
    }
    end_repeat();
    text += (text.empty() ? "" : ", ") + part;
    last = sizes(type.shape);
  }
  end_repeat();
  if (!node.outputs.empty()) {
    const TensorType& type = program.tensor(node.outputs.front()).type;
    text += (text.empty() ? "→ " : " → ") + say_dtype(type) + sizes(type.shape);
  }
  return text;
}

OpTable group_ops(std::string job, std::span<const TimedProgram> programs, double steps, double step_seconds, const Ceilings& ceilings) {
  std::map<std::pair<std::string, std::string>, Sum> sums;
  for (const TimedProgram& timed : programs) {
    CHECK(timed.times.size() == timed.program->nodes.size(), "{} times of {} nodes", timed.times.size(), timed.program->nodes.size());
    for (std::size_t i = 0; i < timed.times.size(); ++i) {
      const device::OpTime& time = timed.times[i];
      if (time.runs == 0) continue;
      const program::Node& node = timed.program->nodes[i];
      const std::vector<TensorType> inputs = timed.program->types(node.inputs);
      const std::vector<TensorType> outputs = timed.program->types(node.outputs);
      const program::Cost cost = node.op->cost(program::Instance(*node.op, inputs, outputs, node.attributes));
      Sum& sum = sums[{std::string(node.op->name), shape_text(*timed.program, node)}];
      const auto runs = static_cast<double>(time.runs);
      sum.runs += time.runs;
      sum.seconds += static_cast<double>(time.nanoseconds) / 1e9;
      sum.flops += runs * cost.flops;
      sum.bytes += runs * cost.bytes;
      sum.bf16 = std::ranges::any_of(inputs, [](const TensorType& type) { return type.dtype == Dtype::bf16; });
    }
  }
  OpTable table{std::move(job), 1e3 * step_seconds, {}};
  for (const auto& [key, sum] : sums) {
    const double least = std::max(sum.flops / ceilings.flops(sum.bf16), sum.bytes / ceilings.read_bytes);
    table.rows.push_back({.op = key.first,
                          .shape = key.second,
                          .runs = static_cast<double>(sum.runs) / steps,
                          .ms = 1e3 * sum.seconds / steps,
                          .share_of_step = sum.seconds / steps / step_seconds,
                          .flops_per_s = sum.flops / sum.seconds,
                          .bytes_per_s = sum.bytes / sum.seconds,
                          .share_of_ceiling = least / sum.seconds});
  }
  std::ranges::stable_sort(table.rows, std::greater(), &OpRow::ms);
  return table;
}

}  // namespace godwit::bench
