#include "families/attention.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
#define QUERY(i) operand0(q, query + (i))
#define KEY(j, i) ((i) < nope ? operand0(kv, (keys + (j) * heads) * kv_width + (i)) : operand0(k_pe, (first + (j)) * rotary + (i)-nope))
#define VALUE(j, c) operand0(kv, (keys + (j) * heads) * kv_width + nope + (c))

kernel void attention_cached(__global const IN0* q, __global const IN0* kv, __global const IN0* k_pe, __global const int* slots,
                             __global const int* positions, __global float* o_all, __global float* stacks, int stack_floats, long streams,
                             long capacity, int heads, int nope, int rotary, int value, float scale) {
  ROW_LOCALS;
  SEGMENT_LOCALS(p);
  const long row = ROW_INDEX;
  const long slot = slots[row / heads], position = positions[row / heads];
  const int key_width = nope + rotary, kv_width = nope + value;
  __global float* o = o_all + row * value;
  if (slot < 0 || slot >= streams || position < 0 || position >= capacity) {
    FOR_COLUMNS(c, value) o[c] = 0.0f;
    return;
  }
  const long first = slot * capacity, keys = first * heads + row % heads, query = row * key_width;
  __global float* stack = stacks + row * stack_floats;
  float m, l;
  ATTEND(position + 1, key_width, value, scale, stack, o, m, l)
}
)CL";

void plan_attention_cached(const Call& call, Plan& plan) {
  plan.name("rows");
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  const std::int64_t rows = call.in[0].rows(), heads = call.integer("heads"), value = call.integer("value");
  const std::int64_t streams = call.in[1].shape[0], capacity = call.in[1].shape[1];
  const std::int64_t stack = attend_floats(capacity, value);
  const Argument stacks = plan.scratch(rows * heads * stack * 4);
  plan.launch(std::string(attend_text) + text, "attention_cached",
              {Plan::in(0), Plan::in(1), Plan::in(2), Plan::in(3), Plan::in(4), Plan::out(0), stacks, small(stack), streams, capacity,
               small(heads), small(call.integer("nope")), small(call.in[2].width()), small(value), call.real32("scale")},
              plan.rows(rows * heads));
}

}  // namespace

extern const Kernel attention_cached;
const Kernel attention_cached{"attention_cached", plan_attention_cached};

}  // namespace godwit::opencl
