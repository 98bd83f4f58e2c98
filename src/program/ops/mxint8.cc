// y = x as it is after being held in blocks of 8 bits: MXINT8 of OCP's Microscaling formats (v1.0).      x [.., n] f32   →   y, of the type
// `to` names: 0 f32, 1 bf16
//
// 32 neighbours along the last axis (at its end fewer) are a block, with one scale 2^k: the power of two that leaves the largest magnitude
// in [64, 128). Each element is a whole number of scales, to nearest even, at most ±127; so it has 7 bits and is exact in bf16. Scales are
// at least 2^-126: no result is subnormal. A block with an infinity or a NaN is NaN throughout.
//
// No gradient: weights that are served, not trained.
#include <algorithm>
#include <cmath>
#include <limits>

#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

constexpr std::int64_t block_length = 32;

template <typename Real>
void mxint8_reference(const Memory& memory) {
  const Operand<Real> x(memory, "x");
  const bool bf16 = memory.out("y").dtype == Dtype::bf16;
  const std::int64_t width = memory.in("x").shape.width();
  const auto put = [&](std::int64_t i, float value) {
    if (bf16) {
      memory.bf16_out("y")[i] = math::bf16_from_f32(value);
    } else {
      real_out<Real>(memory, "y")[i] = static_cast<Real>(value);
    }
  };
  for (std::int64_t row = 0; row < memory.in("x").shape.rows(); ++row) {
    for (std::int64_t begin = 0; begin < width; begin += block_length) {
      const std::int64_t end = std::min(begin + block_length, width);
      std::uint32_t largest = 0;
      for (std::int64_t i = row * width + begin; i < row * width + end; ++i)
        largest = std::max(largest, std::bit_cast<std::uint32_t>(static_cast<float>(x[i])) & 0x7fffffff);
      const int exponent = static_cast<int>(largest >> 23);  // with its bias of 127
      const bool finite = exponent < 255;
      const float scale = std::bit_cast<float>(static_cast<std::uint32_t>(std::max(exponent - 6, 1)) << 23);
      for (std::int64_t i = row * width + begin; i < row * width + end; ++i) {
        const float scales = std::nearbyint(static_cast<float>(x[i]) / scale);  // exact but for the rounding that is meant
        const float held = std::clamp(scales, -127.0f, 127.0f) * scale;
        put(i, finite ? held + 0.0f : std::numeric_limits<float>::quiet_NaN());
      }
    }
  }
}

}  // namespace

extern const Op mxint8;
const Op mxint8{
    .name = "mxint8",
    .inputs = {"x"},
    .outputs = {"y"},
    .attributes = {"to"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("x").dtype == Dtype::f32, "x is f32");
          s.require(s.integer("to") == 0 || s.integer("to") == 1, "to is 0 (f32) or 1 (bf16)");
          s.set("y", s.integer("to") == 0 ? Dtype::f32 : Dtype::bf16, s.in("x").shape);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 0, .bytes = traffic(i)}; },
    .reference = mxint8_reference<float>,
    .reference64 = mxint8_reference<double>,
    .parts =
        [](Parts& p) {
          if (p.instance().integer("to") == 0) return;
          const TensorId held = p.builder().emit1("mxint8", {p.in("x")}, {{"to", std::int64_t{0}}});
          p.set("y", p.builder().cast(held, Dtype::bf16));
        },
    .examples =
        [] {
          std::vector<Example> examples;
          for (const Shape& shape :
               {Shape{1}, Shape{1, 1}, Shape{3, 7}, Shape{5, 64}, Shape{2, 513}, Shape{2, 3, 65}, Shape{4, 31}, Shape{4, 96}}) {
            for (std::int64_t to = 0; to <= 1; ++to) examples.push_back({.inputs = {f32_type(shape)}, .attributes = {{"to", to}}});
          }
          return examples;
        },
};

}  // namespace godwit::program
