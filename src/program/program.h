// A program: a flat list of ops over named tensors. Passes are functions program → program; a backend executes it; the memory plan
// places its temporaries; the cost model prices it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "program/op.h"
#include "program/tensor.h"

namespace godwit::program {

struct Node {
  const Op* op = nullptr;
  std::vector<TensorId> inputs;
  std::vector<TensorId> outputs;
  Attributes attributes;
};

struct Program {
  std::string name;
  std::vector<Tensor> tensors;
  // The first `refresh_count` nodes depend on state and constants alone: they run when state has changed, not at every run.
  std::vector<Node> nodes;
  std::size_t refresh_count = 0;

  [[nodiscard]] const Tensor& tensor(TensorId id) const { return tensors[static_cast<std::size_t>(id)]; }
  [[nodiscard]] Tensor& tensor(TensorId id) { return tensors[static_cast<std::size_t>(id)]; }
  // TensorId::none if there is no tensor of that name.
  [[nodiscard]] TensorId find(std::string_view name) const;
  [[nodiscard]] std::vector<TensorType> types(std::span<const TensorId> ids) const;
  [[nodiscard]] Cost cost() const;         // of one run, without the refresh part
  [[nodiscard]] std::string text() const;  // readable listing, one op a line
};

// Emits ops into a program. Names are made unique; shapes are checked at once by the ops' own rules.
class Builder {
 public:
  explicit Builder(std::string name) { program_.name = std::move(name); }

  // A tensor that is not computed: input, constant or state. A name that exists already is a bug.
  TensorId declare(std::string name, Role role, Dtype dtype, const Shape& shape);

  // Emits an op; its outputs are temporaries named after the op. `updated` gives the existing tensors for outputs the op updates in part.
  std::vector<TensorId> emit(std::string_view op, std::vector<TensorId> inputs, Attributes attributes = {},
                             std::vector<TensorId> updated = {});
  // The same for an op with one output.
  TensorId emit1(std::string_view op, std::vector<TensorId> inputs, Attributes attributes = {});
  // x as `dtype`; the same tensor if it is that already, and one cast for all who ask.
  TensorId cast(TensorId x, Dtype dtype);

  // Makes a computed temporary an output of the program under this name.
  void output(TensorId id, std::string name);
  // Prefix for the names of tensors emitted from now on ("layers.3.").
  void scope(std::string prefix) { scope_ = std::move(prefix); }

  [[nodiscard]] const Program& program() const { return program_; }
  [[nodiscard]] const TensorType& type(TensorId id) const { return program_.tensor(id).type; }
  [[nodiscard]] Program finish() && { return std::move(program_); }

 private:
  friend class GradientPass;
  Program program_;
  std::string scope_;
  std::map<std::string, int, std::less<>> name_counts_;
  std::map<std::pair<TensorId, Dtype>, TensorId> casts_;
};

// Appends the backward ops of every loss in the builder's program and makes the gradient of each tensor in `parameters` an output named
// "grad." + its name. The gradient of a tensor used n times is the chain of its uses' contributions in program order (ARITHMETIC 1.5).
// A parameter that no loss depends on has no gradient output; the returned ids are then none.
std::vector<TensorId> differentiate(Builder& builder, std::span<const TensorId> parameters);

// Passes. Each keeps the bits of every output.
[[nodiscard]] Program remove_unused(Program program);  // ops whose outputs nobody reads
[[nodiscard]] Program hoist_refresh(Program program);  // ops that depend on state and constants alone move to the refresh part
// A result that is only wanted rounded to bf16 is written rounded by the op that makes it (Op::rounds), and the cast is gone.
[[nodiscard]] Program fuse_casts(Program program);
struct RecomputeOptions {
  // Forward results of at least this many bytes that cost at most `flops_per_byte_max` to make again are dropped and made again just before
  // their first use in the backward part.
  double flops_per_byte_max = 8;
  std::int64_t bytes_min = 0;
};
// `forward_count`: the number of nodes that belong to the forward part.
[[nodiscard]] Program recompute(Program program, std::size_t forward_count, RecomputeOptions options = {});

// An op as simpler ones: a program whose first tensors are the op's inputs in their order (Role::input), and whose outputs are named "0",
// "1" … in the order of the op's. Nothing where it has no parts.
[[nodiscard]] std::optional<Program> parts_of(const Op& op, std::span<const TensorType> inputs, std::span<const TensorType> outputs,
                                              const Attributes& attributes);

// Where each temporary and derived tensor lies in its arena. Offsets are multiples of 512 bytes. Two temporaries overlap only if the
// lifetime of one ends before that of the other begins, or the op that joins them allows in-place computation.
struct MemoryPlan {
  std::vector<std::int64_t> offsets;  // by tensor; -1 for tensors bound by the caller
  std::int64_t arena_bytes = 0;
  std::int64_t persistent_bytes = 0;  // derived tensors
  std::int64_t bound_bytes = 0;       // inputs, constants, state, outputs: what the caller brings
};
[[nodiscard]] MemoryPlan plan_memory(const Program& program);

// Runs one op by its canonical reference; outputs that are bf16 where the op gives f32 (Op::rounds) are rounded.
void run_op(const Op& op, std::span<const TensorType> inputs, std::span<const TensorType> outputs, const Attributes& attributes,
            std::span<const void* const> input_data, std::span<void* const> output_data);

// Runs the program by the canonical references, in plain memory. `data[i]` is the memory of tensor i (every tensor, temporaries too).
void run_reference(const Program& program, std::span<void* const> data, bool refresh);

}  // namespace godwit::program
