// One step of AdamW with decoupled decay.
//      w, m, v, g of one shape   scale, lr, c1, c2 [1]   →   w_next, m_next, v_next of that shape
//
// g ← g·scale (the clip);  m_next = β1·m + (1−β1)·g;  v_next = β2·v + (1−β2)·g²;
// w_next = w·(1 − lr·decay) − lr·(m_next/c1) / (sqrt(v_next/c2) + eps), with c_i = 1 − β_i^t made by the host.      (arXiv 1711.05101)
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void adamw_reference(const Memory& memory) {
  const Real* w = real_in<Real>(memory, "w");
  const Real* m = real_in<Real>(memory, "m");
  const Real* v = real_in<Real>(memory, "v");
  const Real* gradient = real_in<Real>(memory, "g");
  const Real scale = real_in<Real>(memory, "scale")[0];
  const Real lr = real_in<Real>(memory, "lr")[0];
  const Real c1 = real_in<Real>(memory, "c1")[0];
  const Real c2 = real_in<Real>(memory, "c2")[0];
  const auto beta1 = static_cast<Real>(memory.real("beta1"));
  const auto beta2 = static_cast<Real>(memory.real("beta2"));
  const auto one_minus_beta1 = static_cast<Real>(1.0 - memory.real("beta1"));
  const auto one_minus_beta2 = static_cast<Real>(1.0 - memory.real("beta2"));
  const auto eps = static_cast<Real>(memory.real("eps"));
  const auto decay = static_cast<Real>(memory.real("decay"));
  Real* w_next = real_out<Real>(memory, "w_next");
  Real* m_next = real_out<Real>(memory, "m_next");
  Real* v_next = real_out<Real>(memory, "v_next");
  const Real kept = Real(1) - lr * decay;
  for (std::int64_t i = 0; i < memory.in("w").shape.count(); ++i) {
    const Real g = gradient[i] * scale;
    m_next[i] = fma_of<Real>(one_minus_beta1, g, beta1 * m[i]);
    v_next[i] = fma_of<Real>(one_minus_beta2, g * g, beta2 * v[i]);
    const Real u = (m_next[i] / c1) / (std::sqrt(v_next[i] / c2) + eps);
    w_next[i] = fma_of<Real>(-lr, u, w[i] * kept);
  }
}

}  // namespace

extern const Op adamw;
const Op adamw{
    .name = "adamw",
    .inputs = {"w", "m", "v", "g", "scale", "lr", "c1", "c2"},
    .outputs = {"w_next", "m_next", "v_next"},
    .attributes = {"beta1", "beta2", "eps", "decay"},
    .in_place = {{"w_next", "w"}, {"m_next", "m"}, {"v_next", "v"}},
    .shapes =
        [](Shapes& s) {
          const TensorType& w = s.in("w");
          s.require(w.dtype == Dtype::f32, "w is f32");
          for (const std::string_view same : {"m", "v", "g"}) s.require(s.in(same) == w, "m, v and g have w's shape");
          for (const std::string_view one : {"scale", "lr", "c1", "c2"})
            s.require(s.in(one) == f32_type({1}), "scale, lr, c1 and c2 are [1], f32");
          for (const std::string_view next : s.op().outputs) s.set(next, Dtype::f32, w.shape);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 18.0 * static_cast<double>(i.in("w").shape.count()), .bytes = traffic(i)}; },
    .reference = adamw_reference<float>,
    .reference64 = adamw_reference<double>,
    .fill =
        [](Fill& f) {
          f.reals("w");
          f.reals("m", 0.1f);
          f.reals("v", 0.01f);
          for (float& v : f.f32("v")) v = v < 0 ? -v : v;
          f.reals("g");
          f.positive("scale", 0.01f, 1.0f);
          f.positive("lr", 1e-5f, 1e-2f);
          f.positive("c1", 0.1f, 1.0f);
          f.positive("c2", 0.001f, 1.0f);
        },
    .examples =
        [] {
          std::vector<Example> examples;
          for (const Shape& shape : {Shape{1}, Shape{7}, Shape{64}, Shape{3, 65}, Shape{2, 3, 129}, Shape{40, 256}}) {
            const TensorType x = f32_type(shape);
            const TensorType one = f32_type({1});
            const double decay = shape.rank() == 1 ? 0.0 : 0.1;
            examples.push_back({{x, x, x, x, one, one, one, one}, {{"beta1", 0.9}, {"beta2", 0.95}, {"eps", 1e-8}, {"decay", decay}}});
          }
          return examples;
        },
};

}  // namespace godwit::program
