// A gradient rule could be wrong in a factor, a sign, a row or a missing term. So every op that has one is differentiated on its own
// examples, in double, and compared with finite differences of its own forward. The list of ops is the room's own: a new op with a
// gradient rule is checked here without being named.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "program/fill.h"
#include "program/program.h"

namespace godwit::program {
namespace {

constexpr std::int64_t elements_max = 4500;  // of an example's inputs and outputs together: larger ones take too long here
constexpr std::int64_t probes_max = 40;      // elements of one input that are compared
constexpr std::uint64_t seeds_max = 30;      // tries to find values at which the op is smooth
constexpr double step = 0x1p-13;             // of the five-point rule, whose error is of the order step⁴ and eps / step
constexpr double tolerance = 1e-6;           // relative, of the vector of probed elements
constexpr double difference_noise = 1e-11;   // of a difference quotient, relative to the terms of L

// A number in (0, 1) that looks random: golden-ratio steps.
double spread(std::uint64_t i) {
  const double x = 0.5 + 0.6180339887498949 * static_cast<double>(i);
  return x - std::floor(x);
}

// One op in a program of its own, all of whose tensors live in memory as doubles (f32) or int32.
class Check64 {
 public:
  Check64(const Op& op, const Example& example, std::uint64_t seed) : op_(op), attributes_(example.attributes), builder_("gradient check") {
    for (std::size_t i = 0; i < example.inputs.size(); ++i) {
      inputs_.push_back(builder_.declare("input" + std::to_string(i), Role::input, example.inputs[i].dtype, example.inputs[i].shape));
    }
    // cross_entropy's rule differentiates through lse, which therefore has to follow the logits.
    if (op.name == "cross_entropy") inputs_[1] = builder_.emit1("log_sum_exp", {inputs_[0]});
    outputs_ = builder_.emit(op.name, inputs_, attributes_);
    forward_count_ = builder_.program().nodes.size();
    emit_gradients();
    fill(seed);
    run(0, forward_count_);
    for (const TensorId id : outputs_) {
      if (builder_.type(id).dtype == Dtype::i32) chosen_.push_back(integers(id));
    }
    choose_cotangents();
    run(forward_count_, builder_.program().nodes.size());
  }

  [[nodiscard]] std::size_t input_count() const { return inputs_.size(); }
  // Not an input of the little program: it follows from another one.
  [[nodiscard]] bool computed(std::size_t input) const { return builder_.program().tensor(inputs_[input]).role != Role::input; }
  [[nodiscard]] bool has_gradient(std::size_t input) const { return gradients_[input] != TensorId::none; }
  [[nodiscard]] TensorType input_type(std::size_t input) const { return builder_.type(inputs_[input]); }
  [[nodiscard]] TensorType gradient_type(std::size_t input) const { return builder_.type(gradients_[input]); }
  [[nodiscard]] double gradient(std::size_t input, std::int64_t element) { return reals(gradients_[input])[element]; }
  // The sum of the magnitudes of L's terms, at the last values run.
  [[nodiscard]] double magnitude() const { return magnitude_; }

  // dL/dx of one element by the five-point rule; nothing if an integer output (a choice) changes on the way.
  std::optional<double> difference(std::size_t input, std::int64_t element) {
    double& x = reals(inputs_[input])[element];
    const double at = x;
    const auto loss_at = [&](double value) {
      x = value;
      run(0, forward_count_);
      return loss();
    };
    const std::array<std::optional<double>, 4> l = {loss_at(at - 2 * step), loss_at(at - step), loss_at(at + step), loss_at(at + 2 * step)};
    x = at;
    if (std::any_of(l.begin(), l.end(), [](const auto& value) { return !value; })) return std::nullopt;
    return (*l[0] - 8 * *l[1] + 8 * *l[2] - *l[3]) / (12 * step);
  }

 private:
  double* reals(TensorId id) { return data_[static_cast<std::size_t>(id)].data(); }
  std::vector<std::int32_t> integers(TensorId id) {
    const auto* first = static_cast<const std::int32_t*>(static_cast<const void*>(reals(id)));
    return {first, first + builder_.type(id).shape.count()};
  }

  void emit_gradients() {
    const std::vector<TensorType> input_types = builder_.program().types(inputs_);
    const std::vector<TensorType> output_types = builder_.program().types(outputs_);
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const bool asked = !op_.loss && output_types[i].dtype == Dtype::f32;
      cotangents_.push_back(asked ? builder_.declare("cotangent" + std::to_string(i), Role::input, Dtype::f32, output_types[i].shape)
                                  : TensorId::none);
    }
    gradients_.assign(inputs_.size(), TensorId::none);
    const Instance instance(op_, input_types, output_types, attributes_);
    Gradient gradient(instance, builder_, inputs_, outputs_, cotangents_, gradients_);
    op_.gradient(gradient);
  }

  // Ordinary values, moved a little so that values the op repeats on purpose (ties) differ.
  void fill(std::uint64_t seed) {
    for (const Tensor& tensor : builder_.program().tensors) data_.emplace_back(static_cast<std::size_t>(tensor.type.shape.count()));
    const std::vector<TensorType> input_types = builder_.program().types(inputs_);
    const std::vector<TensorType> output_types = builder_.program().types(outputs_);
    std::vector<std::vector<float>> narrow;
    std::vector<void*> pointers;
    for (const TensorType& type : input_types) narrow.emplace_back(static_cast<std::size_t>(type.shape.count()));
    for (auto& values : narrow) pointers.push_back(values.data());
    Fill fill(op_, input_types, output_types, attributes_, pointers, Values::ordinary, seed);
    op_.fill != nullptr ? op_.fill(fill) : fill.all_reals();
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      double* wide = reals(inputs_[i]);
      if (input_types[i].dtype == Dtype::i32) {
        std::copy_n(static_cast<const std::int32_t*>(pointers[i]), narrow[i].size(), static_cast<std::int32_t*>(static_cast<void*>(wide)));
        continue;
      }
      for (std::size_t e = 0; e < narrow[i].size(); ++e) wide[e] = narrow[i][e] + 0.03 * spread(e + seed);
    }
  }

  // Arbitrary, but zero on padding rows: nothing that a program computes there reaches a loss.
  void choose_cotangents() {
    std::int64_t rows_used = INT64_MAX;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (op_.inputs[std::min(i, op_.inputs.size() - 1)] == "samples") rows_used = integers(inputs_[i]).back();
    }
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      if (cotangents_[i] == TensorId::none) continue;
      const Shape& shape = builder_.type(cotangents_[i]).shape;
      const std::int64_t row_elements = shape.count() / std::max<std::int64_t>(shape[0], 1);
      for (std::int64_t e = 0; e < shape.count(); ++e) {
        reals(cotangents_[i])[e] = e / row_elements < rows_used ? 2 * spread(static_cast<std::uint64_t>(7 * e) + i) - 0.8 : 0.0;
      }
    }
  }

  // Whether the rule makes use of the gradient that arrives at an output: L holds those outputs.
  [[nodiscard]] bool used(TensorId cotangent) const {
    if (std::find(gradients_.begin(), gradients_.end(), cotangent) != gradients_.end()) return true;
    const auto& nodes = builder_.program().nodes;
    return std::any_of(nodes.begin() + static_cast<std::ptrdiff_t>(forward_count_), nodes.end(),
                       [&](const Node& node) { return std::find(node.inputs.begin(), node.inputs.end(), cotangent) != node.inputs.end(); });
  }

  // L = Σ cotangent·output, or the loss itself.
  std::optional<double> loss() {
    std::size_t choice = 0;
    double sum = 0;
    magnitude_ = 0;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const TensorType& type = builder_.type(outputs_[i]);
      if (type.dtype == Dtype::i32) {
        if (integers(outputs_[i]) != chosen_[choice++]) return std::nullopt;
        continue;
      }
      const bool counts = op_.loss ? op_.outputs[i] == "loss" : used(cotangents_[i]);
      if (!counts) continue;
      for (std::int64_t e = 0; e < type.shape.count(); ++e) {
        const double term = reals(outputs_[i])[e] * (op_.loss ? 1.0 : reals(cotangents_[i])[e]);
        sum += term;
        magnitude_ += std::abs(term);
      }
    }
    return sum;
  }

  void run(std::size_t begin, std::size_t end) {
    const Program& program = builder_.program();
    for (std::size_t i = begin; i < end; ++i) {
      const Node& node = program.nodes[i];
      const auto input_types = program.types(node.inputs);
      const auto output_types = program.types(node.outputs);
      std::vector<const void*> input_data;
      std::vector<void*> output_data;
      for (const TensorId id : node.inputs) input_data.push_back(reals(id));
      for (const TensorId id : node.outputs) output_data.push_back(reals(id));
      node.op->reference64(Memory(*node.op, input_types, output_types, node.attributes, input_data, output_data));
    }
  }

  const Op& op_;
  Attributes attributes_;
  Builder builder_;
  std::vector<TensorId> inputs_, outputs_, cotangents_, gradients_;
  std::size_t forward_count_ = 0;
  std::vector<std::vector<double>> data_;          // by tensor
  std::vector<std::vector<std::int32_t>> chosen_;  // integer outputs of the unmoved forward
  double magnitude_ = 0;
};

// Real inputs that are data: L depends on them, yet nothing asks for their gradient.
bool is_data(const Op& op, std::string_view input) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> known = {
      {{"cross_entropy", "weights"}, {"balance_loss", "weight"}, {"rope", "cos"}, {"rope", "sin"}}};
  return std::find(known.begin(), known.end(), std::pair(op.name, input)) != known.end();
}

bool suits(const Op& op, const Example& example) {
  std::int64_t elements = 0;
  for (const TensorType& type : example.inputs) {
    if (type.dtype == Dtype::bf16) return false;
    elements += type.shape.count();
  }
  std::vector<TensorType> outputs(op.outputs.size());
  Shapes shapes(op, example.inputs, outputs, example.attributes);
  op.shapes(shapes);
  bool real = false;
  for (const TensorType& type : outputs) {
    if (type.dtype == Dtype::bf16) return false;
    real |= type.dtype == Dtype::f32;
    elements += type.shape.count();
  }
  return real && elements <= elements_max;
}

// What a check of one example found.
struct Verdict {
  bool smooth = true;
  std::vector<bool> telling;  // by input: its gradient is far above the noise of differences
  std::string failure;
};

Verdict check(const Op& op, const Example& example, std::uint64_t seed) {
  Check64 check(op, example, seed);
  Verdict verdict;
  verdict.telling.assign(check.input_count(), false);
  for (std::size_t input = 0; input < check.input_count(); ++input) {
    const std::string_view name = op.inputs[std::min(input, op.inputs.size() - 1)];
    if (check.input_type(input).dtype != Dtype::f32 || check.computed(input) || is_data(op, name)) continue;
    const bool stated = check.has_gradient(input);  // else the rule says that it is zero
    if (stated && check.gradient_type(input) != check.input_type(input)) {
      verdict.failure = "its gradient has another type or shape than input " + std::to_string(input);
      return verdict;
    }
    const std::int64_t count = check.input_type(input).shape.count();
    const std::int64_t probes = std::min(count, probes_max);
    double error = 0, size = 0, noise = 0;
    for (std::int64_t p = 0; p < probes; ++p) {
      const std::int64_t element = p * count / probes;
      const std::optional<double> expected = check.difference(input, element);
      if (!expected) {
        verdict.smooth = false;
        return verdict;
      }
      const double actual = stated ? check.gradient(input, element) : 0.0;
      error += (actual - *expected) * (actual - *expected);
      size += *expected * *expected;
      noise += std::pow(difference_noise * check.magnitude(), 2);
    }
    verdict.telling[input] = tolerance * std::sqrt(size) > std::sqrt(noise);
    if (!(std::sqrt(error) <= tolerance * std::sqrt(size) + std::sqrt(noise))) {
      verdict.failure = fmt::format("{}: the gradient is off by {:.3g} of {:.3g}", name, std::sqrt(error), std::sqrt(size));
    }
  }
  return verdict;
}

std::string describe(const Example& example) {
  std::string text;
  for (const TensorType& type : example.inputs) text += " " + type.shape.text();
  return text;
}

TEST(Gradients, EveryRuleAgreesWithDifferencesOfItsForward) {
  std::size_t rules = 0;
  for (const Op* op : all_ops()) {
    if (op->gradient == nullptr) continue;
    SCOPED_TRACE(std::string(op->name));
    ++rules;
    ASSERT_NE(op->examples, nullptr);
    ASSERT_NE(op->reference64, nullptr);
    std::vector<bool> stated, told;
    std::uint64_t examples = 0;
    for (const Example& example : op->examples()) {
      if (!suits(*op, example)) continue;
      const Check64 shape_of_rule(*op, example, 0);
      stated.resize(std::max(stated.size(), shape_of_rule.input_count()));
      told.resize(stated.size());
      for (std::size_t i = 0; i < shape_of_rule.input_count(); ++i) stated[i] = stated[i] || shape_of_rule.has_gradient(i);
      Verdict verdict;
      const std::uint64_t seed = seeds_max * ++examples;
      for (std::uint64_t attempt = 0; attempt < seeds_max; ++attempt) {
        verdict = check(*op, example, seed + attempt);
        if (verdict.smooth) break;
      }
      EXPECT_TRUE(verdict.smooth) << "no values found at which it is smooth, inputs" << describe(example);
      EXPECT_EQ(verdict.failure, "") << "inputs" << describe(example);
      for (std::size_t i = 0; i < verdict.telling.size(); ++i) told[i] = told[i] || (verdict.smooth && verdict.telling[i]);
    }
    EXPECT_NE(std::find(stated.begin(), stated.end(), true), stated.end()) << "the rule states no gradient, or no example is small and f32";
    for (std::size_t i = 0; i < stated.size(); ++i) {
      EXPECT_TRUE(told[i] || !stated[i]) << "input " << i << " could not be checked: its gradient is never above the noise";
    }
  }
  EXPECT_GT(rules, 10u) << "the table of ops is nearly empty";
}

}  // namespace
}  // namespace godwit::program
