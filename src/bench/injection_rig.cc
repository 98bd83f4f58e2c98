#include "bench/injection_rig.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/clock.h"
#include "base/random.h"

namespace godwit::bench {

using program::Dtype;
using program::Role;
using program::TensorId;
using program::TensorType;

std::string_view spoil_kind_name(int kind) {
  constexpr std::array<std::string_view, spoil_kinds> names = {"bit",  "bits", "lane",   "stripe", "stale",
                                                               "swap", "zero", "expert", "missing"};
  return names[static_cast<std::size_t>(kind)];
}

std::vector<std::string_view> spoilt_ops() {
  // A cache holds what many ops wrote; the products over it are those of attention.
  constexpr std::array<std::string_view, 2> left_out = {"cache_write", "attention_cached"};
  std::vector<std::string_view> names;
  for (const program::Op* op : program::all_ops()) {
    if (std::ranges::find(left_out, op->name) == left_out.end()) names.push_back(op->name);
  }
  return names;
}

Result<std::unique_ptr<InjectionCase>> InjectionCase::prepare(device::Device& device, const program::Op& op,
                                                              const program::Example& example, Weight weight, bool rounded) {
  std::unique_ptr<InjectionCase> made(new InjectionCase);
  made->device_ = &device;
  made->op_ = &op;
  made->example_ = example;
  made->text_ = op.name;
  for (const TensorType& type : example.inputs) made->text_ += " " + std::string(dtype_name(type.dtype)) + type.shape.text();
  made->text_ += weight == Weight::state ? " weight packed" : "";
  made->text_ += rounded ? " rounded" : "";
  made->output_types_.resize(op.outputs.size());
  program::Shapes shapes(op, example.inputs, made->output_types_, example.attributes);
  op.shapes(shapes);
  if (rounded) made->output_types_[0].dtype = Dtype::bf16;
  program::Builder builder("injection");
  for (std::size_t i = 0; i < example.inputs.size(); ++i) {
    const Role role = i == 1 && weight == Weight::state ? Role::state : Role::input;
    made->written_.push_back(builder.declare(fmt::format("in{}", i), role, example.inputs[i].dtype, example.inputs[i].shape));
  }
  made->outputs_ = builder.emit(op.name, made->written_, example.attributes);
  for (std::size_t k = 0; k < made->outputs_.size(); ++k) builder.output(made->outputs_[k], fmt::format("out{}", k));
  program::Program program = std::move(builder).finish();
  if (rounded) program.tensor(made->outputs_[0]).type.dtype = Dtype::bf16;
  TRY_ASSIGN(device::Executable executable, device.prepare(std::move(program)));
  made->executable_ = std::make_unique<device::Executable>(std::move(executable));
  if (weight == Weight::state) {
    TRY_ASSIGN(device::Buffer buffer, device.allocate(example.inputs[1].bytes()));
    made->executable_->bind(made->written_[1], buffer);
    made->states_.push_back(std::move(buffer));
  }
  TRY(made->fill(0));
  return made;
}

Result<void> InjectionCase::fill(std::uint64_t seed) {
  std::vector<std::vector<std::byte>> bytes;
  std::vector<void*> data;
  for (const TensorType& type : example_.inputs) bytes.emplace_back(static_cast<std::size_t>(type.bytes()));
  for (auto& each : bytes) data.push_back(each.data());
  program::Fill fill(*op_, example_.inputs, output_types_, example_.attributes, data, program::Values::ordinary, seed);
  op_->fill != nullptr ? op_->fill(fill) : fill.all_reals();
  for (std::size_t i = 0; i < bytes.size(); ++i) TRY(executable_->write(written_[i], std::span<const std::byte>(bytes[i])));
  TRY(device_->verify_key(seed * 2 + 1, ~seed));
  return executable_->refresh();
}

Result<void> InjectionCase::clobber(std::uint64_t seed) {
  const RandomStream random(seed, Purpose::test, 1);
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(output_types_[k].bytes()));
    std::uint64_t at = 0;
    if (output_types_[k].dtype == Dtype::f32) {
      for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {
        const float x = 4 * random.f32(at++) - 2;
        std::memcpy(bytes.data() + i, &x, 4);
      }
    }
    TRY(executable_->write(outputs_[k], std::span<const std::byte>(bytes)));
  }
  return {};
}

Result<InjectionCase::Outcome> InjectionCase::run(const godwit_spoil* spoil) {
  Outcome outcome;
  if (spoil != nullptr) {
    godwit_spoil named = *spoil;
    if (named.op == nullptr) named.op = op_->name.data();
    TRY(device_->spoil(named, [&](const godwit_spoilt& spoilt) {
      outcome.injected = true;
      outcome.spoilt = spoilt;
    }));
  }
  const Result<void> ran = executable_->run();
  if (spoil != nullptr) device_->spoil_no_longer();
  TRY(ran);
  const double change = std::fabs(outcome.spoilt.after - outcome.spoilt.before);
  outcome.harmful = outcome.injected && !(change <= harmful_part * outcome.spoilt.row_rms + harmless);
  TRY_ASSIGN(const device::Device::Evidence evidence, device_->evidence());
  outcome.findings = evidence.count;
  if (!evidence.findings.empty()) outcome.first = evidence.findings.front();
  return outcome;
}

Result<double> InjectionCase::time() {
  const double begin = monotonic_seconds();
  TRY(executable_->run());
  return monotonic_seconds() - begin;
}

Result<double> InjectionCase::time_refresh() {
  const double begin = monotonic_seconds();
  TRY(executable_->refresh());
  return monotonic_seconds() - begin;
}

Result<std::vector<std::unique_ptr<InjectionCase>>> injection_cases(device::Device& device, std::string_view dtype, double flops_most) {
  std::vector<std::unique_ptr<InjectionCase>> cases;
  for (const std::string_view name : spoilt_ops()) {
    const program::Op& op = *program::find_op(name);
    std::vector<program::Example> examples = op.examples();
    // The ops' own examples are small: tiles with neighbours, several panels and blocks of rows.
    for (const Dtype type : {Dtype::f32, Dtype::bf16}) {
      if (name == "linear" || name == "linear_backward_input")
        examples.push_back({{{type, {203, 190}}, {type, name == "linear" ? program::Shape{170, 190} : program::Shape{190, 170}}}, {}});
      if (name == "linear") examples.back().inputs.push_back({Dtype::i32, {3}});
      if (name == "linear_backward_weight") examples.push_back({{{type, {203, 190}}, {type, {203, 170}}, {Dtype::i32, {3}}}, {}});
      if (name == "grouped_linear") examples.push_back({{{type, {210, 150}}, {type, {4, 130, 150}}, {Dtype::i32, {9}}}, {}});
    }
    for (const program::Example& example : examples) {
      const Dtype operands = example.inputs[0].dtype;
      if (!dtype.empty() && operands != Dtype::i32 && dtype_name(operands) != dtype) continue;
      std::vector<TensorType> outputs(op.outputs.size());
      program::Shapes shapes(op, example.inputs, outputs, example.attributes);
      op.shapes(shapes);
      const bool empty = std::ranges::any_of(outputs, [](const TensorType& type) { return type.shape.count() == 0; });
      if (empty || op.cost(program::Instance(op, example.inputs, outputs, example.attributes)).flops > flops_most) continue;
      const bool weighted = op.inputs.size() > 1 && op.inputs[1] == "w";
      for (const bool rounded : {false, true}) {
        if (rounded && op.rounds.empty()) continue;
        for (const auto weight : {InjectionCase::Weight::input, InjectionCase::Weight::state}) {
          if (weight == InjectionCase::Weight::state && !weighted) continue;
          TRY_ASSIGN(auto made, InjectionCase::prepare(device, op, example, weight, rounded));
          cases.push_back(std::move(made));
        }
      }
    }
  }
  return cases;
}

}  // namespace godwit::bench
