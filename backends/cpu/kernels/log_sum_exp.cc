// lse = M + log Σ exp(z − M).
#include <cstdint>

#include "functions.h"
#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

// Rule 1.3's maximum of a row: NaN if any is, −0 as +0.
float row_max(std::int64_t n, const float* z) {
  F32 best = set1(-__builtin_inff());
  Mask nan = unordered(zero(), zero());
  vectors(n, [&](std::int64_t i, int k) {
    const F32 x = k == lanes ? load(z + i) : select(first(k), load_first(z + i, k), best);
    nan = nan | unordered(x, x);
    best = larger(x, best);
  });
  if (any(nan)) return __builtin_nanf("");
  alignas(64) float v[lanes];
  store(v, best);
  float result = v[0];
  for (int i = 1; i < lanes; ++i) result = v[i] > result ? v[i] : result;
  return result == 0.0f ? 0.0f : result;
}

void run(const Call& call) {
  const std::int64_t width = call.in[0].width();
  call.pool->ranges(call.in[0].rows(), 8, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* z = call.in[0].f32() + row * width;
      const float m = row_max(width, z);
      const F32 maximum = set1(m);
      const float total = row_reduce(width, [&](F32 lane, std::int64_t i, int n) {
        if (n == lanes) return lane + exp(load(z + i) - maximum);
        return lane + select(first(n), exp(load_first(z + i, n) - maximum), zero());
      });
      alignas(64) float l[lanes];
      store(l, log(set1(total)));
      call.out[0].f32()[row] = m + l[0];
    }
  });
}

}  // namespace

extern const Kernel log_sum_exp;
const Kernel log_sum_exp{
    .op = "log_sum_exp",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b1,
};

}  // namespace godwit::cpu::GODWIT_ISA
