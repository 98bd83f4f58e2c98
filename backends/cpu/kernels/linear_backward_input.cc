// dx = dy · w: [N, out] · [out, in] → [N, in].
#include "gemm.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

gemm::Products linear_backward_input_products(const Call& call) {
  const View& dy = call.in[0];
  const View& w = call.in[1];
  return {.a = gemm::matrix(dy),
          .b = gemm::matrix(w),
          .b_layout = gemm::Layout::indices_columns,
          .c = call.out[0].f32(),
          .c_stride = w.shape[1],
          .count = 1,
          .typical_rows = dy.shape[0],
          .n = w.shape[1],
          .k = w.shape[0],
          .rows = {.limit = dy.shape[0]}};
}

}  // namespace

extern const Kernel linear_backward_input;
const Kernel linear_backward_input{
    .op = "linear_backward_input",
    .variant = gemm::variant<>,
    .workspace = gemm::workspace_of_products<linear_backward_input_products>,
    .run = gemm::run_products<linear_backward_input_products>,
    .packed_bytes = gemm::packed_bytes_of<linear_backward_input_products>,
    .pack = gemm::pack_weight<linear_backward_input_products>,
    .layout = "down",
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
