// The gradients' norm, and the factor that clips it to `clip` (0: no clipping).      sums [1] … of squares   →   norm [1]   scale [1]
//
// norm = sqrt(Σ sums), scale = min(1, clip / norm).
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void global_norm_reference(const Memory& memory) {
  Real total = 0;
  for (std::size_t i = 0; i < memory.inputs().size(); ++i) total = total + static_cast<const Real*>(memory.input_bytes(i))[0];
  const Real norm = std::sqrt(total);
  const auto clip = static_cast<Real>(memory.real("clip"));
  Real scale = 1;
  if (clip > 0) {
    const Real q = clip / norm;
    scale = q < 1 || q != q ? q : Real(1);
  }
  real_out<Real>(memory, "norm")[0] = norm;
  real_out<Real>(memory, "scale")[0] = scale;
}

}  // namespace

extern const Op global_norm;
const Op global_norm{
    .name = "global_norm",
    .inputs = {"sums"},
    .outputs = {"norm", "scale"},
    .attributes = {"clip"},
    .variadic = true,
    .shapes =
        [](Shapes& s) {
          for (const TensorType& input : s.inputs()) s.require(input == f32_type({1}), "every sum is [1], f32");
          s.set("norm", Dtype::f32, {1});
          s.set("scale", Dtype::f32, {1});
        },
    .cost = [](const Instance& i) { return Cost{.flops = static_cast<double>(i.inputs().size()), .bytes = traffic(i)}; },
    .reference = global_norm_reference<float>,
    .reference64 = global_norm_reference<double>,
    .examples =
        [] {
          std::vector<Example> examples;
          for (const std::size_t count : {1, 2, 7, 65}) {
            for (const double clip : {0.0, 0.1, 1.0, 1e3}) examples.push_back({std::vector(count, f32_type({1})), {{"clip", clip}}});
          }
          return examples;
        },
};

}  // namespace godwit::program
