// y = ROW(x·x) over all elements.
#include <algorithm>
#include <cstdint>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

// One value per segment, joined by the tree afterwards.
std::int64_t segments(const Call& call) {
  return (call.in[0].count() + segment_length - 1) / segment_length;
}
std::int64_t workspace(const Call& call) {
  return segments(call) * 4 + 64;
}

void run(const Call& call) {
  const float* x = call.in[0].f32();
  const std::int64_t count = call.in[0].count();
  auto* values = reinterpret_cast<float*>(call.workspace);
  call.pool->ranges(segments(call), 16, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t s = begin; s < end; ++s) {
      values[s] = row_segment(s * segment_length, std::min(count, (s + 1) * segment_length), [&](F32 lane, std::int64_t i, int n) {
        const F32 value = load_n(x + i, n);
        return fma(value, value, lane);
      });
    }
  });
  SumTree<float> tree;
  for (std::int64_t s = 0; s < segments(call); ++s) tree.push(values[s]);
  call.out[0].f32()[0] = (tree.empty() ? 0.0f : tree.root()) + 0.0f;
}

}  // namespace

extern const Kernel sum_of_squares;
const Kernel sum_of_squares{
    .op = "sum_of_squares",
    .variant = [](const Call&) { return "f32 segments"; },
    .workspace = workspace,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
