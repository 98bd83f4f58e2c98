// attention_cached(q, kv, k_pe, slots, positions; heads, nope, value, scale) → o: attention over a stream's cached keys, with the bits of
// the training forward. A run of rows of one stream (prefill) is worked on like a sample's; a single row reads its keys once.
#include "attention_forward.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

attend::Widths widths_of(const Call& call) {
  return {.key = call.integer("nope") + call.in[2].shape[2], .value = call.integer("value"), .group = 1};
}

template <typename Dot>
void run_as(const Call& call) {
  using Element = typename Dot::Element;
  const attend::Widths widths = widths_of(call);
  const std::int64_t heads = call.integer("heads");
  const std::int64_t nope = call.integer("nope");
  const std::int64_t rotary = call.in[2].shape[2];
  const std::int64_t kv_width = nope + widths.value;
  attend::run_streams<Dot>(call, widths, heads, [&](std::int64_t h) {
    const Element* kv = call.in[1].as<Element>() + h * kv_width;
    return attend::Head<Dot>{.q = {call.in[0].as<Element>() + h * widths.key, heads * widths.key, widths.key},
                             .key_left = {kv, heads * kv_width, nope},
                             .key_right = {call.in[2].as<Element>(), rotary, rotary},
                             .value = {kv + nope, heads * kv_width, widths.value},
                             .o = call.out[0].f32() + h * widths.value,
                             .o_stride = heads * widths.value};
  });
}

template <typename Dot>
std::int64_t bytes_as(const Call& call) {
  return attend::stream_team<Dot>(call, nullptr, widths_of(call)).bytes();
}

const char* variant_of(const Call& call) {
  if (!attend::levels_suffice(widths_of(call).key)) return nullptr;
  return call.in[0].bf16() ? "bf16 fused" : "f32 fused";
}

}  // namespace

extern const Kernel attention_cached;
const Kernel attention_cached{
    .op = "attention_cached",
    .variant = variant_of,
    .workspace = [](const Call& call) { return call.in[0].bf16() ? bytes_as<attend::Bf16Dot>(call) : bytes_as<attend::F32Dot>(call); },
    .run = [](const Call& call) { call.in[0].bf16() ? run_as<attend::Bf16Dot>(call) : run_as<attend::F32Dot>(call); },
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
