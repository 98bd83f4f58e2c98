// attention(q, kv, k_pe, samples; heads, nope, value, scale) → o, m, l.
//
// A work item is one stretch of up to 256 query rows of one head: it packs each segment of keys once and passes its blocks of rows over it.
#include "attention_forward.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

struct Shape {
  std::int64_t rows, samples, heads, nope, rotary, value;
  explicit Shape(const Call& call)
      : rows(call.in[0].shape[0]),
        samples(call.in[3].count() - 1),
        heads(call.integer("heads")),
        nope(call.integer("nope")),
        rotary(call.in[2].shape[1]),
        value(call.integer("value")) {}
};

template <typename Dot>
attend::Team<Dot> team_of(const Call& call, const Shape& shape, std::byte* workspace) {
  // Stretches have at least block_rows rows, but for the last of a sample.
  return {call,
          workspace,
          {.key = shape.nope + shape.rotary, .value = shape.value},
          shape.rows,
          shape.samples + shape.rows / attend::block_rows};
}

template <typename Dot>
void run_as(const Call& call) {
  using Element = typename Dot::Element;
  const Shape shape(call);
  const std::int64_t key_width = shape.nope + shape.rotary;
  const std::int64_t kv_width = shape.nope + shape.value;
  float* o = call.out[0].f32();
  float* m = call.out[1].f32();
  float* l = call.out[2].f32();
  attend::Team<Dot> team = team_of<Dot>(call, shape, call.workspace);

  const std::int32_t* samples = call.in[3].i32();
  const std::int64_t first = samples[0];
  const std::int64_t last = samples[shape.samples];
  const auto clear = [&](std::int64_t begin, std::int64_t end) {
    std::fill(o + begin * shape.heads * shape.value, o + end * shape.heads * shape.value, 0.0f);
    std::fill(m + begin * shape.heads, m + end * shape.heads, 0.0f);
    std::fill(l + begin * shape.heads, l + end * shape.heads, 0.0f);
  };
  clear(0, first);
  clear(last, shape.rows);

  const std::int64_t positions = attend::stretch_positions(last - first, shape.heads, call.pool->threads());
  std::int64_t count = 0;
  for (std::int64_t s = 0; s < shape.samples; ++s) {
    attend::cut(samples[s], samples[s + 1] - samples[s], 0, samples[s], positions, team.stretches, count);
  }
  team.run(call, count, shape.heads, [&](std::int64_t h) {
    const Element* kv = call.in[1].as<Element>() + h * kv_width;
    const std::int64_t kv_stride = shape.heads * kv_width;
    return attend::Head<Dot>{.q = {call.in[0].as<Element>() + h * key_width, shape.heads * key_width, key_width},
                             .key_left = {kv, kv_stride, shape.nope},
                             .key_right = {call.in[2].as<Element>(), shape.rotary, shape.rotary},
                             .value = {kv + shape.nope, kv_stride, shape.value},
                             .o = o + h * shape.value,
                             .o_stride = shape.heads * shape.value,
                             .m = m + h,
                             .l = l + h,
                             .ml_stride = shape.heads};
  });
}

template <typename Dot>
std::int64_t bytes_as(const Call& call) {
  return team_of<Dot>(call, Shape(call), nullptr).bytes();
}

const char* variant_of(const Call& call) {
  const Shape shape(call);
  if (!attend::levels_suffice(shape.nope + shape.rotary)) return nullptr;
  return call.in[0].bf16() ? "bf16 fused" : "f32 fused";
}

}  // namespace

extern const Kernel attention;
const Kernel attention{
    .op = "attention",
    .variant = variant_of,
    .workspace = [](const Call& call) { return call.in[0].bf16() ? bytes_as<attend::Bf16Dot>(call) : bytes_as<attend::F32Dot>(call); },
    .run = [](const Call& call) { call.in[0].bf16() ? run_as<attend::Bf16Dot>(call) : run_as<attend::F32Dot>(call); },
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
