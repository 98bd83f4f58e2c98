#include "families/attention_tiles.h"

#include <bit>
#include <string>

#include "families/tile.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
#define BLOCK (2 * VECTOR)
#define CHUNK 16
#define LEVELS 24

#ifdef IN0_BF16
#define as_operand(x) rounded(x)
#else
#define as_operand(x) (x)
#endif

// ---- Laying out ----
//
// A work-item has 16 tokens of a head. `columns` is [head, i, tokens_padded], `rows` [head, token, width_padded] (null: not wanted); what
// pads them is +0.
#define LAY_OUT(width, value_at)                                                                            \
  const long begin = get_global_id(0) * CHUNK;                                                              \
  const int h = get_global_id(1), count = (int)min((long)CHUNK, max(0l, tokens - begin));                   \
  const int width_padded = ((width) + BLOCK - 1) / BLOCK * BLOCK;                                           \
  int least = NO_EXPONENT;                                                                                  \
  for (int i = 0; i < width_padded; ++i) {                                                                  \
    float line[CHUNK];                                                                                      \
    for (int n = 0; n < CHUNK; ++n) {                                                                       \
      const long t = begin + n;                                                                             \
      line[n] = n < count && i < (width) ? value_at : 0.0f;                                                 \
      least = min(least, exponent_of(line[n]));                                                             \
    }                                                                                                       \
    if (columns && i < (width)) {                                                                           \
      for (int n = 0; n < CHUNK; ++n) columns[((long)h * (width) + i) * tokens_padded + begin + n] = line[n]; \
    }                                                                                                       \
    if (rows) {                                                                                             \
      for (int n = 0; n < count; ++n) rows[((long)h * tokens + begin + n) * width_padded + i] = line[n];    \
    }                                                                                                       \
  }                                                                                                         \
  exponents[h * get_global_size(0) + get_global_id(0)] = least;

kernel void lay_out_queries(__global const IN0* q, __global float* columns, __global float* rows, __global int* exponents, long tokens,
                            long tokens_padded, int heads, int width) {
  LAY_OUT(width, operand0(q, (t * heads + h) * width + i))
}
kernel void lay_out_keys(__global const IN0* kv, __global const IN0* k_pe, __global float* columns, __global float* rows,
                         __global int* exponents, long tokens, long tokens_padded, int heads, int nope, int rotary, int value) {
  LAY_OUT(nope + rotary, i < nope ? operand0(kv, (t * heads + h) * (nope + value) + i) : operand0(k_pe, t * rotary + i - nope))
}
kernel void lay_out_values(__global const IN0* kv, __global float* columns, __global float* rows, __global int* exponents, long tokens,
                           long tokens_padded, int heads, int nope, int value) {
  LAY_OUT(value, operand0(kv, (t * heads + h) * (nope + value) + nope + i))
}
kernel void lay_out_gradients(__global const float* d_o, __global float* columns, __global float* rows, __global int* exponents, long tokens,
                              long tokens_padded, int heads, int value) {
  LAY_OUT(value, as_operand(d_o[(t * heads + h) * value + i]))
}
// m, l and D = do·o, tokens side by side: [3, head, tokens_padded].
kernel void lay_out_rows(__global const float* m, __global const float* l, __global const float* o_all, __global const float* do_all,
                         __global float* columns, long tokens, long tokens_padded, int heads, int value) {
  const long row = get_global_id(0), t = row / heads, h = row % heads;
  if (row >= tokens * heads) return;
  __global const float* o = o_all + row * value;
  __global const float* gradient = do_all + row * value;
  float d;
  ROW(d, value, c, lane, lane = fma(gradient[c], o[c], lane))
  columns[h * tokens_padded + t] = m[row];
  columns[(heads + h) * tokens_padded + t] = l[row];
  columns[(2 * heads + h) * tokens_padded + t] = d;
}

// Rows of no sample.
kernel void clear_unused(__global const int* samples, __global float* y, long count, long width, int sample_count) {
  const long at = get_global_id(0);
  if (at < count && sample_of(samples, sample_count, at / width) < 0) y[at] = 0.0f;
}

// ---- Tiles ----

// The smallest exponent of tokens [begin, end) of a head, or of some around them.
inline int least_of(__global const int* exponents, int h, int chunks, long begin, long end) {
  int least = NO_EXPONENT;
#ifdef IN0_BF16
  for (long chunk = begin / CHUNK; chunk * CHUNK < end; ++chunk) least = min(least, exponents[h * chunks + chunk]);
#endif
  return least;
}

// A tile's rows as products take them: [index, row of the tile], +0 for rows that are not there.
inline void load_tile(float* to, __global const float* rows_of_head, long token, int count, int width, int width_padded) {
  for (int r = 0; r < TILE_ROWS; ++r) {
    for (int i = 0; i < width; ++i) to[i * TILE_ROWS + r] = r < count ? rows_of_head[(token + r) * width_padded + i] : 0.0f;
  }
}

inline void clear(sums* acc) {
  FOR_SUMS(r, c) acc->v[r][c] = (SUM)0.0f;
}

// Goes on with row r's chains over the places [begin, end) one by one, those before `visible` left out; `length`: where the segment ends.
#define LONE_STEPS(acc, r, a, b, stride, visible, begin, end, length)                                \
  for (long place_ = (begin); place_ < (end); ++place_) {                                            \
    const long k_ = paired(place_, 0, (long)(length));                                               \
    if (k_ < (visible)) continue;                                                                    \
    const VEC a_ = (VEC)((a)[k_ * TILE_ROWS + (r)]);                                                 \
    (acc).v[r][0] = link(a_, vload(0, (b) + k_ * (stride)), (acc).v[r][0]);                          \
    (acc).v[r][1] = link(a_, vload(1, (b) + k_ * (stride)), (acc).v[r][1]);                          \
  }

// The chains of a tile's rows over a segment of what each of them sees: row r the first seen[r] places, of which all see the first
// `shared`; for BLOCK columns.
inline void sum_seen(sums* result, const float* a, __global const float* b, long stride, const int* seen, int shared, int flush) {
  sums acc;
  clear(&acc);
  TILE_CHAIN(acc, a, b, stride, 0, shared, flush)
  for (int r = 0; r < TILE_ROWS; ++r) {
    LONE_STEPS(acc, r, a, b, stride, 0, shared, seen[r], seen[r])
  }
  *result = acc;
}
// Where all rows that see anything see the same, that; otherwise the even number of places that all of these see.
inline int shared_of(const int* seen, int rows) {
  int least = SEGMENT, most = 0;
  for (int r = 0; r < rows; ++r) {
    if (seen[r] > 0) least = min(least, seen[r]);
    most = max(most, seen[r]);
  }
  return least >= most ? most : least & ~1;
}

inline float largest_of(const float* z, int count) {
  VEC largest = (VEC)(-INFINITY);
  int j = 0;
  for (; j + VECTOR <= count; j += VECTOR) largest = max_of(largest, vload(0, z + j));
  float lanes[VECTOR];
  vstore(largest, 0, lanes);
  float m = -INFINITY;
  for (int k = 0; k < VECTOR; ++k) m = max_of(m, lanes[k]);
  for (; j < count; ++j) m = max_of(m, z[j]);
  return m;
}
// One segment of a row reduction of numbers padded with +0 to a multiple of 64.
inline float sum_lanes(const float* p, int count) {
  VEC lanes[LANES / VECTOR];
  for (int k = 0; k < LANES / VECTOR; ++k) lanes[k] = (VEC)0.0f;
  for (int j = 0; j < count; j += LANES) {
    for (int k = 0; k < LANES / VECTOR; ++k) lanes[k] = lanes[k] + vload(k, p + j);
  }
  float all[LANES];
  for (int k = 0; k < LANES / VECTOR; ++k) vstore(lanes[k], k, all);
  return join_lanes(all);
}

// A tree over segments of one row's numbers, each of `width` (a multiple of the vector): level after level in scratch.
inline void add_level(__global float* stack, int level, int width) {
  __global float* first = stack + level * width;
  for (int c = 0; c < width; c += VECTOR) vstore(vload(0, first + c) + vload(0, first + width + c), 0, first + c);
}
inline int push_level(__global float* stack, int depth, uint nodes, int width) {
  for (uint bit = nodes; bit & 1u; bit >>= 1) {
    --depth;
    add_level(stack, depth, width);
  }
  return depth + 1;
}
inline void finish_levels(__global float* stack, int depth, int width) {
  for (int level = depth - 2; level >= 0; --level) add_level(stack, level, width);
}

// Attention's nodes carry m and l beside them.
typedef struct {
  float m[LEVELS], l[LEVELS];
  int depth;
  uint nodes;
} attention_tree;
// Joins the last two nodes.
inline void join_attention(attention_tree* tree, __global float* stack, int width) {
  const int at = --tree->depth - 1;
  const float m = max_of(tree->m[at], tree->m[at + 1]);
  const float a1 = exp_of(tree->m[at] - m), a2 = exp_of(tree->m[at + 1] - m);
  tree->l[at] = fma(tree->l[at], a1, tree->l[at + 1] * a2);
  tree->m[at] = m;
  __global float* first = stack + at * width;
  for (int c = 0; c < width; c += VECTOR)
    vstore(fma(vload(0, first + c), (VEC)a1, vload(0, first + width + c) * (VEC)a2), 0, first + c);
}
inline void push_attention(attention_tree* tree, __global float* stack, int width, float m, float l) {
  tree->m[tree->depth] = m;
  tree->l[tree->depth] = l;
  ++tree->depth;
  for (uint bit = tree->nodes; bit & 1u; bit >>= 1) join_attention(tree, stack, width);
  ++tree->nodes;
}

kernel void attention_tiles(__global const IN0* q, __global const float* key_columns, __global const float* value_rows,
                            __global const int* key_exponents, __global const int* value_exponents, __global const int* samples,
                            __global const int* tiles, __global float* o_all, __global float* m_all, __global float* l_all,
                            __global float* stacks, int stack_floats, long tokens, long tokens_padded, int chunks, int heads,
                            int key_width, int value, float scale) {
  const long tile = get_global_id(0), h = get_global_id(1);
  if (tiles[3 * tile] < 0) return;
  const long token = tiles[3 * tile + 1], first = samples[tiles[3 * tile]];
  const int rows = tiles[3 * tile + 2], value_padded = (value + BLOCK - 1) / BLOCK * BLOCK;
  __global const float* keys = key_columns + h * key_width * tokens_padded;
  __global const float* values = value_rows + h * tokens * value_padded;
  __global float* stack = stacks + (tile * heads + h) * TILE_ROWS * stack_floats;
  float queries[TILE_ROWS * SEGMENT];
  int least = NO_EXPONENT;
  for (int r = 0; r < TILE_ROWS; ++r) {
    for (int i = 0; i < key_width; ++i) {
      const float x = r < rows ? operand0(q, ((token + r) * heads + h) * key_width + i) : 0.0f;
      queries[i * TILE_ROWS + r] = x;
      least = min(least, exponent_of(x));
    }
  }
  const long end = token + rows - first;  // of the keys that the last row sees
  const int flush_scores = can_be_tiny(least, least_of(key_exponents, h, chunks, first, first + end));
  const int least_value = least_of(value_exponents, h, chunks, first, first + end);
  attention_tree trees[TILE_ROWS];
  for (int r = 0; r < TILE_ROWS; ++r) trees[r].depth = trees[r].nodes = 0;
  for (long begin = 0; begin < end; begin += SEGMENT) {
    const int length = (int)min((long)SEGMENT, end - begin);
    float z[TILE_ROWS][SEGMENT], p[SEGMENT * TILE_ROWS];
    for (int j = 0; j < length; j += BLOCK) {
      sums acc;
      clear(&acc);
      TILE_CHAIN(acc, queries, keys + first + begin + j, tokens_padded, 0, key_width, flush_scores)
      _Pragma("unroll") for (int r = 0; r < TILE_ROWS; ++r) {
        vstore((acc.v[r][0] + (VEC)0.0f) * (VEC)scale, 0, &z[r][j]);
        vstore((acc.v[r][1] + (VEC)0.0f) * (VEC)scale, 1, &z[r][j]);
      }
    }
    int seen[TILE_ROWS];
    float m[TILE_ROWS], l[TILE_ROWS];
    int least_p = NO_EXPONENT;
    for (int r = 0; r < TILE_ROWS; ++r) {
      const int count = r < rows ? (int)clamp(token + r + 1 - first - begin, 0l, (long)length) : 0;
      seen[r] = count;
      m[r] = largest_of(z[r], count);
      for (int j = 0; j < count; j += VECTOR) vstore(exp_of(vload(0, &z[r][j]) - (VEC)m[r]), 0, &z[r][j]);
      for (int j = count; j % LANES != 0; ++j) z[r][j] = 0.0f;
      l[r] = sum_lanes(z[r], count);
      for (int j = 0; j < length; ++j) {
        const float x = j < count ? as_operand(z[r][j]) : 0.0f;
        p[j * TILE_ROWS + r] = x;
        least_p = min(least_p, exponent_of(x));
      }
    }
    const int shared = shared_of(seen, rows);
    const int flush_values = can_be_tiny(least_p, least_value);
    for (int c = 0; c < value_padded; c += BLOCK) {
      sums acc;
      sum_seen(&acc, p, values + (first + begin) * value_padded + c, value_padded, seen, shared, flush_values);
      for (int r = 0; r < rows; ++r) {
        __global float* node = stack + r * stack_floats + trees[r].depth * value_padded + c;
        vstore(acc.v[r][0], 0, node);
        vstore(acc.v[r][1], 1, node);
      }
    }
    for (int r = 0; r < rows; ++r) {
      if (seen[r] > 0) push_attention(&trees[r], stack + r * stack_floats, value_padded, m[r], l[r]);
    }
  }
  for (int r = 0; r < rows; ++r) {
    __global float* node = stack + r * stack_floats;
    while (trees[r].depth > 1) join_attention(&trees[r], node, value_padded);
    const long row = (token + r) * heads + h;
    const float l = trees[r].l[0] + 0.0f;
    for (int c = 0; c < value; ++c) o_all[row * value + c] = (node[c] + 0.0f) / l;
    m_all[row] = trees[r].m[0];
    l_all[row] = l;
  }
}

// P and dS of a tile against BLOCK others, by vectors; what is not seen is made too, and not used.
#define PROBABILITIES(z, dp, m, l, d, p_of, ds_of)                                                      \
  {                                                                                                        \
    const VEC probability_ = exp_of(((z) + (VEC)0.0f) * (VEC)scale - (m)) / (l);                           \
    p_of = as_operand(probability_);                                                                       \
    ds_of = as_operand((probability_ * (((dp) + (VEC)0.0f) - (d))) * (VEC)scale);                          \
  }

kernel void query_gradient_tiles(__global const float* query_rows, __global const float* key_columns, __global const float* key_rows,
                                 __global const float* value_columns, __global const float* gradient_rows, __global const float* mld,
                                 __global const int* query_exponents, __global const int* key_exponents,
                                 __global const int* value_exponents, __global const int* gradient_exponents, __global const int* samples,
                                 __global const int* tiles, __global float* dq, __global float* stacks, int stack_floats, long tokens,
                                 long tokens_padded, int chunks, int heads, int key_width, int value, float scale) {
  const long tile = get_global_id(0), h = get_global_id(1);
  if (tiles[3 * tile] < 0) return;
  const long token = tiles[3 * tile + 1], first = samples[tiles[3 * tile]];
  const int rows = tiles[3 * tile + 2];
  const int key_padded = (key_width + BLOCK - 1) / BLOCK * BLOCK, value_padded = (value + BLOCK - 1) / BLOCK * BLOCK;
  __global float* stack = stacks + (tile * heads + h) * TILE_ROWS * stack_floats;
  float queries[TILE_ROWS * SEGMENT], gradients[TILE_ROWS * SEGMENT];
  load_tile(queries, query_rows + h * tokens * key_padded, token, rows, key_width, key_padded);
  load_tile(gradients, gradient_rows + h * tokens * value_padded, token, rows, value, value_padded);
  const long end = token + rows - first;
  const int least_key = least_of(key_exponents, h, chunks, first, first + end);
  const int flush_scores = can_be_tiny(least_of(query_exponents, h, chunks, token, token + rows), least_key);
  const int flush_dp = can_be_tiny(least_of(gradient_exponents, h, chunks, token, token + rows),
                                   least_of(value_exponents, h, chunks, first, first + end));
  int depth[TILE_ROWS];
  uint nodes[TILE_ROWS];
  for (int r = 0; r < TILE_ROWS; ++r) depth[r] = nodes[r] = 0;
  for (long begin = 0; begin < end; begin += SEGMENT) {
    const int length = (int)min((long)SEGMENT, end - begin);
    int seen[TILE_ROWS];
    for (int r = 0; r < TILE_ROWS; ++r) seen[r] = r < rows ? (int)clamp(token + r + 1 - first - begin, 0l, (long)length) : 0;
    float ds[SEGMENT * TILE_ROWS];
    int least_ds = NO_EXPONENT;
    for (int j = 0; j < length; j += BLOCK) {
      sums z, dp;
      clear(&z);
      clear(&dp);
      TILE_CHAIN(z, queries, key_columns + h * key_width * tokens_padded + first + begin + j, tokens_padded, 0, key_width, flush_scores)
      TILE_CHAIN(dp, gradients, value_columns + h * value * tokens_padded + first + begin + j, tokens_padded, 0, value, flush_dp)
      for (int r = 0; r < rows; ++r) {
        __global const float* at = mld + h * tokens_padded + token + r;
        const VEC m = (VEC)at[0], l = (VEC)at[heads * tokens_padded], d = (VEC)at[2 * heads * tokens_padded];
        float line[BLOCK];
        for (int c = 0; c < 2; ++c) {
          VEC p, x;
          PROBABILITIES(z.v[r][c], dp.v[r][c], m, l, d, p, x)
          vstore(x, c, line);
        }
        for (int n = 0; n < min(BLOCK, length - j); ++n) {
          const float x = j + n < seen[r] ? line[n] : 0.0f;
          ds[(j + n) * TILE_ROWS + r] = x;
          least_ds = min(least_ds, exponent_of(x));
        }
      }
      for (int r = rows; r < TILE_ROWS; ++r) {
        for (int n = 0; n < min(BLOCK, length - j); ++n) ds[(j + n) * TILE_ROWS + r] = 0.0f;
      }
    }
    const int shared = shared_of(seen, rows);
    const int flush = can_be_tiny(least_ds, least_key);
    for (int c = 0; c < key_padded; c += BLOCK) {
      sums acc;
      sum_seen(&acc, ds, key_rows + (h * tokens + first + begin) * key_padded + c, key_padded, seen, shared, flush);
      for (int r = 0; r < rows; ++r) {
        __global float* node = stack + r * stack_floats + depth[r] * key_padded + c;
        vstore(acc.v[r][0], 0, node);
        vstore(acc.v[r][1], 1, node);
      }
    }
    for (int r = 0; r < rows; ++r) {
      if (seen[r] > 0) depth[r] = push_level(stack + r * stack_floats, depth[r], nodes[r]++, key_padded);
    }
  }
  for (int r = 0; r < rows; ++r) {
    __global float* node = stack + r * stack_floats;
    finish_levels(node, depth[r], key_padded);
    for (int i = 0; i < key_width; ++i) dq[((token + r) * heads + h) * key_width + i] = node[i] + 0.0f;
  }
}

// The chains of a tile's keys over a segment's rows: key r from place hidden[r] on; from `shared` on all are seen.
inline void sum_behind(sums* result, const float* a, __global const float* b, long stride, const int* hidden, int shared, int length,
                       int flush) {
  sums acc;
  clear(&acc);
  for (int r = 0; r < TILE_ROWS; ++r) {
    LONE_STEPS(acc, r, a, b, stride, hidden[r], hidden[r] & ~1, shared, length)
  }
  TILE_CHAIN(acc, a, b, stride, shared, length, flush)
  *result = acc;
}

kernel void key_gradient_tiles(__global const float* query_columns, __global const float* query_rows, __global const float* key_rows,
                               __global const float* value_rows, __global const float* gradient_columns,
                               __global const float* gradient_rows, __global const float* mld, __global const int* query_exponents,
                               __global const int* key_exponents, __global const int* value_exponents,
                               __global const int* gradient_exponents, __global const int* samples, __global const int* tiles,
                               __global float* dkv, __global float* dk_pe_of_heads, __global float* stacks, int stack_floats, long tokens,
                               long tokens_padded, int chunks, int heads, int nope, int rotary, int value, float scale) {
  const long tile = get_global_id(0), h = get_global_id(1);
  if (tiles[3 * tile] < 0) return;
  const long token = tiles[3 * tile + 1], first = samples[tiles[3 * tile]], count = samples[tiles[3 * tile] + 1] - first;
  const int rows = tiles[3 * tile + 2], key_width = nope + rotary;
  const int key_padded = (key_width + BLOCK - 1) / BLOCK * BLOCK, value_padded = (value + BLOCK - 1) / BLOCK * BLOCK;
  const int width = key_padded + value_padded;
  __global float* stack = stacks + (tile * heads + h) * TILE_ROWS * stack_floats;
  float keys[TILE_ROWS * SEGMENT], values[TILE_ROWS * SEGMENT];
  load_tile(keys, key_rows + h * tokens * key_padded, token, rows, key_width, key_padded);
  load_tile(values, value_rows + h * tokens * value_padded, token, rows, value, value_padded);
  const int least_query = least_of(query_exponents, h, chunks, token, first + count);
  const int least_gradient = least_of(gradient_exponents, h, chunks, token, first + count);
  const int flush_scores = can_be_tiny(least_query, least_of(key_exponents, h, chunks, token, token + rows));
  const int flush_dp = can_be_tiny(least_gradient, least_of(value_exponents, h, chunks, token, token + rows));
  __global const float* m_row = mld + h * tokens_padded;
  __global const float* l_row = mld + (heads + h) * tokens_padded;
  __global const float* d_row = mld + (2 * heads + h) * tokens_padded;
  int depth = 0;
  uint nodes = 0;
  for (long begin = 0; begin < count; begin += SEGMENT) {
    const int length = (int)min((long)SEGMENT, count - begin);
    int hidden[TILE_ROWS];
    for (int r = 0; r < TILE_ROWS; ++r) hidden[r] = r < rows ? (int)clamp(token + r - first - begin, 0l, (long)length) : length;
    // Rows that are not there would share nothing: they go with the last that is.
    const int shared = min((hidden[rows - 1] + 1) & ~1, length);
    for (int r = rows; r < TILE_ROWS; ++r) hidden[r] = shared;
    float p[SEGMENT * TILE_ROWS], ds[SEGMENT * TILE_ROWS];
    int least_p = NO_EXPONENT, least_ds = NO_EXPONENT;
    for (int t = hidden[0] / BLOCK * BLOCK; t < length; t += BLOCK) {
      const long at = first + begin + t;
      sums z, dp;
      clear(&z);
      clear(&dp);
      TILE_CHAIN(z, keys, query_columns + h * key_width * tokens_padded + at, tokens_padded, 0, key_width, flush_scores)
      TILE_CHAIN(dp, values, gradient_columns + h * value * tokens_padded + at, tokens_padded, 0, value, flush_dp)
      for (int r = 0; r < TILE_ROWS; ++r) {
        float p_line[BLOCK], ds_line[BLOCK];
        for (int c = 0; c < 2; ++c) {
          VEC x, y;
          PROBABILITIES(z.v[r][c], dp.v[r][c], vload(c, m_row + at), vload(c, l_row + at), vload(c, d_row + at), x, y)
          vstore(x, c, p_line);
          vstore(y, c, ds_line);
        }
        for (int n = 0; n < min(BLOCK, length - t); ++n) {
          const int visible = r < rows && t + n >= hidden[r];
          const float x = visible ? p_line[n] : 0.0f, y = visible ? ds_line[n] : 0.0f;
          p[(t + n) * TILE_ROWS + r] = x;
          ds[(t + n) * TILE_ROWS + r] = y;
          least_p = min(least_p, exponent_of(x));
          least_ds = min(least_ds, exponent_of(y));
        }
      }
    }
    const int flush_keys = can_be_tiny(least_ds, least_query), flush_values = can_be_tiny(least_p, least_gradient);
    for (int c = 0; c < width; c += BLOCK) {
      sums acc;
      const int of_values = c >= key_padded;
      if (of_values) {
        sum_behind(&acc, p, gradient_rows + (h * tokens + first + begin) * value_padded + c - key_padded, value_padded, hidden, shared,
                   length, flush_values);
      } else {
        sum_behind(&acc, ds, query_rows + (h * tokens + first + begin) * key_padded + c, key_padded, hidden, shared, length, flush_keys);
      }
      for (int r = 0; r < rows; ++r) {
        __global float* node = stack + r * stack_floats + depth * width + c;
        vstore(acc.v[r][0], 0, node);
        vstore(acc.v[r][1], 1, node);
      }
    }
    int next = depth;
    for (int r = 0; r < rows; ++r) next = push_level(stack + r * stack_floats, depth, nodes, width);
    depth = next;
    ++nodes;
  }
  for (int r = 0; r < rows; ++r) {
    __global float* node = stack + r * stack_floats;
    finish_levels(node, depth, width);
    const long row = (token + r) * heads + h;
    for (int i = 0; i < nope; ++i) dkv[row * (nope + value) + i] = node[i] + 0.0f;
    for (int c = 0; c < value; ++c) dkv[row * (nope + value) + nope + c] = node[key_padded + c] + 0.0f;
    for (int i = 0; i < rotary; ++i) dk_pe_of_heads[row * rotary + i] = node[nope + i] + 0.0f;
  }
}

kernel void add_heads(__global const float* of_heads, __global const int* samples, __global float* dk_pe, long count, int rotary, int heads,
                      int sample_count) {
  const long at = get_global_id(0);
  if (at >= count) return;
  float sum = 0.0f;
  if (sample_of(samples, sample_count, at / rotary) >= 0) {
    for (int h = 0; h < heads; ++h) sum = sum + of_heads[(at / rotary * heads + h) * rotary + at % rotary];
  }
  dk_pe[at] = sum;
}
)CL";

std::int32_t small(std::int64_t x) {
  return static_cast<std::int32_t>(x);
}

// What both ops know of their sizes, and the pieces they lay out.
struct Layout {
  Layout(const Call& call, Plan& plan, std::size_t samples_input)
      : call_(call),
        plan_(plan),
        samples_input_(samples_input),
        tokens(call.in[0].rows()),
        heads(call.integer("heads")),
        nope(call.integer("nope")),
        rotary(call.in[2].width()),
        value(call.integer("value")),
        samples(call.in[samples_input].count() - 1),
        block(product_tile(call.traits).columns),
        // One block more than tokens, for what vectors read behind the last; off a power of two, or every column would lie in the same
        // lines of a cache.
        tokens_padded((tokens + block - 1) / block * block + 2 * block),
        chunks(tokens_padded / 16),
        tile_count(tiles_max(call.traits, tokens, samples)) {}

  struct Piece {
    Argument columns, rows, exponents;
  };
  [[nodiscard]] std::int64_t padded(std::int64_t width) const { return (width + block - 1) / block * block; }
  Piece lay_out(const char* function, std::vector<Argument> sources, std::int64_t width, bool columns, bool rows,
                std::vector<Argument> sizes) const {
    const Piece piece{plan_.scratch(columns ? heads * width * tokens_padded * 4 : 0),
                      plan_.scratch(rows ? heads * tokens * padded(width) * 4 : 0), plan_.scratch(heads * chunks * 4)};
    std::vector<Argument> arguments = std::move(sources);
    arguments.insert(arguments.end(), {piece.columns, piece.rows, piece.exponents, tokens, tokens_padded, small(heads)});
    arguments.insert(arguments.end(), sizes.begin(), sizes.end());
    launch(function, std::move(arguments), per_chunk());
    return piece;
  }
  Piece keys(bool rows) const {
    return lay_out("lay_out_keys", {Plan::in(1), Plan::in(2)}, nope + rotary, true, rows, {small(nope), small(rotary), small(value)});
  }
  Piece values(bool columns, bool rows) const {
    return lay_out("lay_out_values", {Plan::in(1)}, value, columns, rows, {small(nope), small(value)});
  }
  // Levels of a tree over a sample's segments, `width` floats each, for every row of every tile.
  [[nodiscard]] std::int64_t stack_floats(std::int64_t width) const {
    return (std::bit_width(static_cast<std::uint64_t>((tokens + 511) / 512)) + 1) * width;
  }
  [[nodiscard]] Argument stacks(std::int64_t floats) const {
    return plan_.scratch(tile_count * heads * product_tile(call_.traits).rows * floats * 4);
  }
  [[nodiscard]] Argument tiles() const { return plan_tiles(plan_, samples_input_, samples, 1, tile_count); }
  void launch(const char* function, std::vector<Argument> arguments, const Range& range) const {
    plan_.launch(std::string(tile_text) + text, function, std::move(arguments), range);
  }
  void clear(std::size_t output) const {
    const View& y = call_.out[output];
    launch("clear_unused", {Plan::in(samples_input_), Plan::out(output), y.count(), y.width(), small(samples)}, plan_.elements(y.count()));
  }
  [[nodiscard]] Range per_chunk() const { return per(chunks); }
  [[nodiscard]] Range per_tile() const { return per(tile_count); }

 private:
  [[nodiscard]] Range per(std::int64_t count) const {
    return {2, {static_cast<std::size_t>(count), static_cast<std::size_t>(heads), 1}, {1, 1, 1}};
  }
  const Call& call_;
  Plan& plan_;
  std::size_t samples_input_;

 public:
  std::int64_t tokens, heads, nope, rotary, value, samples, block, tokens_padded, chunks, tile_count;
};

void name(const Call& call, Plan& plan) {
  const Tile tile = product_tile(call.traits);
  plan.name("wide " + std::to_string(tile.rows) + "x" + std::to_string(tile.columns));
}

}  // namespace

bool by_tiles(const Call& call) {
  const std::int64_t key_width = call.integer("nope") + call.in[2].width();
  return call.traits.style == Style::wide && key_width <= 512 && call.integer("value") <= 512;
}

void plan_attention_tiles(const Call& call, Plan& plan) {
  name(call, plan);
  const Layout all(call, plan, 3);
  const Layout::Piece keys = all.keys(false), values = all.values(false, true);
  const Argument tiles = all.tiles();
  for (std::size_t output = 0; output < 3; ++output) all.clear(output);
  const std::int64_t floats = all.stack_floats(all.padded(all.value));
  const Argument stacks = all.stacks(floats);
  all.launch("attention_tiles",
             {Plan::in(0), keys.columns, values.rows, keys.exponents, values.exponents, Plan::in(3), tiles, Plan::out(0), Plan::out(1),
              Plan::out(2), stacks, small(floats), all.tokens, all.tokens_padded, small(all.chunks), small(all.heads),
              small(all.nope + all.rotary), small(all.value), call.real32("scale")},
             all.per_tile());
}

void plan_attention_backward_tiles(const Call& call, Plan& plan) {
  name(call, plan);
  const Layout all(call, plan, 7);
  const std::int64_t key_width = all.nope + all.rotary;
  const Layout::Piece queries = all.lay_out("lay_out_queries", {Plan::in(0)}, key_width, true, true, {small(key_width)});
  const Layout::Piece keys = all.keys(true), values = all.values(true, true);
  const Layout::Piece gradients = all.lay_out("lay_out_gradients", {Plan::in(6)}, all.value, true, true, {small(all.value)});
  const Argument mld = plan.scratch(3 * all.heads * all.tokens_padded * 4);
  all.launch("lay_out_rows",
             {Plan::in(4), Plan::in(5), Plan::in(3), Plan::in(6), mld, all.tokens, all.tokens_padded, small(all.heads), small(all.value)},
             plan.elements(all.tokens * all.heads));
  const Argument tiles = all.tiles();
  all.clear(0);
  all.clear(1);
  const std::int64_t query_floats = all.stack_floats(all.padded(key_width));
  const std::int64_t key_floats = all.stack_floats(all.padded(key_width) + all.padded(all.value));
  const Argument stacks = all.stacks(key_floats), dk_pe = plan.scratch(all.tokens * all.heads * all.rotary * 4);
  all.launch("query_gradient_tiles",
             {queries.rows,      keys.columns,     keys.rows,           values.columns,      gradients.rows,    mld,
              queries.exponents, keys.exponents,   values.exponents,    gradients.exponents, Plan::in(7),       tiles,
              Plan::out(0),      stacks,           small(query_floats), all.tokens,          all.tokens_padded, small(all.chunks),
              small(all.heads),  small(key_width), small(all.value),    call.real32("scale")},
             all.per_tile());
  all.launch("key_gradient_tiles",
             {queries.columns,
              queries.rows,
              keys.rows,
              values.rows,
              gradients.columns,
              gradients.rows,
              mld,
              queries.exponents,
              keys.exponents,
              values.exponents,
              gradients.exponents,
              Plan::in(7),
              tiles,
              Plan::out(1),
              dk_pe,
              stacks,
              small(key_floats),
              all.tokens,
              all.tokens_padded,
              small(all.chunks),
              small(all.heads),
              small(all.nope),
              small(all.rotary),
              small(all.value),
              call.real32("scale")},
             all.per_tile());
  const std::int64_t count = all.tokens * all.rotary;
  all.launch("add_heads", {dk_pe, Plan::in(7), Plan::out(2), count, small(all.rotary), small(all.heads), small(all.samples)},
             plan.elements(count));
}

}  // namespace godwit::opencl
