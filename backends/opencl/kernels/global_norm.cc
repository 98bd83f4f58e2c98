#include <algorithm>

#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void add_sums(__global float* total, int first, int count, __global const float* s0, __global const float* s1,
                     __global const float* s2, __global const float* s3, __global const float* s4, __global const float* s5,
                     __global const float* s6, __global const float* s7) {
  const float sums[8] = {s0[0], s1[0], s2[0], s3[0], s4[0], s5[0], s6[0], s7[0]};
  float chain = first ? 0.0f : total[0];
  for (int i = 0; i < count; ++i) chain = chain + sums[i];
  total[0] = chain;
}

kernel void global_norm(__global const float* total, __global float* norm_of, __global float* scale_of, float clip) {
  const float norm = sqrt(total[0]);
  float scale = 1.0f;
  if (clip > 0.0f) {
    const float q = clip / norm;
    scale = q < 1.0f || q != q ? q : 1.0f;
  }
  norm_of[0] = norm;
  scale_of[0] = scale;
}
)CL";

void plan_global_norm(const Call& call, Plan& plan) {
  plan.name("chain");
  const Argument total = plan.scratch(4);
  const auto inputs = static_cast<std::int32_t>(call.in.size());
  for (std::int32_t first = 0; first < inputs; first += 8) {
    std::vector<Argument> arguments = {total, std::int32_t{first == 0}, std::min(8, inputs - first)};
    for (std::int32_t i = 0; i < 8; ++i) arguments.push_back(Plan::in(static_cast<std::size_t>(std::min(first + i, inputs - 1))));
    plan.launch(text, "add_sums", std::move(arguments), Plan::items(1));
  }
  plan.launch(text, "global_norm", {total, Plan::out(0), Plan::out(1), call.real32("clip")}, Plan::items(1));
}

}  // namespace

extern const Kernel global_norm;
const Kernel global_norm{"global_norm", plan_global_norm};

}  // namespace godwit::opencl
