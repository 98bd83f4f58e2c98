// Fills the inputs of one op instance with values: random reals of a chosen kind, and valid integers.
//
// Deterministic: a pure function of (seed, op, input). Used by the conformance test, golden bits and qualification.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "program/op.h"

namespace godwit::program {

enum class Values : std::uint8_t {
  ordinary,    // normal reals around 1
  boundary,    // the same with subnormals, products near the flush threshold, −0, ties of rounding, huge and tiny magnitudes mixed in
  non_finite,  // boundary with NaN and infinities
};

class Fill : public Instance {
 public:
  // `data[i]` is the memory of input i, of its type's size.
  Fill(const Op& op, std::span<const TensorType> inputs, std::span<const TensorType> outputs, const Attributes& attributes,
       std::span<void* const> data, Values values, std::uint64_t seed)
      : Instance(op, inputs, outputs, attributes), data_(data), values_(values), seed_(seed) {}

  // Random reals of the asked kind times `scale`, as f32 or bf16.
  void reals(std::string_view input, float scale = 1.0f);
  // The same, but finite and ordinary whatever kind was asked for (learning rates, saved maxima).
  void ordinary_reals(std::string_view input, float scale = 1.0f, float offset = 0.0f);
  // Positive ordinary reals in [low, high).
  void positive(std::string_view input, float low, float high);
  // Uniform integers in [low, high].
  void integers(std::string_view input, std::int32_t low, std::int32_t high);
  // Memory of an i32 input for the op to fill by its own rule.
  [[nodiscard]] std::span<std::int32_t> i32(std::string_view input);
  [[nodiscard]] std::span<float> f32(std::string_view input);
  // Ascending row offsets [S+1] of samples that cover at most `rows` rows: ragged, some empty, padding rows at the end. A single sample
  // takes every row.
  void samples(std::string_view input, std::int64_t rows);
  // Whether ordinary reals were asked for: then inputs that are results of another op may be made what they would be.
  [[nodiscard]] bool ordinary() const { return values_ == Values::ordinary; }
  // Memory of any input.
  [[nodiscard]] void* bytes(std::string_view input) { return data_[input_index(input)]; }
  // A random number for rules of the op's own: uniform in [0, bound).
  [[nodiscard]] std::uint32_t random(std::uint32_t bound);
  // All reals of every f32/bf16 input, as asked: what an op without a fill rule gets.
  void all_reals();

 private:
  void fill_reals(std::size_t index, Values values, float scale, float offset);

  std::span<void* const> data_;
  Values values_;
  std::uint64_t seed_;
  std::uint64_t draws_ = 0;
};

}  // namespace godwit::program
