#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void adamw(__global const float* w, __global const float* m, __global const float* v, __global const float* gradient,
                  __global const float* scale, __global const float* lr, __global const float* c1, __global const float* c2,
                  __global float* w_next, __global float* m_next, __global float* v_next, float beta1, float beta2, float rest1, float rest2,
                  float eps, float decay, long count) {
  const long i = get_global_id(0);
  if (i >= count) return;
  const float kept = 1.0f - lr[0] * decay;
  const float g = gradient[i] * scale[0];
  const float weight = w[i];
  const float m1 = fma(rest1, g, beta1 * m[i]);
  const float v1 = fma(rest2, g * g, beta2 * v[i]);
  const float u = (m1 / c1[0]) / (sqrt(v1 / c2[0]) + eps);
  m_next[i] = m1;
  v_next[i] = v1;
  w_next[i] = fma(-lr[0], u, weight * kept);
}
)CL";

void plan_adamw(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.in[0].count();
  std::vector<Argument> arguments;
  for (std::size_t i = 0; i < 8; ++i) arguments.push_back(Plan::in(i));
  for (std::size_t i = 0; i < 3; ++i) arguments.push_back(Plan::out(i));
  const double beta1 = call.real("beta1"), beta2 = call.real("beta2");
  for (const double real : {beta1, beta2, 1.0 - beta1, 1.0 - beta2, call.real("eps"), call.real("decay")})
    arguments.emplace_back(static_cast<float>(real));
  arguments.emplace_back(count);
  plan.launch(text, "adamw", std::move(arguments), plan.elements(count));
}

}  // namespace

extern const Kernel adamw;
const Kernel adamw{"adamw", plan_adamw};

}  // namespace godwit::opencl
