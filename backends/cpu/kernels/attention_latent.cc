// attention_latent(q, latent, k_pe, slots, positions; heads, scale) → o: attention whose keys [latent | k_pe] and values (the latent) all
// heads share. The heads are rows of one product, so a stream's cache is read once for all of them.
#include "attention_forward.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

attend::Widths widths_of(const Call& call) {
  const std::int64_t latent = call.in[1].shape[2];
  return {.key = latent + call.in[2].shape[2], .value = latent, .group = call.integer("heads")};
}

template <typename Dot>
void run_as(const Call& call) {
  using Element = typename Dot::Element;
  const attend::Widths widths = widths_of(call);
  const std::int64_t rotary = call.in[2].shape[2];
  const Element* latent = call.in[1].as<Element>();
  attend::run_streams<Dot>(call, widths, 1, [&](std::int64_t) {
    return attend::Head<Dot>{.q = {call.in[0].as<Element>(), widths.key, widths.key},
                             .key_left = {latent, widths.value, widths.value},
                             .key_right = {call.in[2].as<Element>(), rotary, rotary},
                             .value = {latent, widths.value, widths.value},
                             .o = call.out[0].f32(),
                             .o_stride = widths.value};
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

extern const Kernel attention_latent;
const Kernel attention_latent{
    .op = "attention_latent",
    .variant = variant_of,
    .workspace = [](const Call& call) { return call.in[0].bf16() ? bytes_as<attend::Bf16Dot>(call) : bytes_as<attend::F32Dot>(call); },
    .run = [](const Call& call) { call.in[0].bf16() ? run_as<attend::Bf16Dot>(call) : run_as<attend::F32Dot>(call); },
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
