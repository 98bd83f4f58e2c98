// Products of matrices: C[m, n] = Σ_k A[m, k]·B[k, n] in segments and trees, for linear, grouped_linear and their gradients.
//
// Both operands are first laid out in panels as wide as a tile (bf16 widened, its subnormals flushed), so that one text multiplies whatever
// the op's layout is. A bf16 chain must flush what is tiny; where the operands' smallest exponents leave nothing that could be, which
// packing finds out panel by panel, plain FMA is the same and is taken.
#pragma once

#include "kernel.h"

namespace godwit::opencl {

struct Operand {
  std::size_t input = 0;       // index of the op's input
  bool depth_is_last = false;  // the summed axis is the input's last one; otherwise it is the one before
};

struct Product {
  enum class Kind : std::uint8_t {
    dense,    // one product
    grouped,  // rows of A by the matrix of B that their group has; rows of no group are +0
    samples,  // the summed axis goes by samples, for each group its own
  } kind = Kind::dense;
  Operand a, b;
  std::int64_t rows = 0, columns = 0, depth = 0;
  std::int64_t groups = 1;
  std::size_t offsets = 0;  // grouped, samples: the input that has the groups' first rows, sample by sample
};

void plan_product(const Call& call, Plan& plan, const Product& product);

}  // namespace godwit::opencl
