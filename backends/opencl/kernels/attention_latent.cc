#include "families/attention.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
#define CELL(j) ((long)page[(j) / page_rows] * page_rows + (j) % page_rows)
#define QUERY(i) operand0(q, query + (i))
#define KEY(j, i) ((i) < width ? operand0(latent, CELL(j) * width + (i)) : operand0(k_pe, CELL(j) * rotary + (i)-width))
#define VALUE(j, c) operand0(latent, CELL(j) * width + (c))

kernel void attention_latent(__global const IN0* q, __global const IN0* latent, __global const IN0* k_pe, __global const int* slots,
                             __global const int* positions, __global const int* table, __global float* o_all, __global float* stacks,
                             int stack_floats, long pages, long page_rows, long streams, long blocks, int heads, int rotary, int width,
                             float scale) {
  ROW_LOCALS;
  SEGMENT_LOCALS(p);
  const long row = ROW_INDEX;
  const long slot = slots[row / heads], position = positions[row / heads];
  const int key_width = width + rotary;
  __global float* o = o_all + row * width;
  __global const int* page = table + slot * blocks;
  int seen = slot >= 0 && slot < streams && position >= 0 && position < blocks * page_rows;
  for (long b = 0; seen && b <= position / page_rows; ++b) seen = page[b] >= 0 && page[b] < pages;
  if (!seen) {
    FOR_COLUMNS(c, width) o[c] = 0.0f;
    return;
  }
  const long query = row * key_width;
  __global float* stack = stacks + row * stack_floats;
  float m, l;
  ATTEND(position + 1, key_width, width, scale, stack, o, m, l)
}
)CL";

void plan_attention_latent(const Call& call, Plan& plan) {
  plan.name("rows");
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  const std::int64_t rows = call.in[0].rows(), heads = call.integer("heads"), width = call.in[1].width();
  const std::int64_t pages = call.in[1].shape[0], page_rows = call.in[1].shape[1];
  const std::int64_t streams = call.in[5].shape[0], blocks = call.in[5].shape[1];
  const std::int64_t stack = attend_floats(blocks * page_rows, width);
  const Argument stacks = plan.scratch(rows * heads * stack * 4);
  plan.launch(std::string(attend_text) + text, "attention_latent",
              {Plan::in(0), Plan::in(1), Plan::in(2), Plan::in(3), Plan::in(4), Plan::in(5), Plan::out(0), stacks, small(stack), pages,
               page_rows, streams, blocks, small(heads), small(call.in[2].width()), small(width), call.real32("scale")},
              plan.rows(rows * heads));
}

}  // namespace

extern const Kernel attention_latent;
const Kernel attention_latent{"attention_latent", plan_attention_latent};

}  // namespace godwit::opencl
