#include "families/rotation.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void rotate_pairs(__global const float* x, __global const int* positions, __global const float* cosines, __global const float* sines,
                         __global OUT0* y, long count, long width, int head_width, int offset, int table_rows, int pairs, int back) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const int column = (int)(at % width) % head_width - offset;
  if (column < 0 || column >= 2 * pairs) {
    put0(y, at, x[at]);
    return;
  }
  const long entry = (long)clamp(positions[at / width], 0, table_rows - 1) * pairs + column / 2;
  const float c = cosines[entry], s = sines[entry];
  const float a = x[at - column % 2], b = x[at - column % 2 + 1];
  // Which product is rounded by itself is the op's definition, and not the same in both.
  const float turned = column % 2 == 0 ? fma(a, c, -(b * s)) : fma(a, s, b * c);
  const float turned_back = column % 2 == 0 ? fma(a, c, b * s) : fma(b, c, -(a * s));
  put0(y, at, back ? turned_back : turned);
}
)CL";

}  // namespace

void plan_rotation(const Call& call, Plan& plan, Turn turn) {
  plan.name("elements");
  const std::int64_t count = call.in[0].count(), width = call.in[0].width();
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  plan.launch(text, "rotate_pairs",
              {Plan::in(0), Plan::in(1), Plan::in(2), Plan::in(3), Plan::out(0), count, width, small(width / call.integer("heads")),
               small(call.integer("offset")), small(call.in[2].rows()), small(call.in[2].width()), static_cast<std::int32_t>(turn)},
              plan.elements(count));
}

}  // namespace godwit::opencl
