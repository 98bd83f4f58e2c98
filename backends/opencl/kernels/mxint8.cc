#include "kernel.h"

namespace godwit::opencl {
namespace {

// A work-item a block: whose scale needs all of it.
constexpr const char* text = R"CL(
kernel void mxint8(__global const float* x, __global OUT0* y, long blocks, long blocks_a_row, long width) {
  const long at = get_global_id(0);
  if (at >= blocks) return;
  const long column = at % blocks_a_row * 32;
  const long begin = at / blocks_a_row * width + column, end = begin + min(32L, width - column);
  uint largest = 0;
  for (long i = begin; i < end; ++i) largest = max(largest, as_uint(x[i]) & 0x7fffffffu);
  const int exponent = (int)(largest >> 23);
  const float scale = as_float((uint)max(exponent - 6, 1) << 23);
  for (long i = begin; i < end; ++i)
    put0(y, i, exponent < 255 ? clamp(rint(x[i] / scale), -127.0f, 127.0f) * scale + 0.0f : as_float(0x7fc00000u));
}
)CL";

void plan_mxint8(const Call& call, Plan& plan) {
  plan.name("blocks");
  const std::int64_t width = call.in[0].width(), blocks_a_row = (width + 31) / 32, blocks = call.in[0].rows() * blocks_a_row;
  plan.launch(text, "mxint8", {Plan::in(0), Plan::out(0), blocks, blocks_a_row, width}, plan.elements(blocks));
}

}  // namespace

extern const Kernel mxint8;
const Kernel mxint8{"mxint8", plan_mxint8};

}  // namespace godwit::opencl
