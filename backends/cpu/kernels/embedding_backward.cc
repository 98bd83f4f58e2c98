// dtable[id] = Σ dy over the rows with that id: per sample by rank, then the tree over samples.
#include <algorithm>
#include <cstdint>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

// Rows sorted by id, ascending within an id: offsets [V+1], rows [N].
std::int64_t workspace(const Call& call) {
  return (call.integer("vocabulary") + 1 + call.in[0].count()) * 4 + 64;
}

void run(const Call& call) {
  const std::int32_t* ids = call.in[0].i32();
  const float* dy = call.in[1].f32();
  const std::int32_t* samples = call.in[2].i32();
  const std::int64_t sample_count = call.in[2].count() - 1;
  const std::int64_t vocabulary = call.integer("vocabulary");
  const std::int64_t width = call.in[1].width();
  float* dtable = call.out[0].f32();

  auto* offsets = reinterpret_cast<std::int32_t*>(call.workspace);
  std::int32_t* rows = offsets + vocabulary + 1;
  std::fill_n(offsets, vocabulary + 1, 0);
  const std::int32_t last = samples[sample_count];
  const auto inside = [&](std::int32_t row) { return ids[row] >= 0 && ids[row] < vocabulary; };
  for (std::int32_t row = samples[0]; row < last; ++row) {
    if (inside(row)) ++offsets[ids[row] + 1];
  }
  for (std::int64_t id = 0; id < vocabulary; ++id) offsets[id + 1] += offsets[id];
  // Filling moves each offset to its id's end, which is the next id's begin: read back one place earlier.
  for (std::int32_t row = samples[0]; row < last; ++row) {
    if (inside(row)) rows[offsets[ids[row]]++] = row;
  }

  call.pool->ranges(vocabulary, 64, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t id = begin; id < end; ++id) {
      const std::int32_t first = id == 0 ? 0 : offsets[id - 1];
      const std::int32_t beyond = offsets[id];
      for (std::int64_t column = 0; column < width; column += lanes) {
        const int n = static_cast<int>(std::min<std::int64_t>(lanes, width - column));
        SparseSumTree<F32> over_samples;
        std::int64_t sample = 0;
        for (std::int32_t i = first; i < beyond;) {
          while (rows[i] >= samples[sample + 1]) ++sample;
          SumTree<F32> over_segments;
          while (i < beyond && rows[i] < samples[sample + 1]) {
            F32 chain = zero();
            for (std::int64_t rank = 0; rank < segment_length && i < beyond && rows[i] < samples[sample + 1]; ++rank, ++i) {
              chain = chain + load_n(dy + rows[i] * width + column, n);
            }
            over_segments.push(chain);
          }
          over_samples.push(static_cast<std::uint64_t>(sample), over_segments.root() + zero());
        }
        store_n(dtable + id * width + column, over_samples.finish(zero()), n);
      }
    }
  });
}

}  // namespace

extern const Kernel embedding_backward;
const Kernel embedding_backward{
    .op = "embedding_backward",
    .variant = [](const Call&) { return "sorted rows"; },
    .workspace = workspace,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
