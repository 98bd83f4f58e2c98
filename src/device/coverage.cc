#include "device/coverage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "device/fallback.h"

namespace godwit::device {

namespace {

double percent(double part, double whole) {
  return whole > 0 ? 100 * part / whole : 0;
}

std::string counted(const std::map<std::string, std::int64_t>& names) {
  std::vector<std::string> list;
  for (const auto& [name, count] : names) list.push_back(fmt::format("{} {}", name, count));
  return fmt::format("{}", fmt::join(list, ", "));
}

// A program of one op.
program::Program alone(const program::Op& op, const program::Example& example) {
  using program::Role;
  program::Builder builder{std::string(op.name)};
  std::vector<program::TensorId> inputs, updated;
  for (std::size_t i = 0; i < example.inputs.size(); ++i)
    inputs.push_back(builder.declare(fmt::format("in {}", i), Role::input, example.inputs[i].dtype, example.inputs[i].shape));
  std::vector<program::TensorType> outputs(op.outputs.size());
  program::Shapes shapes(op, example.inputs, outputs, example.attributes);
  op.shapes(shapes);
  for (const std::string_view name : op.updates) {
    const program::TensorType& type = outputs[shapes.output_index(name)];
    updated.push_back(builder.declare(std::string(name), Role::state, type.dtype, type.shape));
  }
  builder.emit(op.name, inputs, example.attributes, updated);
  return std::move(builder).finish();
}

}  // namespace

void Coverage::add(Device& device, const program::Program& program) {
  const std::vector<std::string> kernels = device.kernels(program);
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    const program::Node& node = program.nodes[i];
    const std::vector<program::TensorType> inputs = program.types(node.inputs), outputs = program.types(node.outputs);
    const double cost = i < program.refresh_count ? 0 : node.op->cost(program::Instance(*node.op, inputs, outputs, node.attributes)).flops;
    ++ops;
    flops += cost;
    if (kernels[i].starts_with(device::by_parts)) ++by_parts[std::string(node.op->name)];
    if (!kernels[i].starts_with(device::by_cpu)) continue;
    ++by_cpu[std::string(node.op->name)];
    ++ops_elsewhere;
    flops_elsewhere += cost;
  }
}

std::string Coverage::text() const {
  const std::string parts = by_parts.empty() ? "" : fmt::format("; some by their parts: {}", counted(by_parts));
  if (ops_elsewhere == 0) return fmt::format("all {} ops{}", ops, parts);
  return fmt::format("{} of {} ops ({:.1f} %), {:.1f} % of the FLOPs{}; the CPU does the others: {}", ops - ops_elsewhere, ops,
                     percent(static_cast<double>(ops - ops_elsewhere), static_cast<double>(ops)), percent(flops - flops_elsewhere, flops),
                     parts, counted(by_cpu));
}

std::vector<OpCoverage> cover_all_ops(Device& device) {
  std::vector<OpCoverage> all;
  for (const program::Op* op : program::all_ops()) {
    OpCoverage& covered = all.emplace_back(OpCoverage{std::string(op->name), 0, 0, 0});
    for (const program::Example& example : op->examples()) {
      const std::string kernel = device.kernel_for(alone(*op, example), 0);
      ++covered.examples;
      covered.by_parts += kernel.starts_with(by_parts) ? 1 : 0;
      covered.own += !kernel.empty() && !kernel.starts_with(by_parts) && !kernel.starts_with(by_cpu) ? 1 : 0;
    }
  }
  return all;
}

}  // namespace godwit::device
