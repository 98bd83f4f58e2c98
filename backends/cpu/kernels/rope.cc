// rope(x, positions, cos, sin; heads, offset) → y: of each pair (a, b) of columns a' = fma(a, c, −(b·s)), b' = fma(a, s, b·c).
#include "rope_rows.h"

namespace godwit::cpu::GODWIT_ISA {

extern const Kernel rope;
const Kernel rope{
    .op = "rope",
    .variant = [](const Call&) { return "f32 pairs"; },
    .workspace = rope_workspace,
    .run =
        [](const Call& call) {
          // −(b·s) = b·(−s): rounding does not look at the sign.
          rotate_rows(
              call,
              [](float c, float s) {
                return PairFactors{{c, s}, {-s, c}};
              },
              [](F32 x, F32 of_a, F32 of_b) { return fma(even_lanes(x), of_a, odd_lanes(x) * of_b); });
        },
    .by_rows = 0b0011,
};

}  // namespace godwit::cpu::GODWIT_ISA
