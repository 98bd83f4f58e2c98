// An op of the run could be left out, tried at other shapes than the run's, or with values that bring nothing out.
#include "qualify/trial.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>

#include "model/family.h"

namespace godwit::qualify {
namespace {

using program::Dtype;
using program::Program;
using program::TensorId;
using program::Values;

std::unique_ptr<model::Model> nano() {
  const Json* preset = model::find_family("deepseek_v3", "test").value()->preset("nano");
  return model::model_from_config(*preset, "test").value();
}

std::vector<Program> programs_of(const model::Model& model, Dtype dtype) {
  return {model.training({64, 4, dtype}, {.gradients = true}), model.training({64, 4, dtype}, {.gradients = false})};
}

TEST(OpTrials, EveryNodeHasItsTrial) {
  const auto model = nano();
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const std::vector<Program> programs = programs_of(*model, dtype);
    const std::vector<Trial> trials = op_trials(programs);
    std::int64_t nodes = 0, uses = 0;
    std::set<std::string_view> ops, tried;
    for (const Program& program : programs) {
      nodes += std::ssize(program.nodes);
      for (const program::Node& node : program.nodes) ops.insert(node.op->name);
    }
    for (const Trial& trial : trials) {
      uses += trial.uses;
      tried.insert(trial.op);
      EXPECT_EQ(trial.results.size(), trial.result_names.size());
      EXPECT_GT(trial.result_bytes(), 0) << trial.text;
    }
    EXPECT_EQ(uses, nodes);
    EXPECT_EQ(tried, ops);
    EXPECT_LT(trials.size(), static_cast<std::size_t>(nodes)) << "layers are alike";
  }
}

TEST(OpTrials, ValuesAreOfTheirSizesAndAlwaysTheSame) {
  const auto model = nano();
  for (const Trial& trial : op_trials(programs_of(*model, Dtype::bf16))) {
    for (const Values values : {Values::ordinary, Values::boundary, Values::non_finite}) {
      const auto brought = trial.bring(values, 1), again = trial.bring(values, 1);
      ASSERT_EQ(brought.size(), again.size());
      for (std::size_t i = 0; i < brought.size(); ++i) {
        EXPECT_EQ(std::int64_t(brought[i].bytes.size()), trial.program.tensor(brought[i].tensor).type.bytes()) << trial.text;
        EXPECT_EQ(brought[i].bytes, again[i].bytes) << trial.text;
      }
    }
  }
}

// Among the seeds that are tried: a sample without a row and an expert without one, −0, subnormal numbers, infinities and NaN.
TEST(OpTrials, ValuesAtTheEdgesAreThere) {
  const auto model = nano();
  bool empty_sample = false, empty_expert = false, minus_zero = false, subnormal = false, infinite = false, nan = false;
  for (const Trial& trial : op_trials(programs_of(*model, Dtype::f32))) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      for (const Values values : {Values::boundary, Values::non_finite}) {
        for (const program::Brought& each : trial.bring(values, seed)) {
          const program::Tensor& tensor = trial.program.tensor(each.tensor);
          std::vector<std::uint32_t> words(each.bytes.size() / 4);
          std::memcpy(words.data(), each.bytes.data(), words.size() * 4);
          if (tensor.type.dtype == Dtype::i32 && tensor.type.shape.rank() == 1 && words[0] == 0) {
            for (std::size_t i = 1; i < words.size(); ++i) {
              const bool ascends = std::is_sorted(words.begin(), words.end());
              empty_sample = empty_sample || (trial.op == "attention" && ascends && words[i] == words[i - 1]);
              empty_expert = empty_expert || (trial.op == "grouped_linear" && ascends && words[i] == words[i - 1]);
            }
          }
          if (tensor.type.dtype != Dtype::f32) continue;
          for (const std::uint32_t word : words) {
            minus_zero = minus_zero || word == 0x80000000u;
            subnormal = subnormal || ((word & 0x7F800000u) == 0 && (word & 0x7FFFFFu) != 0);
            infinite = infinite || (word & 0x7FFFFFFFu) == 0x7F800000u;
            nan = nan || (word & 0x7FFFFFFFu) > 0x7F800000u;
          }
        }
      }
    }
  }
  EXPECT_TRUE(empty_sample);
  EXPECT_TRUE(empty_expert);
  EXPECT_TRUE(minus_zero);
  EXPECT_TRUE(subnormal);
  EXPECT_TRUE(infinite);
  EXPECT_TRUE(nan);
}

}  // namespace
}  // namespace godwit::qualify
