// Per head the value rows of w applied to the latent: [N, H·c] · [H·(n+v), c] → [N, H·v].
#include "gemm.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

gemm::Products absorb_value_products(const Call& call) {
  const View& x = call.in[0];
  const View& w = call.in[1];
  const std::int64_t heads = call.integer("heads");
  const std::int64_t nope = call.integer("nope");
  const std::int64_t value = call.integer("value");
  const std::int64_t w_row = gemm::row_bytes(w);
  return {.a = gemm::matrix(x),
          .a_group = gemm::row_bytes(x) / heads,
          .b = {w.data == nullptr ? nullptr : w.as<const std::byte>() + nope * w_row, w_row},  // null while only sizes are asked for
          .b_group = (nope + value) * w_row,
          .b_layout = gemm::Layout::columns_indices,
          .c = call.out[0].f32(),
          .c_stride = heads * value,
          .c_group = value,
          .count = heads,
          .typical_rows = x.shape[0],
          .n = value,
          .k = w.shape[1],
          .rows = {.limit = x.shape[0]}};
}

}  // namespace

extern const Kernel absorb_value;
const Kernel absorb_value{
    .op = "absorb_value",
    .variant = gemm::variant<>,
    .workspace = gemm::workspace_of_products<absorb_value_products>,
    .run = gemm::run_products<absorb_value_products>,
    .packed_bytes = gemm::packed_bytes_of<absorb_value_products>,
    .pack = gemm::pack_weight<absorb_value_products>,
    .takes_blocks = true,
    .layout = "heads across",
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
