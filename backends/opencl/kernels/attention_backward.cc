#include "families/attention.h"
#include "families/attention_tiles.h"

namespace godwit::opencl {
namespace {

// Probabilities are made again, once for the queries' gradient and once for the keys': nothing of rows × rows is stored.
constexpr const char* text = R"CL(
#define QUERY(t, i) operand0(q, (head + (t) * heads) * key_width + (i))
#define KEY(j, i) ((i) < nope ? operand0(kv, (head + (j) * heads) * kv_width + (i)) : operand0(k_pe, (first + (j)) * rotary + (i)-nope))
#define VALUE(j, c) operand0(kv, (head + (j) * heads) * kv_width + nope + (c))
#define GRADIENT(t, c) as_operand(d_o[(head + (t) * heads) * value + (c)])

// P and dS of row t and key j of the sample.
#define PAIR(t, j, p_of, ds_of)                                                        \
  {                                                                                    \
    float z_, dp_;                                                                     \
    DOT(z_, key_width, i, QUERY(t, i), KEY(j, i))                                      \
    DOT(dp_, value, c, GRADIENT(t, c), VALUE(j, c))                                    \
    const long at_ = head + (t) * heads;                                               \
    const float probability_ = exp_of(z_ * scale - m[at_]) / l[at_];                   \
    p_of = as_operand(probability_);                                                   \
    ds_of = as_operand((probability_ * (dp_ - d[at_])) * scale);                       \
  }

// Takes a segment's chains of `width` columns, at stack + depth·width, into the tree over segments; and what remains of it in the end.
#define PUSH_COLUMNS(width, stack)                                                          \
  for (uint bit_ = nodes; bit_ & 1u; bit_ >>= 1) {                                          \
    --depth;                                                                                \
    FOR_COLUMNS(i, width)(stack)[depth * (width) + i] += (stack)[(depth + 1) * (width) + i]; \
  }
#define FINISH_COLUMNS(width, stack)                                                        \
  for (int level_ = depth - 2; level_ >= 0; --level_)                                       \
    FOR_COLUMNS(i, width)(stack)[level_ * (width) + i] += (stack)[(level_ + 1) * (width) + i];

kernel void outputs_by_gradients(__global const float* o_all, __global const float* do_all, __global float* d, int value) {
  ROW_LOCALS;
  const long row = ROW_INDEX;
  __global const float* o = o_all + row * value;
  __global const float* gradient = do_all + row * value;
  float sum;
  ROW(sum, value, c, lane, lane = fma(gradient[c], o[c], lane))
  if (ROW_LEADER) d[row] = sum;
}

kernel void query_gradients(__global const IN0* q, __global const IN0* kv, __global const IN0* k_pe, __global const float* m,
                            __global const float* l, __global const float* d_o, __global const float* d, __global const int* samples,
                            __global float* dq, __global float* stacks, int stack_floats, int sample_count, int heads, int nope,
                            int rotary, int value, float scale) {
  SEGMENT_LOCALS(ds);
  const long row = ROW_INDEX;
  const int key_width = nope + rotary, kv_width = nope + value;
  const int s = sample_of(samples, sample_count, row / heads);
  if (s < 0) {
    FOR_COLUMNS(i, key_width) dq[row * key_width + i] = 0.0f;
    return;
  }
  const long first = samples[s], head = first * heads + row % heads, t = row / heads - first;
  __global float* stack = stacks + row * stack_floats;
  int depth = 0;
  uint nodes = 0;
  for (long begin = 0; begin <= t; begin += SEGMENT) {
    const long length = min((long)SEGMENT, t + 1 - begin);
    FOR_COLUMNS(j, length) {
      float p;
      PAIR(t, begin + j, p, ds[j])
    }
    ROW_BARRIER;
    FOR_COLUMNS(i, key_width) {
      float chain;
      SEGMENT_CHAIN(chain, 0, length, j, ds[j], KEY(begin + j, i))
      stack[depth * key_width + i] = chain;
    }
    ROW_BARRIER;
    PUSH_COLUMNS(key_width, stack)
    ++depth;
    ++nodes;
  }
  FINISH_COLUMNS(key_width, stack)
  FOR_COLUMNS(i, key_width) dq[row * key_width + i] = stack[i] + 0.0f;
}

kernel void key_gradients(__global const IN0* q, __global const IN0* kv, __global const IN0* k_pe, __global const float* m,
                          __global const float* l, __global const float* d_o, __global const float* d, __global const int* samples,
                          __global float* dkv, __global float* dk_pe_of_heads, __global float* stacks, int stack_floats, int sample_count,
                          int heads, int nope, int rotary, int value, float scale) {
  SEGMENT_LOCALS(ds);
  SEGMENT_LOCALS(p);
  const long row = ROW_INDEX;
  const int key_width = nope + rotary, kv_width = nope + value, width = key_width + value;
  const int s = sample_of(samples, sample_count, row / heads);
  __global float* dkv_row = dkv + row * kv_width;
  __global float* dk_pe_row = dk_pe_of_heads + row * rotary;
  if (s < 0) {
    FOR_COLUMNS(i, kv_width) dkv_row[i] = 0.0f;
    FOR_COLUMNS(i, rotary) dk_pe_row[i] = 0.0f;
    return;
  }
  const long first = samples[s], rows = samples[s + 1] - first, head = first * heads + row % heads, j = row / heads - first;
  __global float* stack = stacks + row * stack_floats;
  int depth = 0;
  uint nodes = 0;
  for (long begin = 0; begin < rows; begin += SEGMENT) {
    const long length = min((long)SEGMENT, rows - begin);
    const long visible = max(0l, j - begin);  // rows before it do not see the key; they keep their places
    FOR_COLUMNS(t, length) {
      if (t >= visible) PAIR(begin + t, j, p[t], ds[t])
    }
    ROW_BARRIER;
    FOR_COLUMNS(c, width) {
      float chain;
      if (c < key_width) {
        SEGMENT_CHAIN(chain, visible, length, t, ds[t], QUERY(begin + t, c))
      } else {
        SEGMENT_CHAIN(chain, visible, length, t, p[t], GRADIENT(begin + t, c - key_width))
      }
      stack[depth * width + c] = chain;
    }
    ROW_BARRIER;
    PUSH_COLUMNS(width, stack)
    ++depth;
    ++nodes;
  }
  FINISH_COLUMNS(width, stack)
  FOR_COLUMNS(i, width) {
    const float sum = stack[i] + 0.0f;
    if (i >= nope && i < key_width) {
      dk_pe_row[i - nope] = sum;
    } else {
      dkv_row[i < nope ? i : i - rotary] = sum;
    }
  }
}

kernel void add_heads(__global const float* of_heads, __global float* dk_pe, long count, int rotary, int heads) {
  const long at = get_global_id(0);
  if (at >= count) return;
  float sum = 0.0f;
  for (int h = 0; h < heads; ++h) sum = sum + of_heads[(at / rotary * heads + h) * rotary + at % rotary];
  dk_pe[at] = sum;
}
)CL";

void plan_attention_backward(const Call& call, Plan& plan) {
  if (by_tiles(call)) return plan_attention_backward_tiles(call, plan);
  plan.name("rows");
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  const std::int64_t rows = call.in[0].rows(), heads = call.integer("heads"), nope = call.integer("nope"), value = call.integer("value");
  const std::int64_t rotary = call.in[2].width(), key_width = nope + rotary;
  const std::int64_t query_stack = attend_floats(rows, key_width), key_stack = attend_floats(rows, key_width + value);
  const Argument d = plan.scratch(rows * heads * 4), dk_pe = plan.scratch(rows * heads * rotary * 4);
  const Argument stacks = plan.scratch(rows * heads * key_stack * 4);
  const std::string all = std::string(attend_text) + text;
  const std::vector<Argument> inputs = {Plan::in(0), Plan::in(1), Plan::in(2), Plan::in(4), Plan::in(5), Plan::in(6), d, Plan::in(7)};
  const std::vector<Argument> sizes = {small(call.in[7].count() - 1), small(heads), small(nope), small(rotary), small(value),
                                       call.real32("scale")};
  const auto arguments = [&](std::vector<Argument> between) {
    std::vector<Argument> list = inputs;
    list.insert(list.end(), between.begin(), between.end());
    list.insert(list.end(), sizes.begin(), sizes.end());
    return list;
  };
  plan.launch(all, "outputs_by_gradients", {Plan::in(3), Plan::in(6), d, small(value)}, plan.rows(rows * heads));
  plan.launch(all, "query_gradients", arguments({Plan::out(0), stacks, small(query_stack)}), plan.rows(rows * heads));
  plan.launch(all, "key_gradients", arguments({Plan::out(1), dk_pe, stacks, small(key_stack)}), plan.rows(rows * heads));
  plan.launch(all, "add_heads", {dk_pe, Plan::out(2), rows * rotary, small(rotary), small(heads)}, plan.elements(rows * rotary));
}

}  // namespace

extern const Kernel attention_backward;
const Kernel attention_backward{"attention_backward", plan_attention_backward};

}  // namespace godwit::opencl
