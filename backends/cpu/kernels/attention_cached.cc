// attention_cached(q, kv, k_pe, slots, positions; heads, nope, value, scale) → o: attention over a stream's cached keys, with the bits of
// the training forward. Decode asks for one row of each of many streams: where all their keys lie in one segment, a row works on them where
// they are; what attention.cc does to serve many rows by the same keys would take longer than the products.
#include <algorithm>

#include "attention_forward.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

using attend::Columns;
using attend::segment;
using attend::Word;

attend::Widths widths_of(const Call& call) {
  return {.key = call.integer("nope") + call.in[2].shape[2], .value = call.integer("value")};
}

// One thread's work on single rows.
template <typename Dot>
class SingleRow {
 public:
  using Element = typename Dot::Element;

  SingleRow(Carve& carve, const Call& call)
      : heads_(call.integer("heads")),
        nope_(call.integer("nope")),
        rotary_(call.in[2].shape[2]),
        value_(call.integer("value")),
        capacity_(call.in[1].shape[1]),
        scale_(call.real32("scale")),
        q_(call.in[0].as<Element>()),
        kv_(call.in[1].as<Element>()),
        k_pe_(call.in[2].as<Element>()),
        o_(call.out[0].f32()),
        nope_keys_(carve.take<Word>(heads_most * nope_ * lanes)),
        rotary_keys_(carve.take<Word>(rotary_ * lanes)),
        scores_(carve.take<float>(heads_most * attend::score_stride)) {}

  // Keys are whole words and one chain, values whole vectors.
  [[nodiscard]] static bool serves(const Call& call) {
    const std::int64_t nope = call.integer("nope");
    const std::int64_t rotary = call.in[2].shape[2];
    return nope % Dot::per_word == 0 && rotary % Dot::per_word == 0 && nope + rotary <= segment && call.integer("value") % lanes == 0;
  }

  // Cache rows first … first + count − 1: what a row of q sees, at most a segment.
  struct Seen {
    std::int64_t first = 0;
    std::int64_t count = 0;
  };

  // Row t of q. Every stream's rows lie elsewhere: those of the next row to come are fetched meanwhile.
  void run(std::int64_t t, Seen seen, Seen next) const {
    for (std::int64_t head = 0; head < heads_; head += heads_most) {
      const auto heads = static_cast<int>(std::min<std::int64_t>(heads_most, heads_ - head));
      multiply_keys(t, seen, head, heads, head == 0 ? next : Seen());
      float l[heads_most];
      for (int h = 0; h < heads; ++h) l[h] = weigh(h, seen.count);
      multiply_values(t, seen, head, heads, l);
    }
  }

 private:
  // Heads at a time: one accumulator of values each, and the rotary keys they share are transposed once for them.
  static constexpr int heads_most = 4;
  static constexpr std::int64_t element_bytes = sizeof(Element);

  template <typename Body>
  static void for_heads(int heads, const Body& body) {
    switch (heads) {
      case 1:
        return body.template operator()<1>();
      case 2:
        return body.template operator()<2>();
      case 3:
        return body.template operator()<3>();
      default:
        return body.template operator()<heads_most>();
    }
  }
  [[nodiscard]] std::int64_t kv_width() const { return nope_ + value_; }
  [[nodiscard]] const Element* kv_row(std::int64_t row, std::int64_t head) const { return kv_ + (row * heads_ + head) * kv_width(); }

  // Key rows first … first + 15, of which `count` are there: word w of row j to to[w · 16 + j].
  static void transpose(const Columns<Element>& keys, std::int64_t first, std::int64_t count, Word* to) {
    vectors(attend::words_of<Dot>(keys.width), [&](std::int64_t w, int n) {
      const auto row = [&](int j) { return keys.row(first + std::min<std::int64_t>(j, count - 1)) + w * Dot::per_word; };
      attend::transpose_words(row, n, to + w * lanes, lanes);
    });
  }

  void multiply_keys(std::int64_t t, Seen seen, std::int64_t head, int heads, Seen next) const {
    const Columns<Element> next_kv{kv_row(next.first, 0), heads_ * kv_width(), heads_ * kv_width()};
    for (std::int64_t j = 0; j < seen.count; j += lanes) {
      transpose({k_pe_, rotary_, rotary_}, seen.first + j, seen.count - j, rotary_keys_);
      attend::prefetch(k_pe_ + (next.first + j) * rotary_, std::clamp<std::int64_t>(next.count - j, 0, lanes) * rotary_ * element_bytes);
      for (int h = 0; h < heads; ++h) {
        for (std::int64_t i = j + h; i < std::min(j + lanes, next.count); i += heads) attend::prefetch_row(next_kv, i);
        transpose({kv_row(0, head + h), heads_ * kv_width(), nope_}, seen.first + j, seen.count - j, nope_keys_ + h * nope_ * lanes);
      }
      const Element* q = q_ + (t * heads_ + head) * (nope_ + rotary_);
      for_heads(heads, [&]<int some>() { multiply_heads<some>(q, j); });
    }
  }
  // Sixteen keys with each head's row of q: a chain a head, side by side.
  template <int heads>
  void multiply_heads(const Element* q, std::int64_t j) const {
    [[maybe_unused]] const gemm::Mode<Dot::flush_mode> mode;
    const std::int64_t nope_words = attend::words_of<Dot>(nope_), words = nope_words + attend::words_of<Dot>(rotary_);
    const auto* q_words = reinterpret_cast<const Word*>(q);
    F32 sum[heads];
#pragma GCC unroll 4
    for (int h = 0; h < heads; ++h) sum[h] = zero();
    for (std::int64_t w = 0; w < nope_words; ++w) {
#pragma GCC unroll 4
      for (int h = 0; h < heads; ++h)
        sum[h] = Dot::step(Dot::row(q_words + h * words + w), Dot::column(nope_keys_ + h * nope_ * lanes + w * lanes), sum[h]);
    }
    for (std::int64_t w = nope_words; w < words; ++w) {
      const auto keys = Dot::column(rotary_keys_ + (w - nope_words) * lanes);
#pragma GCC unroll 4
      for (int h = 0; h < heads; ++h) sum[h] = Dot::step(Dot::row(q_words + h * words + w), keys, sum[h]);
    }
#pragma GCC unroll 4
    for (int h = 0; h < heads; ++h) store(scores_ + h * attend::score_stride + j, sum[h]);
  }

  // The head's scores become weights, in its place; returns l.
  [[nodiscard]] float weigh(int h, std::int64_t count) const {
    float* scores = scores_ + h * attend::score_stride;
    const attend::RowSums sums = attend::weigh_row(scores, count, set1(scale_), [&](std::int64_t j, F32 p) {
      if constexpr (Dot::per_word == 1) {
        store(scores + j, p);
      } else {
        store_bf16(reinterpret_cast<std::uint16_t*>(scores) + j, p);
      }
    });
    return sums.l + 0.0f;
  }

  void multiply_values(std::int64_t t, Seen seen, std::int64_t head, int heads, const float* l) const {
    for (std::int64_t c = 0; c < value_; c += lanes) {
      F32 sum[heads_most] = {zero(), zero(), zero(), zero()};
      const Element* from = kv_row(seen.first, head) + nope_ + c;
      for_heads(heads, [&]<int some>() { add_values<some>(from, seen.count, sum); });
      for (int h = 0; h < heads; ++h) store(o_ + (t * heads_ + head + h) * value_ + c, (sum[h] + zero()) / set1(l[h]));
    }
  }
  template <int heads>
  void add_values(const Element* from, std::int64_t count, F32* sums) const {
    [[maybe_unused]] const gemm::Mode<Dot::flush_mode> mode;
    const std::int64_t stride = heads_ * kv_width();
    F32 sum[heads];
#pragma GCC unroll 4
    for (int h = 0; h < heads; ++h) sum[h] = zero();
    const auto* weights = reinterpret_cast<const Word*>(scores_);
    for (std::int64_t j = 0; j < count; j += Dot::per_word, ++weights, from += Dot::per_word * stride) {
#pragma GCC unroll 4
      for (int h = 0; h < heads; ++h) {
        const auto value = Dot::down(from + h * kv_width(), stride, j + 1 < count);
        sum[h] = Dot::step(Dot::row(weights + h * attend::score_stride), value, sum[h]);
      }
    }
#pragma GCC unroll 4
    for (int h = 0; h < heads; ++h) sums[h] = sum[h];
  }

  std::int64_t heads_, nope_, rotary_, value_, capacity_;
  float scale_;
  const Element* q_;
  const Element* kv_;
  const Element* k_pe_;
  float* o_;
  Word* nope_keys_;    // sixteen keys of each head at work, transposed
  Word* rotary_keys_;  // likewise
  float* scores_;      // of the heads at work; bf16 weights in the same place
};

// Whether every row that is one sees a segment of keys at most.
bool shallow(const Call& call) {
  const std::int32_t* positions = call.in[4].i32();
  return std::all_of(positions, positions + call.in[4].count(), [](std::int32_t position) { return position < segment; });
}

template <typename Dot>
void run_single_rows(const Call& call) {
  Carve carve(call.workspace);
  std::vector<SingleRow<Dot>> threads;
  for (int i = 0; i < call.pool->threads(); ++i) threads.emplace_back(carve, call);
  const std::int32_t* slots = call.in[3].i32();
  const std::int32_t* positions = call.in[4].i32();
  const std::int64_t streams = call.in[1].shape[0];
  const std::int64_t capacity = call.in[1].shape[1];
  const std::int64_t width = call.out[0].width();
  const auto seen_by = [&](std::int64_t t) -> typename SingleRow<Dot>::Seen {
    const bool valid = slots[t] >= 0 && slots[t] < streams && positions[t] >= 0 && positions[t] < capacity;
    return {valid ? slots[t] * capacity : 0, valid ? positions[t] + 1 : 0};
  };
  call.pool->ranges(call.in[0].shape[0], 1, [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t t = begin; t < end; ++t) {
      const auto seen = seen_by(t);
      if (seen.count == 0) {
        std::fill_n(call.out[0].f32() + t * width, width, 0.0f);
      } else {
        threads[static_cast<std::size_t>(thread)].run(t, seen, t + 1 < end ? seen_by(t + 1) : typename SingleRow<Dot>::Seen());
      }
    }
  });
}

template <typename Dot>
void run_as(const Call& call) {
  if (SingleRow<Dot>::serves(call) && shallow(call)) return run_single_rows<Dot>(call);
  using Element = typename Dot::Element;
  const attend::Widths widths = widths_of(call);
  const std::int64_t heads = call.integer("heads");
  const std::int64_t nope = call.integer("nope");
  const std::int64_t rotary = call.in[2].shape[2];
  const std::int64_t kv_width = nope + widths.value;
  attend::run_streams<Dot>(call, widths, heads, [&](std::int64_t h) {
    const Element* kv = call.in[1].as<Element>() + h * kv_width;
    return attend::Head<Dot>{.q = {call.in[0].as<Element>() + h * widths.key, heads * widths.key, widths.key},
                             .key_left = {kv, heads * kv_width, nope},
                             .key_right = {call.in[2].as<Element>(), rotary, rotary},
                             .value = {kv + nope, heads * kv_width, widths.value},
                             .o = call.out[0].f32() + h * widths.value,
                             .o_stride = heads * widths.value};
  });
}

template <typename Dot>
std::int64_t bytes_as(const Call& call) {
  Carve carve(nullptr);
  for (int i = 0; i < call.pool->threads(); ++i) (void)SingleRow<Dot>(carve, call);
  return std::max(carve.used(), attend::stream_team<Dot>(call, nullptr, widths_of(call)).bytes());
}

const char* variant_of(const Call& call) {
  if (!attend::levels_suffice(widths_of(call).key)) return nullptr;
  return call.in[0].bf16() ? "bf16 fused" : "f32 fused";
}

}  // namespace

extern const Kernel attention_cached;
const Kernel attention_cached{
    .op = "attention_cached",
    .variant = variant_of,
    .workspace = [](const Call& call) { return call.in[0].bf16() ? bytes_as<attend::Bf16Dot>(call) : bytes_as<attend::F32Dot>(call); },
    .run = [](const Call& call) { call.in[0].bf16() ? run_as<attend::Bf16Dot>(call) : run_as<attend::F32Dot>(call); },
    .by_rows = 0b11001,
};

}  // namespace godwit::cpu::GODWIT_ISA
