#include "families/attention.h"
#include "families/attention_tiles.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
#define QUERY(i) operand0(q, query + (i))
#define KEY(j, i) ((i) < nope ? operand0(kv, (keys + (j) * heads) * kv_width + (i)) : operand0(k_pe, (first + (j)) * rotary + (i)-nope))
#define VALUE(j, c) operand0(kv, (keys + (j) * heads) * kv_width + nope + (c))

kernel void attention(__global const IN0* q, __global const IN0* kv, __global const IN0* k_pe, __global const int* samples,
                      __global float* o_all, __global float* m_all, __global float* l_all, __global float* stacks, int stack_floats,
                      int sample_count, int heads, int nope, int rotary, int value, float scale) {
  ROW_LOCALS;
  SEGMENT_LOCALS(p);
  const long row = ROW_INDEX;  // of tokens and heads
  const long t = row / heads;
  const int key_width = nope + rotary, kv_width = nope + value;
  __global float* o = o_all + row * value;
  const int s = sample_of(samples, sample_count, t);
  if (s < 0) {
    FOR_COLUMNS(c, value) o[c] = 0.0f;
    if (ROW_LEADER) m_all[row] = l_all[row] = 0.0f;
    return;
  }
  const long first = samples[s], keys = first * heads + row % heads, query = row * key_width;
  __global float* stack = stacks + row * stack_floats;
  float m, l;
  ATTEND(t - first + 1, key_width, value, scale, stack, o, m, l)
  if (ROW_LEADER) {
    m_all[row] = m;
    l_all[row] = l;
  }
}
)CL";

void plan_attention(const Call& call, Plan& plan) {
  if (by_tiles(call)) return plan_attention_tiles(call, plan);
  plan.name("rows");
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  const std::int64_t rows = call.in[0].rows(), heads = call.integer("heads"), value = call.integer("value");
  const std::int64_t stack = attend_floats(rows, value);
  const Argument stacks = plan.scratch(rows * heads * stack * 4);
  plan.launch(std::string(attend_text) + text, "attention",
              {Plan::in(0), Plan::in(1), Plan::in(2), Plan::in(3), Plan::out(0), Plan::out(1), Plan::out(2), stacks, small(stack),
               small(call.in[3].count() - 1), small(heads), small(call.integer("nope")), small(call.in[2].width()), small(value),
               call.real32("scale")},
              plan.rows(rows * heads));
}

}  // namespace

extern const Kernel attention;
const Kernel attention{"attention", plan_attention};

}  // namespace godwit::opencl
