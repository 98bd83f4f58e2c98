// Blocks could leave outputs out, overflow a cache, or leave threads without work; offsets that are none could lead out of the operands.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "gemm_gradients.h"
#include "gemm_plan.h"

namespace godwit::cpu::GODWIT_ISA::gemm {
namespace {

std::int64_t blocks_of(GradientShape shape, GradientBlocks blocks) {
  return shape.experts * pieces(shape.out, blocks.left) * pieces(pieces(shape.in, gradient_width), blocks.panels);
}

TEST(GemmPlan, ProductBlocksAreWholeTilesAndEnoughForTheThreads) {
  for (const int threads : {1, 2, 7, 64}) {
    for (const std::int64_t rows : {1, 5, 96, 1000, 5000}) {
      for (const std::int64_t columns : {1, 64, 300, 8192}) {
        const Blocks blocks = choose_blocks({.groups = 1, .rows = rows, .columns = columns}, threads);
        EXPECT_EQ(blocks.rows % tile_rows, 0);
        EXPECT_GE(blocks.panels, 1);
        const std::int64_t count = pieces(rows, blocks.rows) * pieces(pieces(columns, panel_width), blocks.panels);
        const bool large = rows >= 1000 && columns >= 8192;
        if (large) {
          EXPECT_GE(count, threads) << rows << " × " << columns;
        }
      }
    }
  }
}

TEST(GemmPlan, GradientBlocksCoverFitTheCacheAndAreEnoughForTheThreads) {
  for (const int threads : {1, 2, 7, 64}) {
    for (const std::int64_t experts : {1, 16, 256}) {
      for (const std::int64_t steps : {1, 100, 1024, 65536}) {
        for (const std::int64_t out : {1, 24, 192, 2048}) {
          for (const std::int64_t in : {1, 100, 512, 7168}) {
            for (const bool in_place : {false, true}) {
              const GradientShape shape{experts, steps, out, in, in_place, in_place};
              const GradientBlocks blocks = choose_gradient_blocks(shape, threads);
              SCOPED_TRACE(testing::Message() << threads << " threads, " << experts << " experts, " << steps << " steps, " << out << " × "
                                              << in);
              EXPECT_GT(blocks.left, 0);
              EXPECT_EQ(blocks.left % left_width, 0);
              EXPECT_GE(blocks.panels, 1);
              EXPECT_LE(blocks.panels, pieces(in, gradient_width));
              EXPECT_EQ(blocks.packer == Packer::none, in_place);
              if (experts > 1) {
                EXPECT_NE(blocks.packer, Packer::all) << "experts share no rows";
              }
              // 32 columns are never given up: narrower ones would read x too often.
              if (blocks.left > 32) {
                EXPECT_LE((blocks.left + gradient_width) * steps * 4, std::int64_t{1} << 20) << "L2";
              }
              if (out >= 2048 && in >= 512 && threads <= 7) {
                EXPECT_GE(blocks_of(shape, blocks), threads);
              }
            }
          }
        }
      }
    }
  }
}

TEST(GemmPlan, TwoThreadsGetEqualHalvesOfASmallGradient) {
  for (const std::int64_t out : {96, 144, 192, 256}) {
    const GradientShape shape{.experts = 1, .steps = 1024, .out = out, .in = 256, .left_in_place = true, .right_in_place = true};
    const GradientBlocks blocks = choose_gradient_blocks(shape, 2);
    const std::int64_t count = blocks_of(shape, blocks);
    const double largest = static_cast<double>(blocks.left * std::min(blocks.panels * gradient_width, shape.in));
    const double all = static_cast<double>(out * shape.in);
    EXPECT_GE(count, 2);
    EXPECT_LE(largest * static_cast<double>(pieces(count, 2)), 0.65 * all) << out;
  }
}

// Whatever offsets hold, no row outside the operands is touched: a sanitizer would see it.
TEST(Gradients, OffsetsThatDescendOrLieOutsideGiveZerosOrSumsOfRowsThereAre) {
  constexpr std::int64_t rows = 6, out = 20, in = 40;
  const std::vector<float> dy(rows * out, 1.0f), x(rows * in, 1.0f);
  Pool pool(2);
  using Offsets = std::array<std::int32_t, 5>;
  for (const auto& [offsets, sum] : {std::pair{Offsets{0, 2, 3, 3, 6}, 6.0f}, std::pair{Offsets{4, 2, 6, 0, 3}, 0.0f},
                                     std::pair{Offsets{-5, 1, 4, 99, 100}, 6.0f}, std::pair{Offsets{100, 99, -1, -7, 5}, 0.0f}}) {
    std::vector<float> dw(out * in, -1.0f);
    const Gradients gradients{.dy = {reinterpret_cast<const std::byte*>(dy.data()), out * 4},
                              .x = {reinterpret_cast<const std::byte*>(x.data()), in * 4},
                              .dw = dw.data(),
                              .experts = 1,
                              .samples = 4,
                              .out = out,
                              .in = in,
                              .rows = {.offsets = offsets.data(), .limit = rows}};
    std::vector<std::byte> workspace(static_cast<std::size_t>(GradientsRun<F32Chain>(gradients, 2, nullptr).workspace()));
    GradientsRun<F32Chain>(gradients, 2, workspace.data()).run(pool);
    EXPECT_EQ(dw, std::vector<float>(out * in, sum));
  }
}

}  // namespace
}  // namespace godwit::cpu::GODWIT_ISA::gemm
