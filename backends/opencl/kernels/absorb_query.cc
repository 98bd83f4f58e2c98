#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void absorb_query(__global const IN0* q, __global const IN1* w, __global float* y, long count, int heads, int nope, int value,
                         int rotary, int latent) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const int width = latent + rotary;
  const int c = at % width;
  const long row_head = at / width;
  const int h = row_head % heads;
  const long query = row_head * (nope + rotary);
  if (c >= latent) {
    y[at] = get0(q, query + nope + c - latent);
    return;
  }
  float sum;
  DOT(sum, nope, i, operand0(q, query + i), operand1(w, ((long)h * (nope + value) + i) * latent + c))
  y[at] = sum;
}
)CL";

void plan_absorb_query(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t heads = call.integer("heads"), nope = call.integer("nope"), latent = call.in[1].shape[1];
  const std::int64_t rotary = call.in[0].shape[1] / heads - nope;
  const std::int64_t count = call.out[0].count();
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  plan.launch(text, "absorb_query",
              {Plan::in(0), Plan::in(1), Plan::out(0), count, small(heads), small(nope), small(call.integer("value")), small(rotary),
               small(latent)},
              plan.elements(count));
}

}  // namespace

extern const Kernel absorb_query;
const Kernel absorb_query{"absorb_query", plan_absorb_query};

}  // namespace godwit::opencl
