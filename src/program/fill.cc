#include "program/fill.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace godwit::program {
namespace {

// SplitMix64's finalizer: a bijection that spreads every input bit over all output bits.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::uint64_t hash(std::uint64_t key, std::uint64_t counter) {
  return mix(key + 0x9E3779B97F4A7C15u * (counter + 1));
}

std::uint64_t key_of(std::uint64_t seed, std::string_view op, std::uint64_t stream) {
  std::uint64_t key = mix(seed);
  for (const char c : op) key = hash(key, static_cast<unsigned char>(c));
  return hash(key, stream);
}

// Draws for one element, row or tensor: a short stream of bits at a place of its own.
class Draw {
 public:
  Draw(std::uint64_t key, std::uint64_t place) : key_(hash(key, place)) {}
  std::uint64_t bits() { return hash(key_, count_++); }
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(((bits() >> 32) * bound) >> 32); }

 private:
  std::uint64_t key_;
  std::uint64_t count_ = 0;
};

// Nearly normal with variance 1: the sum of four uniform numbers. Exact integers and one product, so no libm decides the bits.
float normal(Draw& draw) {
  const std::uint64_t a = draw.bits();
  const std::uint64_t b = draw.bits();
  const std::uint64_t sum = (a & 0xFFFFFFFFu) + (a >> 32) + (b & 0xFFFFFFFFu) + (b >> 32);
  const auto centred = static_cast<std::int64_t>(sum) - (std::int64_t{1} << 33);
  return static_cast<float>(static_cast<double>(centred) * 0x1.bb67ae8584caap-32);  // sqrt(3) / 2^32
}

// ±2^exponent times a mantissa in [1, 2); half of the mantissas have three bits only, so that sums of products cancel exactly.
float at_exponent(Draw& draw, int exponent) {
  const std::uint64_t bits = draw.bits();
  auto mantissa = static_cast<std::uint32_t>(bits & 0x7FFFFFu);
  if ((bits >> 23) & 1) mantissa &= 0x700000u;
  const auto sign = static_cast<std::uint32_t>((bits >> 24) & 1) << 31;
  return std::bit_cast<float>(sign | (static_cast<std::uint32_t>(exponent + 127) << 23) | mantissa);
}

float subnormal(Draw& draw) {
  const std::uint64_t bits = draw.bits();
  const auto shift = static_cast<int>((bits >> 32) % 23);
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits & 0x80000000u) | ((static_cast<std::uint32_t>(bits) & 0x7FFFFFu) >> shift));
}

int between(Draw& draw, int low, int high) {
  return low + static_cast<int>(draw.below(static_cast<std::uint32_t>(high - low + 1)));
}

// One mood for a whole row: were every kind of value in every row, the largest would drown the others in each sum.
enum class Mood : std::uint8_t { plain, flush, ties, tiny, edges, huge };

Mood mood_of(Draw& draw, bool huge_allowed) {
  switch (draw.below(8)) {
    case 0:
    case 1:
      return Mood::flush;
    case 2:
      return Mood::ties;
    case 3:
      return Mood::tiny;
    case 4:
      return Mood::edges;
    case 5:
      return huge_allowed ? Mood::huge : Mood::plain;
    default:
      return Mood::plain;
  }
}

float boundary(Draw& draw, Mood mood, float ordinary) {
  const std::uint32_t roll = draw.below(16);
  if (roll == 0) return -0.0f;
  switch (mood) {
    case Mood::plain:
      return roll == 1 ? 0.0f : roll == 2 ? subnormal(draw) : ordinary;
    case Mood::flush:  // products of two of these lie around 2^-126
      return roll == 1 ? subnormal(draw) : at_exponent(draw, between(draw, -66, -60));
    case Mood::ties: {
      const float x = at_exponent(draw, between(draw, -3, 3));
      const auto bits = std::bit_cast<std::uint32_t>(x);
      if (roll < 8) return std::bit_cast<float>((bits & 0xFFFF0000u) | 0x8000u);  // halfway between two bf16
      return std::bit_cast<float>(bits & 0xFFFFF800u);                            // 13-bit significands: products end at or near a tie
    }
    case Mood::tiny:  // around the smallest normal number, whose product with an ordinary one may or may not be subnormal
      return roll < 6 ? subnormal(draw) : at_exponent(draw, between(draw, -126, -118));
    case Mood::edges:  // where exp leaves the normal numbers, and where sigmoid is 0 or 1
      return roll < 4 ? ordinary : std::copysign(80.0f + static_cast<float>(draw.below(32 << 10)) / 1024.0f, ordinary);
    case Mood::huge:
      return roll < 12 ? ordinary : at_exponent(draw, between(draw, 20, 126));
  }
  return ordinary;
}

float non_finite(Draw& draw) {
  constexpr std::array<std::uint32_t, 6> patterns = {0x7F800000u, 0xFF800000u, 0x7FC00000u, 0xFFC00000u, 0x7FD23456u, 0x7FA10000u};
  return std::bit_cast<float>(patterns[draw.below(patterns.size())]);
}

std::uint16_t bf16_round(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7F800000u) == 0 || (bits & 0x7F800000u) == 0x7F800000u) return static_cast<std::uint16_t>(bits >> 16);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16);
}

constexpr std::uint64_t tensor_place = std::uint64_t{1} << 62;
constexpr std::uint64_t row_place = std::uint64_t{1} << 61;
constexpr std::uint64_t rules_stream = ~std::uint64_t{0};
constexpr std::int64_t mood_block = 16;  // of a tensor of one dimension

}  // namespace

void Fill::fill_reals(std::size_t index, Values values, float scale, float offset) {
  const TensorType& type = inputs()[index];
  CHECK(type.dtype != Dtype::i32, "input {} of {} is i32 and takes no reals", index, op().name);
  const std::uint64_t key = key_of(seed_, op().name, index);
  Draw tensor(key, tensor_place);
  const bool huge_allowed = tensor.below(4) == 0;
  const std::uint32_t non_finite_every = tensor.below(2) == 0 ? 16 : 1024;  // seldom: or every sum over rows would be NaN
  const std::int64_t block = type.shape.rank() <= 1 ? mood_block : std::max<std::int64_t>(type.shape.width(), 1);
  const std::int64_t count = type.shape.count();
  for (std::int64_t i = 0; i < count; ++i) {
    Draw draw(key, static_cast<std::uint64_t>(i));
    float x = offset + scale * normal(draw);
    if (values != Values::ordinary) {
      Draw row(key, row_place + static_cast<std::uint64_t>(i / block));
      x = boundary(draw, mood_of(row, huge_allowed), x);
      if (values == Values::non_finite && row.below(2) == 0 && draw.below(non_finite_every) == 0) x = non_finite(draw);
    }
    if (type.dtype == Dtype::bf16) {
      static_cast<std::uint16_t*>(data_[index])[i] = bf16_round(x);
    } else {
      static_cast<float*>(data_[index])[i] = x;
    }
  }
}

void Fill::reals(std::string_view input, float scale) {
  fill_reals(input_index(input), values_, scale, 0.0f);
}

void Fill::ordinary_reals(std::string_view input, float scale, float offset) {
  fill_reals(input_index(input), Values::ordinary, scale, offset);
}

void Fill::positive(std::string_view input, float low, float high) {
  const std::uint64_t key = key_of(seed_, op().name, input_index(input));
  std::uint64_t place = 0;
  for (float& x : f32(input)) {
    const float unit = static_cast<float>(Draw(key, place++).bits() >> 40) * 0x1p-24f;
    x = std::min(low + unit * (high - low), std::nextafter(high, low));
  }
}

void Fill::integers(std::string_view input, std::int32_t low, std::int32_t high) {
  CHECK(low <= high, "integers of {} between {} and {}", input, low, high);
  const std::uint64_t key = key_of(seed_, op().name, input_index(input));
  const auto range = static_cast<std::uint64_t>(std::int64_t{high} - low + 1);
  std::uint64_t place = 0;
  for (std::int32_t& x : i32(input)) {
    x = static_cast<std::int32_t>(low + static_cast<std::int64_t>(((Draw(key, place++).bits() >> 32) * range) >> 32));
  }
}

std::span<std::int32_t> Fill::i32(std::string_view input) {
  CHECK(in(input).dtype == Dtype::i32, "input {} of {} is {}, not i32", input, op().name, dtype_name(in(input).dtype));
  return {static_cast<std::int32_t*>(data_[input_index(input)]), static_cast<std::size_t>(in(input).shape.count())};
}

std::span<float> Fill::f32(std::string_view input) {
  CHECK(in(input).dtype == Dtype::f32, "input {} of {} is {}, not f32", input, op().name, dtype_name(in(input).dtype));
  return {static_cast<float*>(data_[input_index(input)]), static_cast<std::size_t>(in(input).shape.count())};
}

void Fill::samples(std::string_view input, std::int64_t rows) {
  const std::span<std::int32_t> offsets = i32(input);
  const std::size_t count = offsets.size() - 1;
  offsets[0] = 0;
  if (count == 0) return;
  if (count == 1) {  // every row, so that sums longer than a segment are sure to be met
    offsets[1] = static_cast<std::int32_t>(rows);
    return;
  }
  std::int64_t left = rows - random(static_cast<std::uint32_t>(std::min<std::int64_t>(rows / 4, 7) + 1));
  constexpr std::array<std::int64_t, 8> edge_lengths = {1, 2, 63, 64, 65, 511, 512, 513};
  // One sample takes what the others leave; they are empty, of a length at an edge, or a fair share.
  const std::uint32_t rest = random(static_cast<std::uint32_t>(count));
  for (std::size_t s = 0; s < count; ++s) {
    std::int64_t length = 0;
    const std::uint32_t roll = random(4);
    if (s != rest && roll == 1) {
      length = edge_lengths[random(edge_lengths.size())];
      if (length > left) length = 0;
    } else if (s != rest && roll > 1) {
      const std::int64_t share = 2 * left / static_cast<std::int64_t>(count - s + 1);
      length = std::min<std::int64_t>(left, random(static_cast<std::uint32_t>(share + 1)));
    }
    offsets[s + 1] = static_cast<std::int32_t>(length);
    left -= length;
  }
  offsets[rest + 1] += static_cast<std::int32_t>(left);
  for (std::size_t s = 0; s < count; ++s) offsets[s + 1] += offsets[s];
}

std::uint32_t Fill::random(std::uint32_t bound) {
  CHECK(bound > 0, "a random number below 0 was asked for");
  return Draw(key_of(seed_, op().name, rules_stream), draws_++).below(bound);
}

void Fill::all_reals() {
  for (std::size_t i = 0; i < inputs().size(); ++i) fill_reals(i, values_, 1.0f, 0.0f);
}

}  // namespace godwit::program
