// What an op's kernel is to this backend: OpenCL C text, and a plan that says which functions of it run, on what, how wide.
//
// backends/opencl/kernels/OP.cc defines `extern const Kernel OP` in namespace godwit::opencl; the build makes the table. A plan is a pure
// function of the op's types and attributes and of what the device is: nothing here touches a device.
//
// Two ways to write a kernel, by `Style`, chosen in choice.h: *wide* for devices whose work-items are threads of a CPU (a work-item owns a
// row or a register tile of vectors; no barrier, no local memory), *tiled* for GPUs (work-groups share tiles in local memory). prelude.h
// has the words that let one text serve both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "choice.h"
#include "godwit/backend.h"

namespace godwit::opencl {

struct View {
  godwit_dtype dtype = GODWIT_F32;
  int rank = 0;
  std::int64_t shape[4] = {};

  [[nodiscard]] std::int64_t count() const;
  [[nodiscard]] std::int64_t width() const { return rank == 0 ? 1 : shape[rank - 1]; }
  [[nodiscard]] std::int64_t rows() const { return width() == 0 ? 0 : count() / width(); }
  [[nodiscard]] std::int64_t bytes() const { return count() * (dtype == GODWIT_BF16 ? 2 : 4); }
  [[nodiscard]] bool bf16() const { return dtype == GODWIT_BF16; }
};

struct Call {
  std::vector<View> in;
  std::vector<View> out;
  struct Attribute {
    std::string name;
    std::int64_t integer;
    double real;
  };
  std::vector<Attribute> attributes;
  Traits traits;

  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  [[nodiscard]] double real(std::string_view name) const;
  [[nodiscard]] float real32(std::string_view name) const { return static_cast<float>(real(name)); }
};

// An argument that is memory: a tensor of the op, or a piece of scratch shared by all ops of a device (undefined content).
struct Place {
  enum class Kind : std::uint8_t { input, output, scratch } kind;
  std::size_t index = 0;    // of the input or output
  std::int64_t offset = 0;  // of scratch
  std::int64_t bytes = 0;   // of scratch
};
using Argument = std::variant<Place, std::int32_t, std::int64_t, float>;

struct Range {
  int dimensions = 1;
  std::array<std::size_t, 3> global{1, 1, 1};
  std::array<std::size_t, 3> local{1, 1, 1};
};

struct Launch {
  std::string source;   // behind the prelude
  std::string defines;  // "-DNAME=VALUE …"
  std::string function;
  std::vector<Argument> arguments;
  Range range;
};

class Plan {
 public:
  explicit Plan(const Call& call) : call_(call) {}

  static Argument in(std::size_t index) { return Place{Place::Kind::input, index}; }
  static Argument out(std::size_t index) { return Place{Place::Kind::output, index}; }
  // `bytes` of scratch for this op alone.
  Argument scratch(std::int64_t bytes);

  // One work-item for each of `count` elements, and perhaps some more: the text looks.
  [[nodiscard]] Range elements(std::int64_t count) const;
  // What ROW_INDEX and its companions of the prelude expect.
  [[nodiscard]] Range rows(std::int64_t count) const;
  // `count` work-items that each do much: exactly so many.
  [[nodiscard]] static Range items(std::int64_t count) { return {1, {static_cast<std::size_t>(count), 1, 1}, {1, 1, 1}}; }

  // Types of the op's tensors are defined for the text (prelude.h); `defines` are what else it wants.
  void launch(std::string_view source, std::string_view function, std::vector<Argument> arguments, const Range& range,
              std::string_view defines = "");
  // How this op is executed, for people: "wide 6x16". Without a name the op is not served.
  void name(std::string_view name) { name_ = name; }

  [[nodiscard]] const Call& call() const { return call_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::vector<Launch>& launches() const { return launches_; }
  [[nodiscard]] std::int64_t scratch_bytes() const { return scratch_bytes_; }

 private:
  const Call& call_;
  std::string name_;
  std::vector<Launch> launches_;
  std::int64_t scratch_bytes_ = 0;
};

struct Kernel {
  const char* op;
  void (*plan)(const Call& call, Plan& plan);
};

extern const std::span<const Kernel* const> kernels;

}  // namespace godwit::opencl
