// A program cut into pieces for two who share its work: stretches of ops that a device has kernels for, and of ops that the CPU does in its
// place. A pure function over the contract's words.
//
// Each piece is a program by itself, of main ops alone. What crosses from one piece to another is bound (GODWIT_INPUT, GODWIT_OUTPUT,
// GODWIT_STATE), wherever it lies; only what one piece makes and uses by itself is a temporary.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/contract.h"
#include "godwit/backend.h"

namespace godwit::device {

enum class Doer : std::uint8_t { device, cpu };

// How each op of a program is done.
struct Assignment {
  Doer doer = Doer::device;
  std::shared_ptr<const program::Program> parts;  // the ops that are done in its place; null: it is done itself
};
// What a device turned out not to do after all, whatever it said: nothing, the op itself, its parts neither.
enum class Refused : std::uint8_t { nothing, itself, parts };
// The op itself where the device has it (`has(program, op)`), else its parts where it has all of these, else the CPU.
using Has = std::function<bool(const godwit_program&, std::int32_t)>;
[[nodiscard]] std::vector<Assignment> assign(const godwit_program& program, const Has& has, const std::vector<Refused>& refused);

struct Piece {
  struct Tensor {
    godwit_tensor as;    // as the piece's program has it
    std::int32_t whole;  // its number in the whole program; -1: of an op's parts
    enum class In : std::uint8_t { bound, arena, persistent, scratch } in = In::bound;  // where the whole program has it
    std::int64_t offset = 0;                                                            // there, unless it is bound
    bool read = false, written = false;                                                 // by this piece
  };
  struct Op {
    std::string name;
    std::vector<std::int32_t> inputs, outputs;  // in `tensors`
    std::vector<godwit_attribute> attributes;
    std::int32_t whole = 0;  // number of the op it is, or is a part of
    bool first = true;       // of that op's parts
  };
  Doer doer = Doer::device;
  bool refresh = false;  // of the refresh part
  std::vector<Tensor> tensors;
  std::vector<Op> ops;
};

struct Pieces {
  std::vector<Piece> pieces;  // in order
  std::int64_t scratch_bytes = 0;
};

// Names and attributes point into `program` and the assignments' parts: both stay as long as pieces are used.
[[nodiscard]] Pieces cut(const godwit_program& program, const std::vector<Assignment>& assignments);

// A piece in the contract's structures, which point into it.
struct PieceProgram {
  PieceProgram(const Piece& piece, const godwit_program& whole);
  std::vector<godwit_tensor> tensors;
  std::vector<godwit_op> ops;
  godwit_program program{};
};

}  // namespace godwit::device
