// y_row = x_row · w_eᵀ for the rows of expert e: [R, in] · [E, out, in] → [R, out].
#include "gemm.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

gemm::Products grouped_linear_products(const Call& call) {
  const View& x = call.in[0];
  const View& w = call.in[1];
  const View& offsets = call.in[2];
  const std::int64_t experts = w.shape[0];
  return {.a = gemm::matrix(x),
          .b = gemm::matrix(w),
          .b_group = w.shape[1] * gemm::row_bytes(w),
          .b_layout = gemm::Layout::columns_indices,
          .c = call.out[0].f32(),
          .c_stride = w.shape[1],
          .count = experts,
          .typical_rows = gemm::pieces(x.shape[0], experts),
          .n = w.shape[1],
          .k = w.shape[2],
          .rows = {.offsets = offsets.i32(), .stride = (offsets.shape[0] - 1) / experts, .limit = x.shape[0]}};
}

}  // namespace

extern const Kernel grouped_linear;
const Kernel grouped_linear{
    .op = "grouped_linear",
    .variant = gemm::variant<>,
    .workspace = gemm::workspace_of_products<grouped_linear_products>,
    .run = gemm::run_products<grouped_linear_products>,
    .packed_bytes = gemm::packed_bytes_of<grouped_linear_products>,
    .pack = gemm::pack_weight<grouped_linear_products>,
    .takes_blocks = true,
    .layout = "across",
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
