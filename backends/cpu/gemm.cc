// The matmul family's instantiations: compiled once per instruction set.
#include "gemm.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

std::int64_t products_workspace(const Products& p, const View& operand, int threads) {
  return with_chain(operand, [&](auto chain) { return products_workspace<decltype(chain)>(p, threads); });
}

void run_products(const Products& p, const View& operand, Pool& pool, std::byte* workspace) {
  if (p.rows.offsets != nullptr) clear_unused(p, pool);
  with_chain(operand, [&](auto chain) { products<decltype(chain)>(p, pool, workspace); });
}

std::int64_t packed_bytes_of(const Products& p, const View& operand) {
  return with_chain(operand, [&](auto chain) { return (packed_floats<decltype(chain)>(p) + weight_checks(p).floats()) * 4; });
}

void use_packed(Products& p, const View& operand, bool packed, const float* data) {
  if (!packed) return;
  const std::int64_t panels = with_chain(operand, [&](auto chain) { return packed_floats<decltype(chain)>(p); });
  p.b_packed = panels > 0;
  p.packed = data;
  if (p.verify) {
    p.b_checked = true;
    p.checks = data == nullptr ? nullptr : data + panels;
  }
}

void pack_weight(const Products& p, const View& operand, const View& source, Pool& pool, std::byte* to) {
  with_chain(operand, [&](auto chain) {
    auto* floats = reinterpret_cast<float*>(to);
    p.b_blocks ? pack_weight_as_blocks<decltype(chain)>(p, pool, floats)
               : pack_weight<decltype(chain)>(p, operand.bf16() && !source.bf16(), pool, floats);
  });
}

std::int64_t gradients_workspace(const Gradients& p, const View& operand, int threads) {
  return with_chain(operand, [&](auto chain) { return GradientsRun<decltype(chain)>(p, threads, nullptr).workspace(); });
}

void run_gradients(const Gradients& p, const View& operand, Pool& pool, std::byte* workspace) {
  with_chain(operand, [&](auto chain) { GradientsRun<decltype(chain)>(p, pool.threads(), workspace).run(pool); });
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
