// Per head [q_nope | q_pe] → [q_nope · w_k | q_pe]: [N, H·(n+r)] · [H·(n+v), c] → [N, H·(c+r)], w_k the head's first n rows.
#include "gemm.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

gemm::Products absorb_query_products(const Call& call) {
  const View& q = call.in[0];
  const View& w = call.in[1];
  const std::int64_t heads = call.integer("heads");
  const std::int64_t nope = call.integer("nope");
  const std::int64_t query = q.shape[1] / heads;
  const std::int64_t latent = w.shape[1];
  const std::int64_t rotary = query - nope;
  return {.a = gemm::matrix(q),
          .a_group = gemm::row_bytes(q) / heads,
          .b = gemm::matrix(w),
          .b_group = (nope + call.integer("value")) * gemm::row_bytes(w),
          .b_layout = gemm::Layout::indices_columns,
          .c = call.out[0].f32(),
          .c_stride = heads * (latent + rotary),
          .c_group = latent + rotary,
          .count = heads,
          .typical_rows = q.shape[0],
          .n = latent,
          .k = nope,
          .rows = {.limit = q.shape[0]}};
}

void run_absorb_query(const Call& call) {
  gemm::run_products<absorb_query_products>(call);
  const View& q = call.in[0];
  const std::int64_t heads = call.integer("heads");
  const std::int64_t nope = call.integer("nope");
  const std::int64_t latent = call.in[1].shape[1];
  const std::int64_t rotary = q.shape[1] / heads - nope;
  call.pool->ranges(q.shape[0] * heads, 64, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t from = i * (nope + rotary) + nope;
      float* to = call.out[0].f32() + i * (latent + rotary) + latent;
      for (std::int64_t j = 0; j < rotary; ++j) {
        to[j] = q.bf16() ? std::bit_cast<float>(static_cast<std::uint32_t>(q.u16()[from + j]) << 16) : q.f32()[from + j];
      }
    }
  });
}

}  // namespace

extern const Kernel absorb_query;
const Kernel absorb_query{
    .op = "absorb_query",
    .variant = gemm::variant<>,
    .workspace = gemm::workspace_of_products<absorb_query_products>,
    .run = run_absorb_query,
    .packed_bytes = gemm::packed_bytes_of<absorb_query_products>,
    .pack = gemm::pack_weight<absorb_query_products>,
    .layout = "heads down",
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
