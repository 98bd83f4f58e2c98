// The two families of matrix products, with the bits of docs/arithmetic.md (DOT and TOKENS DOT):
//
//   products   C_g = A_g · B_g, k along the rows of A: linear, its gradient by the input, their grouped forms, the absorbed projections
//   gradients  dw_e = Σ_samples dyᵀ · x, k down the rows: linear's gradient by the weight and its grouped form
//
// Blocks of outputs go to the threads; no sum is shared between threads. Rows and groups that no offset names are never read.
#pragma once

#include "gemm_gradients.h"
#include "gemm_products.h"
#include "kernel.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

// What the kernels of this family put into their tables: `of` makes the Products or Gradients of a call.
inline const char* variant_name(const View& operand) {
  if (!operand.bf16()) {
    if constexpr (tile_vectors == 4) return "f32 6x64";
    return "f32 6x16";
  }
#if defined(GODWIT_ISA_avx512_bf16)
  return "bf16 6x64 in pairs";
#elif defined(GODWIT_SIMD_512)
  return "bf16 6x64 widened";
#elif defined(GODWIT_SIMD_256)
  return "bf16 6x16 widened";
#else
  return "bf16 6x16 flushed in software";
#endif
}

template <bool rounds = false>
const char* variant(const Call& call) {
  const View& a = call.in[0];
  const View& b = call.in[1];
  const bool result = call.out[0].dtype == GODWIT_F32 || (rounds && call.out[0].bf16());
  const bool served = a.dtype == b.dtype && a.dtype != GODWIT_I32 && result;
  return served ? variant_name(a) : nullptr;
}

inline std::int64_t row_bytes(const View& view) {
  return view.width() * (view.bf16() ? 2 : 4);
}
inline Matrix matrix(const View& view) {
  return {view.as<const std::byte>(), row_bytes(view)};
}

// The whole family is instantiated once per instruction set, in gemm.cc. `operand` says the type.
std::int64_t products_workspace(const Products& p, const View& operand, int threads);
void run_products(const Products& p, const View& operand, Pool& pool, std::byte* workspace);
std::int64_t gradients_workspace(const Gradients& p, const View& operand, int threads);
void run_gradients(const Gradients& p, const View& operand, Pool& pool, std::byte* workspace);

std::int64_t packed_bytes_of(const Products& p, const View& operand);
// p's weight as pack_weight has left it.
void use_packed(Products& p, const View& operand, bool packed, const float* data);
void pack_weight(const Products& p, const View& operand, const View& source, Pool& pool, std::byte* to);

// Of the call, with its weight as it was packed.
template <Products (*of)(const Call&)>
Products products_of(const Call& call) {
  Products p = of(call);
  p.verify = call.verify;
  p.inspection = call.inspection;
  p.b_blocks = call.weight_blocks;
  use_packed(p, call.in[0], call.weight_packed, reinterpret_cast<const float*>(call.packed));
  return p;
}
template <Gradients (*of)(const Call&)>
Gradients gradients_of(const Call& call) {
  Gradients p = of(call);
  p.verify = call.verify;
  p.inspection = call.inspection;
  return p;
}
template <Products (*of)(const Call&)>
std::int64_t workspace_of_products(const Call& call) {
  return products_workspace(products_of<of>(call), call.in[0], call.pool->threads());
}
template <Products (*of)(const Call&)>
void run_products(const Call& call) {
  run_products(products_of<of>(call), call.in[0], *call.pool, call.workspace);
}
template <Products (*of)(const Call&)>
std::int64_t packed_bytes_of(const Call& call) {
  Products p = of(call);
  p.verify = call.verify;
  p.b_blocks = call.weight_blocks;
  return packed_bytes_of(p, call.in[0]);
}
template <Products (*of)(const Call&)>
void pack_weight(const Call& call, std::byte* to) {
  Products p = of(call);
  p.verify = call.verify;
  p.inspection = call.inspection;
  p.b_blocks = call.weight_blocks;
  pack_weight(p, call.in[0], call.in[1], *call.pool, to);
}
template <Gradients (*of)(const Call&)>
std::int64_t workspace_of_gradients(const Call& call) {
  return gradients_workspace(gradients_of<of>(call), call.in[0], call.pool->threads());
}
template <Gradients (*of)(const Call&)>
void run_gradients(const Call& call) {
  run_gradients(gradients_of<of>(call), call.in[0], *call.pool, call.workspace);
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
