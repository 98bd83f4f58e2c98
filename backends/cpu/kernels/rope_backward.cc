// rope_backward(dy, positions, cos, sin; heads, offset) → dx: of each pair (a', b') of columns a = fma(a', c, b'·s), b = fma(b', c,
// −(a'·s)).
#include "rope_rows.h"

namespace godwit::cpu::GODWIT_ISA {

extern const Kernel rope_backward;
const Kernel rope_backward{
    .op = "rope_backward",
    .variant = [](const Call&) { return "f32 pairs"; },
    .workspace = rope_workspace,
    .run =
        [](const Call& call) {
          // −(a'·s) = a'·(−s): rounding does not look at the sign.
          rotate_rows(
              call,
              [](float c, float s) {
                return PairFactors{{c, c}, {s, -s}};
              },
              [](F32 x, F32 own, F32 others) { return fma(x, own, swapped_lanes(x) * others); });
        },
    .by_rows = 0b0011,
};

}  // namespace godwit::cpu::GODWIT_ISA
