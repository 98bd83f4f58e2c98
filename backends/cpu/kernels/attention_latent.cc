// attention_latent(q, latent, k_pe, slots, positions, table; heads, scale) → o: attention whose keys [latent | k_pe] and values (the
// latent) all heads share, over pages.
#include "attention_latent.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

template <typename Dot>
attend::latent::Team<Dot> team(const Call& call, std::byte* workspace) {
  const std::int64_t latent = call.in[1].shape[2];
  const attend::latent::Widths widths{.key = latent + call.in[2].shape[2], .value = latent, .heads = call.integer("heads")};
  return {call, workspace, widths, call.in[5].shape[1] * call.in[1].shape[1], call.in[0].shape[0]};
}

template <typename Dot>
void run_as(const Call& call) {
  using Element = typename Dot::Element;
  attend::latent::Team<Dot> own = team<Dot>(call, call.workspace);
  const std::int64_t rows = call.in[0].shape[0];
  const std::int64_t heads = call.integer("heads");
  const attend::latent::Cache<Element> cache(call.in[1], call.in[2]);
  const std::int64_t at_once = attend::latent::stretch_positions(rows, heads, call.pool->threads());
  const std::int64_t count =
      attend::latent::cut_streams(call.in[3], call.in[4], call.in[5], call.in[1].shape[0], cache.page, at_once, own.stretches);
  // What no stretch covers is padding.
  const std::int64_t width = call.out[0].width();
  std::int64_t row = 0;
  for (std::int64_t i = 0; i <= count; ++i) {
    const std::int64_t next = i < count ? own.stretches[i].row : rows;
    std::fill(call.out[0].f32() + row * width, call.out[0].f32() + next * width, 0.0f);
    if (i < count) row = next + own.stretches[i].rows;
  }
  const std::int64_t key = cache.width + cache.rotary;
  own.run(call, count, {.q = {call.in[0].as<Element>(), key, key}, .cache = cache, .o = call.out[0].f32()});
}

const char* variant_of(const Call& call) {
  if (!attend::levels_suffice(call.in[1].shape[2] + call.in[2].shape[2])) return nullptr;
  return call.in[0].bf16() ? "bf16 fused" : "f32 fused";
}

}  // namespace

extern const Kernel attention_latent;
const Kernel attention_latent{
    .op = "attention_latent",
    .variant = variant_of,
    .workspace =
        [](const Call& call) {
          return call.in[0].bf16() ? team<attend::Bf16Dot>(call, nullptr).bytes() : team<attend::F32Dot>(call, nullptr).bytes();
        },
    .run = [](const Call& call) { call.in[0].bf16() ? run_as<attend::Bf16Dot>(call) : run_as<attend::F32Dot>(call); },
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
