// One op as a program of its own, and values to try it on: as an example gives it, or as it stands in a program that a run uses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "program/fill.h"
#include "program/program.h"

namespace godwit::program {

// The bytes of a tensor that whoever runs a program has to bring.
struct Brought {
  TensorId tensor;
  std::vector<std::byte> bytes;
};

class OpCase {
 public:
  // Where a matrix of weights (an op's second input, `w`) comes from: given with the run, kept as state (a backend may lay it out as it
  // likes), or rounded from f32 state.
  enum class Weight : std::uint8_t { input, state, rounded };
  [[nodiscard]] static std::vector<Weight> weights_of(const Op& op, const Example& example);

  // `rounded`: results that may be asked for rounded (Op::rounds) are.
  [[nodiscard]] static OpCase of(const Op& op, const Example& example, Weight weight, bool rounded);
  // A node of a program, with the ops of the refresh part that make its inputs: weights come as they come there, rounded and laid out. What
  // other ops of the main part make is brought; of a node of the refresh part itself all inputs are.
  [[nodiscard]] static OpCase alone(const Program& whole, std::size_t node);

  [[nodiscard]] const Program& program() const { return program_; }
  [[nodiscard]] const Node& node() const { return program_.nodes.back(); }
  // "linear f32[8, 64] …", for people.
  [[nodiscard]] std::string text() const;
  // Equal for two cases that only names tell apart.
  [[nodiscard]] std::string key() const;
  [[nodiscard]] Cost cost() const;  // of the op alone

  // Everything the program is brought: inputs, constants, state.
  [[nodiscard]] std::vector<Brought> fill(Values values, std::uint64_t seed) const;
  // The op's outputs, by the canonical references.
  [[nodiscard]] std::vector<std::vector<std::byte>> reference(const std::vector<Brought>& brought) const;

 private:
  explicit OpCase(Program program) : program_(std::move(program)) {}
  Program program_;
};

}  // namespace godwit::program
