// A spoilt result could go unnoticed, or a right one be doubted: for some kind of fault, some op, some dtype, some instruction set.
//
// Every kind × every op × both dtypes, a few strikes each over the ops' own examples (ragged, tails, grouped, beyond a segment). The
// hundred thousand are `godwit bench injections`.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/random.h"
#include "bench/injection_rig.h"

namespace godwit::bench {
namespace {

constexpr int strikes_each = 6;

godwit_spoil spoil_of(int kind, std::uint64_t seed) {
  godwit_spoil spoil{};
  spoil.struct_size = sizeof spoil;
  spoil.kind = static_cast<godwit_spoil_kind>(kind);
  spoil.op_index = -1;
  spoil.bit = -1;
  spoil.rate = 1;
  spoil.count = 1;
  spoil.seed = seed;
  return spoil;
}

// Ops whose first result of numbers is one row, or one number.
bool one_row(std::string_view op) {
  return std::ranges::count(std::array<std::string_view, 7>{"sum_of_squares", "global_norm", "cross_entropy", "log_sum_exp", "balance_loss",
                                                            "router_bias_update", "rms_norm_weight_backward"},
                            op) > 0;
}

class Injections : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto opened = device::Device::open({.backend = "cpu", .threads = 2, .isa = GetParam(), .verify = true});
    if (!opened.ok()) GTEST_SKIP() << opened.error().message;
    device_ = std::move(opened).value();
  }
  std::unique_ptr<device::Device> device_;
};

TEST_P(Injections, EveryHarmfulStrikeIsFoundAndNothingElse) {
  for (const char* dtype : {"f32", "bf16"}) {
    auto cases = injection_cases(*device_, dtype, 1e6);
    ASSERT_TRUE(cases.ok()) << cases.error().message;
    std::set<std::pair<std::string_view, int>> struck;  // what was harmed at least once
    std::uint64_t seed = 1;
    for (const auto& one : *cases) {
      for (int kind = 0; kind < spoil_kinds; ++kind) {
        for (int i = 0; i < strikes_each; ++i, ++seed) {
          ASSERT_TRUE(one->fill(seed).ok());
          ASSERT_TRUE(one->clobber(seed).ok());
          const godwit_spoil spoil = spoil_of(kind, seed);
          const auto outcome = one->run(&spoil);
          ASSERT_TRUE(outcome.ok()) << outcome.error().message;
          const std::string what = fmt::format("{} {} seed {}: row {} column {}: {} became {}, row rms {}", one->text(),
                                               spoil_kind_name(kind), seed, outcome->spoilt.row, outcome->spoilt.column,
                                               outcome->spoilt.before, outcome->spoilt.after, outcome->spoilt.row_rms);
          if (outcome->harmful) {
            EXPECT_GT(outcome->findings, 0) << what;
            struck.emplace(one->op(), kind);
          }
          EXPECT_TRUE(outcome->injected || outcome->findings == 0) << what;
          const auto clean = one->run(nullptr);
          ASSERT_TRUE(clean.ok());
          EXPECT_EQ(clean->findings, 0) << "after " << what;
        }
      }
    }
    for (const std::string_view op : spoilt_ops()) {
      if (std::ranges::none_of(*cases, [&](const auto& one) { return one->op() == op; })) continue;  // none of this dtype
      for (int kind = 0; kind < spoil_kinds; ++kind) {
        if (op == "add" && std::string_view(dtype) == "bf16") continue;  // of integers only
        const bool integers = op == "router" || op == "dispatch_plan";
        if (integers && (kind > GODWIT_SPOIL_BITS || std::string_view(dtype) == "bf16")) continue;
        const bool groups = op.starts_with("grouped") || op.starts_with("absorb");
        if (kind == GODWIT_SPOIL_EXPERT && !groups) continue;
        if (kind == GODWIT_SPOIL_STALE) continue;  // small examples have few tiles with one before them
        if (kind == GODWIT_SPOIL_SWAP && one_row(op)) continue;
        EXPECT_TRUE(struck.contains({op, kind})) << dtype << ": no strike of kind " << spoil_kind_name(kind) << " ever harmed " << op;
      }
    }
  }
}

TEST_P(Injections, FiltersChooseWhatIsSpoilt) {
  auto cases = injection_cases(*device_, "f32", 1e5);
  ASSERT_TRUE(cases.ok());
  InjectionCase& one = **std::find_if(cases->begin(), cases->end(), [](const auto& each) { return each->op() == "linear"; });
  const auto injected = [&](const godwit_spoil& spoil) { return one.run(&spoil).value().injected; };
  godwit_spoil spoil = spoil_of(GODWIT_SPOIL_BIT, 7);
  EXPECT_TRUE(injected(spoil));
  spoil.op = "attention";
  EXPECT_FALSE(injected(spoil));
  spoil.op = "linear";
  EXPECT_TRUE(injected(spoil));
  spoil.op_index = 3;
  EXPECT_FALSE(injected(spoil));
  spoil.op_index = 0;
  EXPECT_TRUE(injected(spoil));
  spoil.rows = 123456;
  EXPECT_FALSE(injected(spoil));
  spoil.rows = 0;
  spoil.after_seconds = 3600;
  EXPECT_FALSE(injected(spoil));
  spoil.after_seconds = 0;
  spoil.rate = 0;
  EXPECT_FALSE(injected(spoil));
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, Injections, testing::Values("scalar", "avx2", "avx512", "avx512_bf16"),
                         [](const auto& tested) { return tested.param; });

// A check that is off must be seen to be off: the same strikes go unnoticed then, so the test above can fail.
TEST(InjectionsUnchecked, NothingIsFoundWithoutChecks) {
  auto opened = device::Device::open(device::DeviceOptions());
  ASSERT_TRUE(opened.ok());
  auto cases = injection_cases(**opened, "f32", 1e5);
  ASSERT_TRUE(cases.ok());
  int harmful = 0;
  for (const auto& one : *cases) {
    const godwit_spoil spoil = spoil_of(GODWIT_SPOIL_ZERO, 5);
    const auto outcome = one->run(&spoil);
    ASSERT_TRUE(outcome.ok());
    harmful += outcome->harmful;
    EXPECT_EQ(outcome->findings, 0);
  }
  EXPECT_GT(harmful, 10);
  EXPECT_EQ((*opened)->checked(), 0);
}

}  // namespace
}  // namespace godwit::bench
