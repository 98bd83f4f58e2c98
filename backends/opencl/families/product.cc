#include "families/product.h"

#include <fmt/format.h>

#include "families/tile.h"

namespace godwit::opencl {
namespace {

// Packing is indexed [panel, chunk of 512 of the summed axis, matrix].
constexpr const char* text = R"CL(
#ifdef GROUPED
kernel void clear_unused(__global const int* offsets, __global OUT0* y, long count, long columns, int groups_and_samples) {
  const long at = get_global_id(0);
  if (at < count && at / columns >= offsets[groups_and_samples]) put0(y, at, 0.0f);
}
#endif

// `lines` of the panel are there, the others are zeros.
#define PACK(WIDTH, first_line, lines)                                                                                   \
  const long begin = get_global_id(1) * SEGMENT, end = min(depth, begin + SEGMENT);                                      \
  __global float* panel = to + ((get_global_id(2) * get_global_size(0) + get_global_id(0)) * depth) * WIDTH;             \
  int least = NO_EXPONENT;                                                                                               \
  if (depth_is_last) {                                                                                                   \
    for (int line = 0; line < WIDTH; ++line) {                                                                           \
      if (line < (lines)) {                                                                                              \
        __global const IN0* source = from + ((first_line) + line) * depth;                                               \
        for (long k = begin; k < end; ++k) {                                                                             \
          panel[k * WIDTH + line] = operand0(source, k);                                                                 \
          least = min(least, exponent_of(operand0(source, k)));                                                                    \
        }                                                                                                                \
      } else {                                                                                                           \
        for (long k = begin; k < end; ++k) panel[k * WIDTH + line] = 0.0f;                                               \
      }                                                                                                                  \
    }                                                                                                                    \
  } else if ((lines) == WIDTH) {                                                                                         \
    for (long k = begin; k < end; ++k) {                                                                                 \
      __global const IN0* source = from + k * all_lines + (first_line);                                                  \
      for (int line = 0; line < WIDTH; ++line) {                                                                         \
        panel[k * WIDTH + line] = operand0(source, line);                                                                \
        least = min(least, exponent_of(operand0(source, line)));                                                                   \
      }                                                                                                                  \
    }                                                                                                                    \
  } else {                                                                                                               \
    for (long k = begin; k < end; ++k) {                                                                                 \
      __global const IN0* source = from + k * all_lines + (first_line);                                                  \
      for (int line = 0; line < WIDTH; ++line) {                                                                         \
        panel[k * WIDTH + line] = line < (lines) ? operand0(source, line) : 0.0f;                                        \
        if (line < (lines)) least = min(least, exponent_of(operand0(source, line)));                                               \
      }                                                                                                                  \
    }                                                                                                                    \
  }                                                                                                                      \
  exponents[(get_global_id(2) * get_global_size(0) + get_global_id(0)) * get_global_size(1) + get_global_id(1)] = least;

kernel void pack_rows(__global const IN0* from, __global float* to, __global int* exponents, long all_lines, long depth, int depth_is_last
#ifdef GROUPED
                      , __global const int* tiles
#endif
) {
#ifdef GROUPED
  const long first = tiles[3 * get_global_id(0) + 1];
  const int lines = tiles[3 * get_global_id(0)] < 0 ? 0 : tiles[3 * get_global_id(0) + 2];
  if (lines == 0) return;
#else
  const long first = get_global_id(0) * TILE_ROWS;
  const int lines = (int)min((long)TILE_ROWS, all_lines - first);
#endif
  PACK(TILE_ROWS, first, lines)
}

kernel void pack_columns(__global const IN0* matrices, __global float* to, __global int* exponents, long all_lines, long depth,
                         int depth_is_last) {
  __global const IN0* from = matrices + get_global_id(2) * all_lines * depth;
  const long first = get_global_id(0) * TILE_COLUMNS;
  const int lines = (int)min((long)TILE_COLUMNS, all_lines - first);
  PACK(TILE_COLUMNS, first, lines)
}

#define TREE_DEPTH 24
typedef struct {
  sums stack[TREE_DEPTH];
  uint count;
  int depth;
} tree_of_sums;
inline void push_sums(tree_of_sums* tree, const sums* node) {
  tree->stack[tree->depth] = *node;
  for (uint bit = tree->count; bit & 1u; bit >>= 1) {
    --tree->depth;
    FOR_SUMS(r, c) tree->stack[tree->depth].v[r][c] += tree->stack[tree->depth + 1].v[r][c];
  }
  ++tree->depth;
  ++tree->count;
}
inline void finish_sums(tree_of_sums* tree, sums* root) {
  if (tree->depth == 0) {
    FOR_SUMS(r, c) root->v[r][c] = (SUM)0.0f;
    return;
  }
  *root = tree->stack[tree->depth - 1];
  for (int i = tree->depth - 2; i >= 0; --i) {
    FOR_SUMS(r, c) root->v[r][c] = tree->stack[i].v[r][c] + root->v[r][c];
  }
  FOR_SUMS(r, c) root->v[r][c] += (SUM)0.0f;
}

#ifdef WIDE
#define LOCALS
#define LOCAL_ARGUMENTS
#define LOCAL_PARAMETERS
#define CHAIN_STEPS(link_) TILE_STEPS(link_, acc, a, b, TILE_COLUMNS, begin, end)
#else
// A slab of both panels at a time lies in local memory, brought there by the whole work-group; a work-item's 4 × 4 sums lie a quarter of the
// tile apart, so that neighbours read neighbouring words.
#define LOCALS                                         \
  __local float slab_a[TILE_SLAB * TILE_ROWS];         \
  __local float slab_b[TILE_SLAB * TILE_COLUMNS];
#define LOCAL_ARGUMENTS , slab_a, slab_b
#define LOCAL_PARAMETERS , __local float* slab_a, __local float* slab_b
#define GROUP_WIDTH (TILE_COLUMNS / 4)
#define GROUP_SIZE (GROUP_WIDTH * (TILE_ROWS / 4))
#define CHAIN_STEP(link_, k)                                                                                          \
  {                                                                                                                   \
    FOR_SUMS(r, c)                                                                                                    \
    acc.v[r][c] = link_(slab_a[(k) * TILE_ROWS + row + r * (TILE_ROWS / 4)],                                          \
                        slab_b[(k) * TILE_COLUMNS + column + c * (TILE_COLUMNS / 4)], acc.v[r][c]);                   \
  }
#ifdef IN0_BF16
#define SLAB_STEPS(link_)                   \
  int k = 0;                                \
  for (; k + 1 < depth; k += 2) {           \
    CHAIN_STEP(link_, k + 1)                \
    CHAIN_STEP(link_, k)                    \
  }                                         \
  if (k < depth) CHAIN_STEP(link_, k)
#else
#define SLAB_STEPS(link_) for (int k = 0; k < depth; ++k) CHAIN_STEP(link_, k)
#endif
#define CHAIN_STEPS(link_)                                                                                                      \
  const int item = get_local_id(0);                                                                                             \
  const int row = item / GROUP_WIDTH, column = item % GROUP_WIDTH;                                                              \
  for (long slab = begin; slab < end; slab += TILE_SLAB) {                                                                      \
    const int depth = (int)min((long)TILE_SLAB, end - slab);                                                                    \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                                               \
    for (int i = item; i < depth * TILE_ROWS; i += GROUP_SIZE) slab_a[i] = a[slab * TILE_ROWS + i];                             \
    for (int i = item; i < depth * TILE_COLUMNS; i += GROUP_SIZE) slab_b[i] = b[slab * TILE_COLUMNS + i];                       \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                                               \
    SLAB_STEPS(link_)                                                                                                           \
  }
#endif

// One segment's chains.
inline void chain(sums* result, __global const float* a, __global const float* b, long begin, long end, int flush LOCAL_PARAMETERS) {
  sums acc;
  FOR_SUMS(r, c) acc.v[r][c] = (SUM)0.0f;
#ifdef IN0_BF16
  if (flush) {
    CHAIN_STEPS(fma_flush)
  } else {
    CHAIN_STEPS(fma)
  }
#else
  CHAIN_STEPS(fma)
#endif
  *result = acc;
}

// The finished sum over [first, last), a sample's or all there is.
inline void dot_sums(sums* result, __global const float* a, __global const float* b, long first, long last, int flush LOCAL_PARAMETERS) {
  if (last - first <= SEGMENT) {
    chain(result, a, b, first, last, flush LOCAL_ARGUMENTS);
    FOR_SUMS(r, c) result->v[r][c] += (SUM)0.0f;
    return;
  }
  tree_of_sums tree;
  tree.count = 0;
  tree.depth = 0;
  for (long begin = first; begin < last; begin += SEGMENT) {
    chain(result, a, b, begin, min(last, begin + SEGMENT), flush LOCAL_ARGUMENTS);
    push_sums(&tree, result);
  }
  finish_sums(&tree, result);
}

// The smallest exponent of a panel.
inline int least_of(__global const int* exponents, int chunks) {
  int least = NO_EXPONENT;
  for (int i = 0; i < chunks; ++i) least = min(least, exponents[i]);
  return least;
}

kernel void product(__global const float* packed_a, __global const float* packed_b, __global const int* a_exponents,
                    __global const int* b_exponents, __global OUT0* y, long rows, long columns, long depth, int chunks
#ifdef GROUPED
                    , __global const int* tiles
#endif
#ifdef SAMPLES
                    , __global const int* offsets, int sample_count
#endif
) {
  LOCALS
#ifdef WIDE
  const long tile_a = get_global_id(0), tile_b = get_global_id(1), matrix = get_global_id(2);
#else
  const long tile_a = get_group_id(0), tile_b = get_group_id(1), matrix = get_group_id(2);
#endif
#ifdef GROUPED
  const int group = tiles[3 * tile_a];
  if (group < 0) return;
  const long first_row = tiles[3 * tile_a + 1], row_count = tiles[3 * tile_a + 2];
  const long panel_b = group * get_num_groups(1) + tile_b;
#else
  const long first_row = tile_a * TILE_ROWS, row_count = min((long)TILE_ROWS, rows - first_row);
  const long panel_b = tile_b;
#endif
  __global const float* a = packed_a + tile_a * TILE_ROWS * depth;
  __global const float* b = packed_b + panel_b * TILE_COLUMNS * depth;
#ifdef IN0_BF16
  const int flush = can_be_tiny(least_of(a_exponents + tile_a * chunks, chunks), least_of(b_exponents + panel_b * chunks, chunks));
#else
  const int flush = 0;
#endif
  sums total;
#ifdef SAMPLES
  tree_of_sums tree;
  tree.count = 0;
  tree.depth = 0;
  for (int s = 0; s < sample_count; ++s) {
    dot_sums(&total, a, b, offsets[matrix * sample_count + s], offsets[matrix * sample_count + s + 1], flush LOCAL_ARGUMENTS);
    push_sums(&tree, &total);
  }
  finish_sums(&tree, &total);
#else
  dot_sums(&total, a, b, 0, depth, flush LOCAL_ARGUMENTS);
#endif
  const long first_column = tile_b * TILE_COLUMNS, column_count = min((long)TILE_COLUMNS, columns - first_column);
  __global OUT0* out = y + (matrix * rows + first_row) * columns + first_column;
#ifdef WIDE
#ifndef OUT0_BF16
  if (column_count == TILE_COLUMNS && row_count == TILE_ROWS) {
    _Pragma("unroll") for (int r = 0; r < TILE_ROWS; ++r) {
      vstore(total.v[r][0], 0, out + r * columns);
      vstore(total.v[r][1], 1, out + r * columns);
    }
    return;
  }
#endif
  for (int r = 0; r < row_count; ++r) {
    float line[TILE_COLUMNS];
    vstore(total.v[r][0], 0, line);
    vstore(total.v[r][1], 1, line);
    for (int c = 0; c < column_count; ++c) put0(out, r * columns + c, line[c]);
  }
#else
  const int item = get_local_id(0);
  FOR_SUMS(r, c) {
    const int row = item / GROUP_WIDTH + r * (TILE_ROWS / 4), column = item % GROUP_WIDTH + c * (TILE_COLUMNS / 4);
    if (row < row_count && column < column_count) put0(out, row * columns + column, total.v[r][c]);
  }
#endif
}
)CL";

}  // namespace

void plan_product(const Call& call, Plan& plan, const Product& product) {
  const std::string all = std::string(tile_text) + text;
  const Tile tile = product_tile(call.traits);
  const bool grouped = product.kind == Product::Kind::grouped, samples = product.kind == Product::Kind::samples;
  plan.name(
      fmt::format("{} {} {}x{}", call.in[product.a.input].bf16() ? "bf16" : "f32", style_name(call.traits.style), tile.rows, tile.columns));
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  const std::int64_t tiles_a = grouped ? tiles_max(call.traits, product.rows, product.groups) : (product.rows + tile.rows - 1) / tile.rows;
  const std::int64_t tiles_b = (product.columns + tile.columns - 1) / tile.columns;
  const std::int64_t chunks = (product.depth + 511) / 512, matrices_b = grouped ? product.groups : 1;
  const Argument a = plan.scratch(tiles_a * tile.rows * product.depth * 4);
  const Argument b = plan.scratch(matrices_b * tiles_b * tile.columns * product.depth * 4);
  const Argument a_exponents = plan.scratch(tiles_a * chunks * 4), b_exponents = plan.scratch(matrices_b * tiles_b * chunks * 4);
  const std::string_view defines = grouped ? "-DGROUPED" : samples ? "-DSAMPLES" : "";
  const auto size = [](std::int64_t x) { return static_cast<std::size_t>(x); };

  std::vector<Argument> pack = {Plan::in(product.a.input), a, a_exponents, product.rows, product.depth, small(product.a.depth_is_last)};
  std::vector<Argument> multiply = {
      a, b, a_exponents, b_exponents, Plan::out(0), product.rows, product.columns, product.depth, small(chunks)};
  if (grouped) {
    const std::int64_t group_samples = (call.in[product.offsets].count() - 1) / product.groups;
    const Argument tiles = plan_tiles(plan, product.offsets, product.groups, group_samples, tiles_a);
    plan.launch(all, "clear_unused",
                {Plan::in(product.offsets), Plan::out(0), call.out[0].count(), product.columns, small(product.groups * group_samples)},
                plan.elements(call.out[0].count()), defines);
    pack.push_back(tiles);
    multiply.push_back(tiles);
  }
  if (samples) {
    multiply.push_back(Plan::in(product.offsets));
    multiply.emplace_back(small((call.in[product.offsets].count() - 1) / product.groups));
  }
  plan.launch(all, "pack_rows", std::move(pack), {3, {size(tiles_a), size(chunks), 1}}, defines);
  plan.launch(all, "pack_columns",
              {Plan::in(product.b.input), b, b_exponents, product.columns, product.depth, small(product.b.depth_is_last)},
              {3, {size(tiles_b), size(chunks), size(matrices_b)}}, defines);
  const std::size_t items = call.traits.style == Style::wide ? 1 : size(tile.rows / 4 * (tile.columns / 4));
  plan.launch(all, "product", std::move(multiply),
              {3, {size(tiles_a) * items, size(tiles_b), size(samples ? product.groups : 1)}, {items, 1, 1}}, defines);
}

}  // namespace godwit::opencl
