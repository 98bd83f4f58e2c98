#include "families/tile.h"

namespace godwit::opencl {

namespace {

constexpr const char* plan_text = R"CL(
kernel void plan_tiles(__global const int* offsets, __global int* tiles, int groups, int samples, int tile_count) {
  int tile = 0;
  for (int g = 0; g < groups; ++g) {
    const int end = offsets[(g + 1) * samples];
    for (int row = offsets[g * samples]; row < end; row += TILE_ROWS) {
      tiles[3 * tile] = g;
      tiles[3 * tile + 1] = row;
      tiles[3 * tile + 2] = min(TILE_ROWS, end - row);
      ++tile;
    }
  }
  for (; tile < tile_count; ++tile) tiles[3 * tile] = -1;
}
)CL";

}  // namespace

const char* const tile_text = R"CL(
#ifdef WIDE
#define SUM VEC
#define SUM_ROWS TILE_ROWS
#define SUM_COLUMNS 2
#else
#define SUM float
#define SUM_ROWS 4
#define SUM_COLUMNS 4
#endif
#define FOR_SUMS(r, c) _Pragma("unroll") for (int r = 0; r < SUM_ROWS; ++r) _Pragma("unroll") for (int c = 0; c < SUM_COLUMNS; ++c)
typedef struct {
  SUM v[SUM_ROWS][SUM_COLUMNS];
} sums;

// The smallest exponent of what is not zero, among operands of bf16 products.
#define NO_EXPONENT 255
#ifdef IN0_BF16
inline int exponent_of(float x) {
  const int e = (as_uint(x) >> 23) & 255;
  return e == 0 ? NO_EXPONENT : e;
}
// Whether a chain of operands with these least exponents can meet a number so small that it is flushed. Every product is a multiple of
// 2^(a + b - 14 - 2·127), of operands with 8 bits each, and so is every sum of them: if that unit is 2^-126 or more, none can.
inline int can_be_tiny(int a, int b) {
  return a + b < 2 * 127 + 14 - 126;
}
#else
#define exponent_of(x) NO_EXPONENT
#define can_be_tiny(a, b) 0
#endif

#ifdef WIDE
// One index of the summed axis: a[k·TILE_ROWS + row], and TILE_COLUMNS numbers from b + k·stride on.
#define TILE_STEP(link_, acc, a, b, stride, k)                                                              \
  {                                                                                                         \
    const VEC b0_ = vload(0, (b) + (k) * (stride)), b1_ = vload(1, (b) + (k) * (stride));                   \
    _Pragma("unroll") for (int r_ = 0; r_ < TILE_ROWS; ++r_) {                                              \
      const VEC a_ = (VEC)((a)[(k) * TILE_ROWS + r_]);                                                      \
      (acc).v[r_][0] = link_(a_, b0_, (acc).v[r_][0]);                                                      \
      (acc).v[r_][1] = link_(a_, b1_, (acc).v[r_][1]);                                                      \
    }                                                                                                       \
  }
#ifdef IN0_BF16
#define TILE_STEPS(link_, acc, a, b, stride, begin, end)      \
  {                                                           \
    long k_ = (begin);                                        \
    for (; k_ + 1 < (end); k_ += 2) {                         \
      TILE_STEP(link_, acc, a, b, stride, k_ + 1)             \
      TILE_STEP(link_, acc, a, b, stride, k_)                 \
    }                                                         \
    if (k_ < (end)) TILE_STEP(link_, acc, a, b, stride, k_)   \
  }
// Goes on with chains over [begin, end), an even distance from where they began.
#define TILE_CHAIN(acc, a, b, stride, begin, end, flush)               \
  if (flush) {                                                         \
    TILE_STEPS(fma_flush, acc, a, b, stride, begin, end)               \
  } else {                                                             \
    TILE_STEPS(fma, acc, a, b, stride, begin, end)                     \
  }
#else
#define TILE_STEPS(link_, acc, a, b, stride, begin, end) \
  for (long k_ = (begin); k_ < (end); ++k_) TILE_STEP(link_, acc, a, b, stride, k_)
#define TILE_CHAIN(acc, a, b, stride, begin, end, flush) TILE_STEPS(fma, acc, a, b, stride, begin, end)
#endif
#endif
)CL";

Argument plan_tiles(Plan& plan, std::size_t offsets, std::int64_t groups, std::int64_t samples, std::int64_t tile_count) {
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  const Argument tiles = plan.scratch(tile_count * 3 * 4);
  plan.launch(plan_text, "plan_tiles", {Plan::in(offsets), tiles, small(groups), small(samples), small(tile_count)}, Plan::items(1));
  return tiles;
}

std::int64_t tiles_max(const Traits& traits, std::int64_t rows, std::int64_t groups) {
  const Tile tile = product_tile(traits);
  return (rows + tile.rows - 1) / tile.rows + groups;
}

}  // namespace godwit::opencl
