// One op = one room: its shape rule, gradient rule, cost, canonical reference, how a result may be checked, and examples.
//
// src/program/ops/NAME.cc defines `const Op NAME`; the build collects the folder into all_ops(). The canonical reference is plain
// loops over plain memory: it *is* the definition of the op's bits (docs/arithmetic.md says the same in words) and shares no code with
// any backend.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "program/tensor.h"

namespace godwit::program {

struct Op;
class Builder;

struct Attribute {
  std::string name;
  std::variant<std::int64_t, double> value;
};
using Attributes = std::vector<Attribute>;

// What every callback of an op may ask of the instance at hand: types by name, attributes by name. Asking for a name the op does not
// declare is a bug and aborts. An attribute that is a real number may be asked for as integer only if it was given as one.
class Instance {
 public:
  Instance(const Op& op, std::span<const TensorType> inputs, std::span<const TensorType> outputs, const Attributes& attributes)
      : op_(op), inputs_(inputs), outputs_(outputs), attributes_(attributes) {}

  [[nodiscard]] const Op& op() const { return op_; }
  [[nodiscard]] const TensorType& in(std::string_view name) const { return inputs_[input_index(name)]; }
  [[nodiscard]] const TensorType& out(std::string_view name) const { return outputs_[output_index(name)]; }
  [[nodiscard]] std::span<const TensorType> inputs() const { return inputs_; }
  [[nodiscard]] std::span<const TensorType> outputs() const { return outputs_; }
  [[nodiscard]] std::int64_t integer(std::string_view attribute) const;
  [[nodiscard]] double real(std::string_view attribute) const;
  [[nodiscard]] const Attributes& attributes() const { return attributes_; }

  [[nodiscard]] std::size_t input_index(std::string_view name) const;
  [[nodiscard]] std::size_t output_index(std::string_view name) const;

 private:
  const Op& op_;
  std::span<const TensorType> inputs_;
  std::span<const TensorType> outputs_;
  const Attributes& attributes_;
};

// The shape rule's view: reads the inputs, sets every output, and states what must hold. A requirement that fails is a bug of whoever
// emitted the op (user input is checked before a program is built): it aborts with both values.
class Shapes : public Instance {
 public:
  Shapes(const Op& op, std::span<const TensorType> inputs, std::span<TensorType> outputs, const Attributes& attributes)
      : Instance(op, inputs, outputs, attributes), mutable_outputs_(outputs) {}

  void set(std::string_view output, Dtype dtype, const Shape& shape) { mutable_outputs_[output_index(output)] = {dtype, shape}; }
  void require(bool condition, std::string_view what) const;

 private:
  std::span<TensorType> mutable_outputs_;
};

// Arithmetic and memory traffic of one execution. `flops` counts a fused multiply-add as two.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

// The gradient rule's view: emits backward ops into the program and states the gradient of each differentiable input. All gradients are
// f32, whatever the dtype of the tensor they belong to. A loss op (Op::loss) begins the chain: its rule asks for no incoming gradient.
class Gradient {
 public:
  Gradient(const Instance& instance, Builder& builder, std::span<const TensorId> inputs, std::span<const TensorId> outputs,
           std::span<const TensorId> output_gradients, std::span<TensorId> input_gradients)
      : instance_(instance),
        builder_(builder),
        inputs_(inputs),
        outputs_(outputs),
        output_gradients_(output_gradients),
        input_gradients_(input_gradients) {}

  [[nodiscard]] const Instance& instance() const { return instance_; }
  [[nodiscard]] Builder& builder() { return builder_; }
  [[nodiscard]] TensorId in(std::string_view name) const { return inputs_[instance_.input_index(name)]; }
  [[nodiscard]] TensorId out(std::string_view name) const { return outputs_[instance_.output_index(name)]; }
  // The incoming gradient of an output; aborts if there is none.
  [[nodiscard]] TensorId of(std::string_view output) const;
  // States the gradient of an input. Not called for inputs without one (ids, offsets).
  void set(std::string_view input, TensorId gradient) { input_gradients_[instance_.input_index(input)] = gradient; }

 private:
  const Instance& instance_;
  Builder& builder_;
  std::span<const TensorId> inputs_;
  std::span<const TensorId> outputs_;
  std::span<const TensorId> output_gradients_;
  std::span<TensorId> input_gradients_;
};

// The reference's view: plain memory by name. Inputs are read-only; every element of every output is written, except for outputs the op
// declares in `updates`, which keep what is not written.
class Memory : public Instance {
 public:
  Memory(const Op& op, std::span<const TensorType> inputs, std::span<const TensorType> outputs, const Attributes& attributes,
         std::span<const void* const> input_data, std::span<void* const> output_data)
      : Instance(op, inputs, outputs, attributes), input_data_(input_data), output_data_(output_data) {}

  [[nodiscard]] const float* f32(std::string_view input) const { return typed<const float>(input_data_[check(input, Dtype::f32, true)]); }
  [[nodiscard]] const std::uint16_t* bf16(std::string_view input) const {
    return typed<const std::uint16_t>(input_data_[check(input, Dtype::bf16, true)]);
  }
  [[nodiscard]] const std::int32_t* i32(std::string_view input) const {
    return typed<const std::int32_t>(input_data_[check(input, Dtype::i32, true)]);
  }
  [[nodiscard]] float* f32_out(std::string_view output) const { return typed<float>(output_data_[check(output, Dtype::f32, false)]); }
  [[nodiscard]] std::uint16_t* bf16_out(std::string_view output) const {
    return typed<std::uint16_t>(output_data_[check(output, Dtype::bf16, false)]);
  }
  [[nodiscard]] std::int32_t* i32_out(std::string_view output) const {
    return typed<std::int32_t>(output_data_[check(output, Dtype::i32, false)]);
  }
  // By position, any dtype: variadic ops, copies.
  [[nodiscard]] const void* input_bytes(std::size_t index) const { return input_data_[index]; }
  [[nodiscard]] void* output_bytes(std::size_t index) const { return output_data_[index]; }

 private:
  template <typename T, typename P>
  static T* typed(P* pointer) {
    return static_cast<T*>(pointer);
  }
  [[nodiscard]] std::size_t check(std::string_view name, Dtype dtype, bool is_input) const;

  std::span<const void* const> input_data_;
  std::span<void* const> output_data_;
};

// The view of the rule that writes an op as simpler ones, for backends that have no kernel for it: emits them and states which of their
// results are the op's. The bits must be the op's own by definition, not by measurement.
class Parts {
 public:
  Parts(const Instance& instance, Builder& builder, std::span<const TensorId> inputs, std::span<TensorId> outputs)
      : instance_(instance), builder_(builder), inputs_(inputs), outputs_(outputs) {}

  [[nodiscard]] const Instance& instance() const { return instance_; }
  [[nodiscard]] Builder& builder() { return builder_; }
  [[nodiscard]] TensorId in(std::string_view name) const { return inputs_[instance_.input_index(name)]; }
  // States where an output comes from. A rule that states none says that this instance has no parts.
  void set(std::string_view output, TensorId made) { outputs_[instance_.output_index(output)] = made; }

 private:
  const Instance& instance_;
  Builder& builder_;
  std::span<const TensorId> inputs_;
  std::span<TensorId> outputs_;
};

// How the guard may judge a result, cheapest sound way first.
enum class Check : std::uint8_t {
  projection,  // a random vector times the product (matmuls, attention)
  recompute,   // do it again exactly, it is cheap
  integers,    // counts and permutations against their own definition
};

// Values to try an instance with: conformance, golden bits, qualification.
class Fill;

struct Example {
  std::vector<TensorType> inputs;
  Attributes attributes;
};

struct Op {
  std::string_view name;
  std::vector<std::string_view> inputs;
  std::vector<std::string_view> outputs;
  std::vector<std::string_view> attributes = {};
  bool variadic = false;  // the last input may repeat
  bool loss = false;      // begins the gradient chain
  // {output, input}: the backend may compute the output in the input's memory (element i of the one depends on element i of the other
  // only).
  std::vector<std::pair<std::string_view, std::string_view>> in_place = {};
  std::vector<std::string_view> updates = {};  // outputs written in part (caches); they must be state
  // f32 outputs that a program may want rounded: where such an output is a bf16 tensor it holds cast(result), and the reference, which
  // knows nothing of it, is followed by the cast (run_op).
  std::vector<std::string_view> rounds = {};
  void (*shapes)(Shapes&) = nullptr;
  void (*gradient)(Gradient&) = nullptr;  // null: nothing upstream of this op is differentiated through it
  Cost (*cost)(const Instance&) = nullptr;
  void (*reference)(const Memory&) = nullptr;    // the definition of the bits
  void (*reference64)(const Memory&) = nullptr;  // the same loops in double (every f32 tensor holds doubles), for checking gradients
  Check check = Check::recompute;
  // The same as simpler ops; null: there are none. That a result which is wanted rounded (`rounds`) is a cast behind it, nobody need say.
  void (*parts)(Parts&) = nullptr;
  // Writes valid inputs for any instance; null: every input is f32 or bf16 and takes random reals.
  void (*fill)(Fill&) = nullptr;
  // Instances worth trying everywhere: ordinary, ragged, tiny, empty, beyond one segment of 512.
  std::vector<Example> (*examples)() = nullptr;
};

[[nodiscard]] std::span<const Op* const> all_ops();
// The op of that name, or null.
[[nodiscard]] const Op* find_op(std::string_view name);

}  // namespace godwit::program
