// y = x · wᵀ: [N, in] · [out, in] → [N, out].
#include "gemm.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

gemm::Products linear_products(const Call& call) {
  const View& x = call.in[0];
  const View& w = call.in[1];
  return {.a = gemm::matrix(x),
          .b = gemm::matrix(w),
          .b_layout = gemm::Layout::columns_indices,
          .c = call.out[0].f32(),
          .c_bf16 = call.out[0].bf16(),
          .c_stride = w.shape[0],
          .count = 1,
          .typical_rows = x.shape[0],
          .n = w.shape[0],
          .k = w.shape[1],
          .rows = {.limit = x.shape[0]}};
}

}  // namespace

extern const Kernel linear;
const Kernel linear{
    .op = "linear",
    .variant = gemm::variant<true>,
    .workspace = gemm::workspace_of_products<linear_products>,
    .run = gemm::run_products<linear_products>,
    .packed_bytes = gemm::packed_bytes_of<linear_products>,
    .pack = gemm::pack_weight<linear_products>,
    .takes_blocks = true,
    .layout = "across",
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
