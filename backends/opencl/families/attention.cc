#include "families/attention.h"

#include <bit>

namespace godwit::opencl {

const char* const attend_text = R"CL(
#ifdef IN0_BF16
#define as_operand(x) rounded(x)
#else
#define as_operand(x) (x)
#endif

// 512 numbers that all who work at a row see.
#ifdef WIDE
#define SEGMENT_LOCALS(name) float name[SEGMENT]
#else
#define SEGMENT_LOCALS(name) __local float name[SEGMENT]
#endif

// The segment's chain over [begin, end) of places in it, of which `first` and what follows are visible: the others are not multiplied.
#define SEGMENT_CHAIN(chain, first, length, i, a, b)                             \
  {                                                                              \
    chain = 0.0f;                                                                \
    for (long place_ = (first) & ~1l; place_ < (length); ++place_) {             \
      const long i = paired(place_, 0, (long)(length));                          \
      if (i >= (first)) chain = link((float)(a), (float)(b), chain);             \
    }                                                                            \
  }

// One node's sums are at stack + level·width, each item's own columns; m and l are known to all.
#define ATTEND(count, key_width, value_width, scale, stack, o, m_out, l_out)                                          \
  {                                                                                                                   \
    float ms_[DEPTH], ls_[DEPTH];                                                                                     \
    int depth_ = 0;                                                                                                   \
    uint nodes_ = 0;                                                                                                  \
    for (long begin = 0; begin < (count); begin += SEGMENT) {                                                         \
      const long length = min((long)SEGMENT, (count) - begin);                                                        \
      FOR_COLUMNS(j, length) {                                                                                        \
        float z_;                                                                                                     \
        DOT(z_, key_width, i, QUERY(i), KEY(begin + j, i))                                                            \
        p[j] = z_ * (scale);                                                                                          \
      }                                                                                                               \
      float m_, l_;                                                                                                   \
      ROW_MAX(m_, length, j, p[j])                                                                                    \
      FOR_COLUMNS(j, length) p[j] = exp_of(p[j] - m_);                                                                \
      ROW_SEGMENT(l_, 0, length, j, lane, lane = lane + p[j])                                                         \
      FOR_COLUMNS(c, value_width) {                                                                                   \
        float chain_;                                                                                                 \
        SEGMENT_CHAIN(chain_, 0, length, j, as_operand(p[j]), VALUE(begin + j, c))                                    \
        (stack)[depth_ * (value_width) + c] = chain_;                                                                 \
      }                                                                                                               \
      for (uint bit_ = nodes_; bit_ & 1u; bit_ >>= 1) {                                                               \
        --depth_;                                                                                                     \
        ATTEND_JOIN(value_width, stack)                                                                               \
      }                                                                                                               \
      ms_[depth_] = m_;                                                                                               \
      ls_[depth_] = l_;                                                                                               \
      ++depth_;                                                                                                       \
      ++nodes_;                                                                                                       \
      ROW_BARRIER;                                                                                                    \
    }                                                                                                                 \
    --depth_;                                                                                                         \
    float m_ = ms_[depth_], l_ = ls_[depth_];                                                                         \
    while (depth_ > 0) {                                                                                              \
      --depth_;                                                                                                       \
      ATTEND_JOIN(value_width, stack)                                                                                 \
    }                                                                                                                 \
    m_out = m_;                                                                                                       \
    l_out = l_ + 0.0f;                                                                                                \
    FOR_COLUMNS(c, value_width)(o)[c] = ((stack)[c] + 0.0f) / l_out;                                                  \
  }
// Joins the node (m_, l_, at level depth_ + 1) to the earlier one at depth_.
#define ATTEND_JOIN(value_width, stack)                                                                               \
  const float joined_ = max_of(ms_[depth_], m_);                                                                      \
  const float a1_ = exp_of(ms_[depth_] - joined_), a2_ = exp_of(m_ - joined_);                                        \
  l_ = fma(ls_[depth_], a1_, l_ * a2_);                                                                               \
  m_ = joined_;                                                                                                       \
  FOR_COLUMNS(c, value_width) {                                                                                       \
    __global float* first_ = (stack) + depth_ * (value_width) + c;                                                    \
    *first_ = fma(*first_, a1_, first_[value_width] * a2_);                                                           \
  }
#ifdef WIDE
#define ROW_BARRIER
#else
#define ROW_BARRIER barrier(CLK_LOCAL_MEM_FENCE)
#endif
)CL";

std::int64_t attend_floats(std::int64_t keys_max, std::int64_t width) {
  const auto segments = static_cast<std::uint64_t>((keys_max + 511) / 512);
  return (std::bit_width(segments) + 1) * width;
}

}  // namespace godwit::opencl
