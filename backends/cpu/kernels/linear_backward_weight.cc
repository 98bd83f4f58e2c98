// dw = dyᵀ · x, sample by sample: [N, out] · [N, in] → [out, in].
#include "gemm.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

gemm::Gradients linear_gradients(const Call& call) {
  const View& dy = call.in[0];
  const View& x = call.in[1];
  const View& samples = call.in[2];
  return {.dy = gemm::matrix(dy),
          .x = gemm::matrix(x),
          .dw = call.out[0].f32(),
          .experts = 1,
          .samples = samples.shape[0] - 1,
          .out = dy.shape[1],
          .in = x.shape[1],
          .rows = {.offsets = samples.i32(), .limit = x.shape[0]}};
}

}  // namespace

extern const Kernel linear_backward_weight;
const Kernel linear_backward_weight{
    .op = "linear_backward_weight",
    .variant = gemm::variant<>,
    .workspace = gemm::workspace_of_gradients<linear_gradients>,
    .run = gemm::run_gradients<linear_gradients>,
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
