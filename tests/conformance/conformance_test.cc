// A backend could give other bits than an op's definition: for some shape, some dtype, some instruction set, some odd value. Or it could
// say it has a kernel and quietly run another.
//
// Every op × every example × ordinary, boundary and non-finite values, through the device room as a program of one op, against the
// canonical reference, bit for bit (NaN as a class). GODWIT_BACKEND names the backend (default cpu), GODWIT_OP one op to try alone; the
// kernels that ran are printed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "device/device.h"
#include "device/standalone.h"
#include "program/difference.h"
#include "program/op_case.h"

namespace godwit {
namespace {

using program::Example;
using program::Op;
using program::OpCase;
using program::TensorId;
using program::Values;

using Bytes = std::vector<std::byte>;

std::string backend_name() {
  const char* name = std::getenv("GODWIT_BACKEND");
  return name == nullptr ? "cpu" : name;
}

std::vector<const Op*> tried_ops() {
  std::vector<const Op*> ops(program::all_ops().begin(), program::all_ops().end());
  if (const char* one = std::getenv("GODWIT_OP"); one != nullptr) std::erase_if(ops, [&](const Op* op) { return op->name != one; });
  return ops;
}

// One instance of an op and what it is to compute.
struct Case {
  const Op& op;
  const Example& example;
  Values values;
  std::uint64_t seed;
  OpCase::Weight weight;
  bool rounded;  // Op::rounds' outputs are bf16

  [[nodiscard]] std::string text() const {
    const char* const from[] = {"input", "state", "rounded state"};
    return fmt::format("{} values {} seed {} weight {}{}", OpCase::of(op, example, weight, rounded).text(), static_cast<int>(values), seed,
                       from[static_cast<int>(weight)], rounded ? " results rounded" : "");
  }
};

class ConformanceBase : public testing::Test {
 protected:
  // Runs the case on the device and compares; returns the name of the kernel.
  static std::string check(device::Device& device, const Case& one, bool verify) {
    const OpCase tried = OpCase::of(one.op, one.example, one.weight, one.rounded);
    const std::vector<program::Brought> brought = tried.fill(one.values, one.seed);
    const std::vector<Bytes> expected = tried.reference(brought);
    const std::string kernel = device.kernel_for(tried.program(), tried.program().nodes.size() - 1);
    EXPECT_FALSE(kernel.empty()) << one.text() << ": no kernel";
    auto prepared = device::Standalone::prepare(device, tried.program());
    EXPECT_TRUE(prepared.ok()) << one.text() << ": " << prepared.error().message;
    if (!prepared.ok()) return kernel;
    EXPECT_TRUE((*prepared)->bring(brought).ok());
    for (int repeat = 0; repeat < 2; ++repeat) {  // what a first run leaves in scratch memory must not reach a second
      const auto run = (*prepared)->run();
      EXPECT_TRUE(run.ok()) << run.error().message;
      for (std::size_t k = 0; k < expected.size(); ++k) {
        const TensorId output = tried.node().outputs[k];
        const program::TensorType& type = tried.program().tensor(output).type;
        Bytes actual(expected[k].size());
        EXPECT_TRUE((*prepared)->read(output, actual).ok());
        const auto difference = program::find_difference(type, expected[k], actual);
        EXPECT_FALSE(difference.has_value()) << one.text() << " kernel " << kernel << ": output " << one.op.outputs[k] << " element "
                                             << difference->element << " of " << type.shape.text() << ": expected "
                                             << difference->expected << ", got " << difference->computed;
      }
      if (!verify) continue;
      const auto evidence = device.evidence();
      EXPECT_TRUE(evidence.ok());
      if (one.values != Values::ordinary) continue;
      for (const device::Finding& finding : evidence->findings) {
        ADD_FAILURE() << one.text() << " kernel " << kernel << ": a finding in row " << finding.row << " of " << finding.tensor << ", "
                      << finding.difference << " against " << finding.bound;
      }
    }
    return kernel;
  }
};

class Conformance : public ConformanceBase, public testing::WithParamInterface<std::string> {
 protected:
  static void run_all(bool verify);
};
using ConformanceOfTheReference = ConformanceBase;

TEST_P(Conformance, EveryOpHasTheReferencesBits) {
  run_all(false);
}

// Checks could change what they check, or doubt a correct result: the same again with them, and no finding where values are ordinary.
TEST_P(Conformance, CheckedResultsHaveTheSameBitsAndNoFindings) {
  run_all(true);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, Conformance, testing::Values("scalar", "avx2", "avx512", "avx512_bf16", "wide", "tiled"),
                         [](const auto& tested) { return tested.param; });

void Conformance::run_all(bool verify) {
  const std::string isa = GetParam();
  auto opened = device::Device::open({.backend = backend_name(), .threads = 2, .isa = isa, .verify = verify, .fallback = false});
  if (!opened.ok() && opened.error().message.find("no instruction set") != std::string::npos) {
    // Forcing what the machine has not must be an error, not another kernel.
    GTEST_SKIP() << isa << ": not on this machine";
  }
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  device::Device& device = **opened;
  ASSERT_FALSE(tried_ops().empty());
  std::map<std::string, std::map<std::string, int>> kernels;
  for (const Op* op : tried_ops()) {
    std::uint64_t seed = 0;
    for (const Example& example : op->examples()) {
      for (const Values values : {Values::ordinary, Values::boundary, Values::non_finite}) {
        ++seed;
        for (const OpCase::Weight weight : OpCase::weights_of(*op, example)) {
          for (const bool rounded : {false, true}) {
            if (rounded && op->rounds.empty()) continue;
            ++kernels[std::string(op->name)][check(device, {*op, example, values, seed, weight, rounded}, verify)];
          }
        }
      }
    }
  }
  std::printf("%s on %s\n", backend_name().c_str(), device.name().c_str());
  for (const auto& [op, names] : kernels) {
    for (const auto& [name, count] : names) std::printf("  %-32s %-28s %d cases\n", op.c_str(), name.c_str(), count);
  }
}

// The backend of the references has them by definition; what could go wrong is what lies around them.
TEST_F(ConformanceOfTheReference, OrdinaryValues) {
  auto opened = device::Device::open({.backend = "reference", .threads = 1, .isa = ""});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  for (const Op* op : tried_ops()) {
    const std::vector<Example> examples = op->examples();
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const std::vector<OpCase::Weight> weights = OpCase::weights_of(*op, examples[i]);
      const bool rounded = !op->rounds.empty() && i % 2 == 1;
      EXPECT_EQ(check(**opened, {*op, examples[i], Values::ordinary, i + 1, weights[i % weights.size()], rounded}, false), "reference");
    }
  }
}

TEST(ConformanceErrors, AForcedInstructionSetThatIsNotThereIsAnError) {
  const auto opened = device::Device::open({.backend = "cpu", .threads = 1, .isa = "sse9"});
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().kind, ErrorKind::input);
  EXPECT_NE(opened.error().message.find("sse9"), std::string::npos);
}

}  // namespace
}  // namespace godwit
