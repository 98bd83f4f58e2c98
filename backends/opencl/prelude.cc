#include "prelude.h"

namespace godwit::opencl {

const char* const prelude = R"CL(
#pragma OPENCL FP_CONTRACT OFF

#define SEGMENT 512
#define LANES 64
#define NAN_F32 as_float(0x7FC00000u)

// ---- bf16 ----

inline float widen(ushort h) {
  return as_float((uint)h << 16);
}
// To nearest even; subnormals to zero of their sign, NaN to 0x7FC0.
inline ushort narrow(float x) {
  const uint b = as_uint(x);
  const uint rounded = (b + 0x7FFFu + ((b >> 16) & 1u)) >> 16;
  const uint finite = (b & 0x7F800000u) == 0u ? (b >> 16) & 0x8000u : rounded;
  return (ushort)(x != x ? 0x7FC0u : finite);
}
// An operand of a bf16 product: subnormals count as zero of their sign.
inline float operand(ushort h) {
  return as_float((h & 0x7F80u) == 0u ? ((uint)h & 0x8000u) << 16 : (uint)h << 16);
}

// The op's tensors by type: INk and OUTk are elements, getk and putk move them as floats.
#ifdef IN0_BF16
#define IN0 ushort
#define get0(p, i) widen((p)[i])
#define operand0(p, i) operand((p)[i])
#else
#define IN0 float
#define get0(p, i) ((p)[i])
#define operand0(p, i) ((p)[i])
#endif
#ifdef IN1_BF16
#define IN1 ushort
#define operand1(p, i) operand((p)[i])
#else
#define IN1 float
#define operand1(p, i) ((p)[i])
#endif
#ifdef OUT0_BF16
#define OUT0 ushort
#define put0(p, i, value) ((p)[i] = narrow(value))
#else
#define OUT0 float
#define put0(p, i, value) ((p)[i] = (value))
#endif
#ifdef OUT1_BF16
#define OUT1 ushort
#define put1(p, i, value) ((p)[i] = narrow(value))
#else
#define OUT1 float
#define put1(p, i, value) ((p)[i] = (value))
#endif

// ---- Functions, for floats and for vectors of them ----
//
// fma_flush, one link of a bf16 chain. Its operands are flushed before, and an earlier link never leaves a subnormal. Where fma's own result
// is 2^-126 it may have been rounded up from what is still tiny with an unbounded exponent; 2^24 times as large, nothing is subnormal, and
// whether the product's own rounding reaches 2^-126 shows. (Where that overflows, the sum was exact, and the comparison fails as it must.)
#define DEFINE_FUNCTIONS(F, I, U)                                                                       \
  /* As it enters a bf16 product. */                                                                    \
  inline F __attribute__((overloadable)) rounded(F x) {                                                 \
    const U b = as_##U(x);                                                                              \
    const U nearest = (b + (U)0x7FFFu + ((b >> (U)16) & (U)1u)) & (U)0xFFFF0000u;                       \
    const U finite = (b & (U)0x7F800000u) == (U)0u ? b & (U)0x80000000u : nearest;                      \
    return x != x ? (F)NAN_F32 : as_##F(finite);                                                        \
  }                                                                                                     \
  inline F __attribute__((overloadable)) fma_flush(F a, F b, F acc) {                                   \
    const F r = fma(a, b, acc);                                                                         \
    const F unbounded = fma(a * (F)0x1p24f, b, acc * (F)0x1p24f);                                       \
    const F zero = as_##F(as_##U(r) & (U)0x80000000u);                                                  \
    return (fabs(r) < (F)0x1p-126f) | (fabs(unbounded) < (F)0x1p-102f) ? zero : r;                      \
  }                                                                                                     \
  inline F __attribute__((overloadable)) max_of(F a, F b) {                                             \
    const F larger = a > b ? a : b;                                                                     \
    const F m = larger == (F)0.0f ? (F)0.0f : larger;                                                   \
    return (a != a) | (b != b) ? (F)NAN_F32 : m;                                                        \
  }                                                                                                     \
  inline F __attribute__((overloadable)) power_of_two(I n) {                                            \
    return as_##F((n + 127) << 23);                                                                     \
  }                                                                                                     \
  inline F __attribute__((overloadable)) scale(F v, I n) {                                              \
    return (v * power_of_two(n >> 1)) * power_of_two(n - (n >> 1));                                     \
  }                                                                                                     \
  inline F __attribute__((overloadable)) reduce_exp(F x, I* n_of, F* r_of) {                            \
    const F t = fma(x, (F)0x1.715476p0f, (F)0x1.8p23f);                                                 \
    const F n = t - (F)0x1.8p23f;                                                                       \
    *n_of = as_##I(t) - as_##I((F)0x1.8p23f);                                                           \
    F r = fma(n, (F)(-0x1.62e4p-1f), x);                                                                \
    r = fma(n, (F)(-0x1.7f7d1cp-20f), r);                                                               \
    F h = (F)0x1.684fe4p-10f;                                                                           \
    h = fma(h, r, (F)0x1.123bfp-7f);                                                                    \
    h = fma(h, r, (F)0x1.555b9ap-5f);                                                                   \
    h = fma(h, r, (F)0x1.55548ep-3f);                                                                   \
    h = fma(h, r, (F)0x1.fffff8p-2f);                                                                   \
    h = fma(h, r, (F)0x1p0f);                                                                           \
    *r_of = r;                                                                                          \
    return h;                                                                                           \
  }                                                                                                     \
  inline F __attribute__((overloadable)) exp_of(F x) {                                                  \
    F a = x < (F)(-104.0f) ? (F)(-104.0f) : x;                                                          \
    a = a > (F)89.0f ? (F)89.0f : a;                                                                    \
    a = x != x ? (F)0.0f : a;                                                                           \
    I n;                                                                                                \
    F r;                                                                                                \
    const F h = reduce_exp(a, &n, &r);                                                                  \
    const F y = scale(fma(h, r, (F)1.0f), n);                                                           \
    return x != x ? (F)NAN_F32 : y;                                                                     \
  }                                                                                                     \
  inline F __attribute__((overloadable)) sigmoid_of(F x) {                                              \
    const F minus = as_##F(as_##U(x) ^ (U)0x80000000u);                                                 \
    F a = x < (F)0.0f ? x : minus;                                                                      \
    a = a < (F)(-104.0f) ? (F)(-104.0f) : a;                                                            \
    a = x != x ? (F)0.0f : a;                                                                           \
    I n;                                                                                                \
    F r;                                                                                                \
    const F h = reduce_exp(a, &n, &r);                                                                  \
    const F p = fma(h, r, (F)1.0f);                                                                     \
    const F q_lo = fma(h, r, (F)1.0f - p);                                                              \
    const F t = scale(p, n);                                                                            \
    const F d = (F)1.0f + t;                                                                            \
    const F d_lo = (t - (d - (F)1.0f)) + scale(q_lo, n);                                                \
    const F over = x < (F)0.0f ? p : (F)1.0f;                                                           \
    const F over_lo = x < (F)0.0f ? q_lo : (F)0.0f;                                                     \
    const F g = (F)1.0f / d;                                                                            \
    const F q = over * g;                                                                               \
    F s = fma(-q, d, over);                                                                             \
    s = fma(-q, d_lo, s);                                                                               \
    s = s + over_lo;                                                                                    \
    const F y = fma(s, g, q);                                                                           \
    const F result = x < (F)0.0f ? scale(y, n) : y;                                                     \
    return x != x ? (F)NAN_F32 : result;                                                                \
  }
DEFINE_FUNCTIONS(float, int, uint)
#ifdef WIDE
#if VECTOR == 16
#define VEC float16
#define IVEC int16
#define vload vload16
#define vstore vstore16
DEFINE_FUNCTIONS(float16, int16, uint16)
#else
#define VEC float8
#define IVEC int8
#define vload vload8
#define vstore vstore8
DEFINE_FUNCTIONS(float8, int8, uint8)
#endif
#endif

inline float log_of(float x) {
  const int tiny = x < 0x1p-126f;
  const float a = tiny ? x * 0x1p23f : x;
  const uint b = as_uint(a);
  const int k = as_int(b - 0x3F2AAAABu) >> 23;
  const float f = as_float(b - ((uint)k << 23)) - 1.0f;
  const float e = (float)((tiny ? -23 : 0) + k);
  const float product = e * 0x1.62e4p-1f;
  const float hi = product + f;
  const float lo = f - (hi - product);
  float h = -0x1.03037ap-3f;
  h = fma(h, f, 0x1.1ee68ap-3f);
  h = fma(h, f, -0x1.f56284p-4f);
  h = fma(h, f, 0x1.1eb8dep-3f);
  h = fma(h, f, -0x1.55884ep-3f);
  h = fma(h, f, 0x1.99d268p-3f);
  h = fma(h, f, -0x1.ffff6ap-3f);
  h = fma(h, f, 0x1.5555p-2f);
  h = fma(h, f, -0x1p-1f);
  const float w = fma(e, 0x1.7f7d1cp-20f, (f * f) * h);
  float y = hi + (lo + w);
  y = x == INFINITY ? INFINITY : y;
  y = x == 0.0f ? -INFINITY : y;
  return (x != x) | (x < 0.0f) ? NAN_F32 : y;
}

// ---- Trees ----
//
// The aligned binary tree over leaves that arrive in order, as a binary counter: 2^DEPTH leaves at most.
#define DEPTH 32
#define DEFINE_TREE(Tree, F)                                                            \
  typedef struct {                                                                      \
    F stack[DEPTH];                                                                     \
    uint count;                                                                         \
    int depth;                                                                          \
  } Tree;                                                                               \
  inline void __attribute__((overloadable)) tree_clear(Tree* tree) {                    \
    tree->count = 0;                                                                    \
    tree->depth = 0;                                                                    \
  }                                                                                     \
  inline void __attribute__((overloadable)) tree_push(Tree* tree, F node) {             \
    for (uint bit = tree->count; bit & 1u; bit >>= 1) {                                 \
      --tree->depth;                                                                    \
      node = tree->stack[tree->depth] + node;                                           \
    }                                                                                   \
    tree->stack[tree->depth] = node;                                                    \
    ++tree->depth;                                                                      \
    ++tree->count;                                                                      \
  }                                                                                     \
  inline F __attribute__((overloadable)) tree_finish(const Tree* tree) {                \
    if (tree->depth == 0) return (F)0.0f;                                               \
    F node = tree->stack[tree->depth - 1];                                              \
    for (int i = tree->depth - 2; i >= 0; --i) node = tree->stack[i] + node;            \
    return node + (F)0.0f;                                                              \
  }
DEFINE_TREE(tree_of_floats, float)

// SUM and DOT over [0, n): `step` takes index i into `chain`.
#define CHAINS(result, n, i, chain, step)                          \
  {                                                                \
    tree_of_floats chains_;                                        \
    tree_clear(&chains_);                                          \
    for (long begin_ = 0; begin_ < (n); begin_ += SEGMENT) {       \
      const long end_ = min((long)(n), begin_ + SEGMENT);          \
      float chain = 0.0f;                                          \
      for (long i = begin_; i < end_; ++i) {                       \
        step;                                                      \
      }                                                            \
      tree_push(&chains_, chain);                                  \
    }                                                              \
    result = tree_finish(&chains_);                                \
  }

// The link of a chain of products, and the order of its indices: within [begin, end) the place p holds index i. bf16 goes in pairs, the odd
// one first.
#ifdef IN0_BF16
#define link fma_flush
inline long paired(long p, long begin, long end) {
  const long other = begin + ((p - begin) ^ 1);
  return other < end ? other : p;
}
#else
#define link fma
#define paired(p, begin, end) (p)
#endif
// DOT over [0, n) of operands a and b, expressions of i.
#define DOT(result, n, i, a, b)                                                     \
  CHAINS(result, n, place_, chain_, const long i = paired(place_, begin_, end_); \
         chain_ = link((float)(a), (float)(b), chain_))

// ---- Rows ----
//
// Wide: one work-item has a row to itself. Tiled: a work-group of 64 has it, each a lane of the row reductions. ROW_LOCALS stands at the
// top of a kernel; all of a row's sums are known to all who work at it.
#ifdef WIDE
#define ROW_LOCALS
#define ROW_INDEX ((long)get_global_id(0))
#define ROW_LEADER 1
#define FOR_COLUMNS(i, n) for (long i = 0; i < (n); ++i)
#define ROW_BLOCKS_(begin, end, i, lane, step)               \
  long block_ = begin;                                       \
  for (; block_ + LANES <= (end); block_ += LANES) {         \
    for (int j_ = 0; j_ < LANES; ++j_) {                     \
      const long i = block_ + j_;                            \
      float lane = lanes_[j_];                               \
      step;                                                  \
      lanes_[j_] = lane;                                     \
    }                                                        \
  }                                                          \
  for (int j_ = 0; block_ + j_ < (end); ++j_) {              \
    const long i = block_ + j_;                              \
    float lane = lanes_[j_];                                 \
    step;                                                    \
    lanes_[j_] = lane;                                       \
  }
inline float join_lanes(float* lanes) {
  for (int half_ = LANES / 2; half_ > 0; half_ /= 2) {
    for (int j = 0; j < half_; ++j) lanes[j] = lanes[j] + lanes[j + half_];
  }
  return lanes[0];
}
// One segment of a row reduction, not finished: `step` takes index i into `lane`.
#define ROW_SEGMENT(result, begin, end, i, lane, step)          \
  {                                                             \
    float lanes_[LANES];                                        \
    for (int j_ = 0; j_ < LANES; ++j_) lanes_[j_] = 0.0f;       \
    ROW_BLOCKS_(begin, end, i, lane, step)                      \
    result = join_lanes(lanes_);                                \
  }
#define ROW_MAX(result, n, i, x)                                            \
  {                                                                         \
    float lanes_[LANES];                                                    \
    for (int j_ = 0; j_ < LANES; ++j_) lanes_[j_] = -INFINITY;              \
    ROW_BLOCKS_(0, n, i, lane_, lane_ = max_of(lane_, (float)(x)))          \
    result = lanes_[0];                                                     \
    for (int j_ = 1; j_ < LANES; ++j_) result = max_of(result, lanes_[j_]); \
  }
#else
#define ROW_LOCALS __local float row_local_[LANES]
#define ROW_INDEX ((long)get_group_id(0))
#define ROW_LEADER (get_local_id(0) == 0)
#define FOR_COLUMNS(i, n) for (long i = get_local_id(0); i < (n); i += LANES)
#define ROW_GROUP_(result, mine, half_, join)                          \
  {                                                                    \
    const int j_ = get_local_id(0);                                    \
    row_local_[j_] = mine;                                             \
    barrier(CLK_LOCAL_MEM_FENCE);                                      \
    for (int half_ = LANES / 2; half_ > 0; half_ /= 2) {               \
      if (j_ < half_) row_local_[j_] = join;                           \
      barrier(CLK_LOCAL_MEM_FENCE);                                    \
    }                                                                  \
    result = row_local_[0];                                            \
    barrier(CLK_LOCAL_MEM_FENCE);                                      \
  }
#define ROW_SEGMENT(result, begin, end, i, lane, step)                                               \
  {                                                                                                  \
    float lane = 0.0f;                                                                               \
    for (long i = (begin) + get_local_id(0); i < (end); i += LANES) {                                \
      step;                                                                                          \
    }                                                                                                \
    ROW_GROUP_(result, lane, half_, row_local_[j_] + row_local_[j_ + half_])                         \
  }
#define ROW_MAX(result, n, i, x)                                                                 \
  {                                                                                              \
    float mine_ = -INFINITY;                                                                     \
    for (long i = get_local_id(0); i < (n); i += LANES) mine_ = max_of(mine_, (float)(x));       \
    ROW_GROUP_(result, mine_, half_, max_of(row_local_[j_], row_local_[j_ + half_]))             \
  }
#endif
// ROW over [0, n), finished.
#define ROW(result, n, i, lane, step)                                \
  {                                                                  \
    tree_of_floats row_;                                             \
    tree_clear(&row_);                                               \
    for (long begin_ = 0; begin_ < (n); begin_ += SEGMENT) {         \
      const long end_ = min((long)(n), begin_ + SEGMENT);            \
      float segment_;                                                \
      ROW_SEGMENT(segment_, begin_, end_, i, lane, step)             \
      tree_push(&row_, segment_);                                    \
    }                                                                \
    result = tree_finish(&row_);                                     \
  }

// ---- Samples ----
//
// The sample that has row t, or -1: samples may be empty, and rows may lie behind the last.
inline int sample_of(__global const int* samples, int count, long t) {
  for (int s = 0; s < count; ++s) {
    if (t >= samples[s] && t < samples[s + 1]) return s;
  }
  return -1;
}
// TOKENS: `per_sample` is a statement that leaves in `sum` the finished sum over the `rows` rows from `first` on.
#define TOKENS(result, samples, sample_count, first, rows, sum, per_sample)   \
  {                                                                           \
    tree_of_floats tokens_;                                                   \
    tree_clear(&tokens_);                                                     \
    for (int s_ = 0; s_ < (sample_count); ++s_) {                             \
      const long first = (samples)[s_];                                       \
      const long rows = (samples)[s_ + 1] - first;                            \
      float sum = 0.0f;                                                       \
      if (rows > 0) per_sample                                                \
      tree_push(&tokens_, sum);                                               \
    }                                                                         \
    result = tree_finish(&tokens_);                                           \
  }
)CL";

}  // namespace godwit::opencl
