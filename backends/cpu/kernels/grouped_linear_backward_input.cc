// dx_row = dy_row · w_e for the rows of expert e: [R, out] · [E, out, in] → [R, in].
#include "gemm.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

gemm::Products grouped_linear_backward_input_products(const Call& call) {
  const View& dy = call.in[0];
  const View& w = call.in[1];
  const View& offsets = call.in[2];
  const std::int64_t experts = w.shape[0];
  return {.a = gemm::matrix(dy),
          .b = gemm::matrix(w),
          .b_group = w.shape[1] * gemm::row_bytes(w),
          .b_layout = gemm::Layout::indices_columns,
          .c = call.out[0].f32(),
          .c_stride = w.shape[2],
          .count = experts,
          .typical_rows = gemm::pieces(dy.shape[0], experts),
          .n = w.shape[2],
          .k = w.shape[1],
          .rows = {.offsets = offsets.i32(), .stride = (offsets.shape[0] - 1) / experts, .limit = dy.shape[0]}};
}

}  // namespace

extern const Kernel grouped_linear_backward_input;
const Kernel grouped_linear_backward_input{
    .op = "grouped_linear_backward_input",
    .variant = gemm::variant<>,
    .workspace = gemm::workspace_of_products<grouped_linear_backward_input_products>,
    .run = gemm::run_products<grouped_linear_backward_input_products>,
    .packed_bytes = gemm::packed_bytes_of<grouped_linear_backward_input_products>,
    .pack = gemm::pack_weight<grouped_linear_backward_input_products>,
    .layout = "down",
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
