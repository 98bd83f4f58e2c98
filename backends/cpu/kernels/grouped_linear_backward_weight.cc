// dw_e = dyᵀ · x over the rows of expert e, sample by sample: [R, out] · [R, in] → [E, out, in].
#include "gemm.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

gemm::Gradients grouped_linear_gradients(const Call& call) {
  const View& dy = call.in[0];
  const View& x = call.in[1];
  const View& offsets = call.in[2];
  const std::int64_t experts = call.out[0].shape[0];
  return {.dy = gemm::matrix(dy),
          .x = gemm::matrix(x),
          .dw = call.out[0].f32(),
          .experts = experts,
          .samples = (offsets.shape[0] - 1) / experts,
          .out = dy.shape[1],
          .in = x.shape[1],
          .rows = {.offsets = offsets.i32(), .limit = x.shape[0]}};
}

}  // namespace

extern const Kernel grouped_linear_backward_weight;
const Kernel grouped_linear_backward_weight{
    .op = "grouped_linear_backward_weight",
    .variant = gemm::variant<>,
    .workspace = gemm::workspace_of_gradients<grouped_linear_gradients>,
    .run = gemm::run_gradients<grouped_linear_gradients>,
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
