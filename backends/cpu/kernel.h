// What a kernel of the CPU backend sees, and what it is to the backend.
//
// backends/cpu/kernels/OP.cc is compiled once for every instruction set (GODWIT_ISA names it: scalar, avx2, avx512, avx512_bf16) in the
// namespace godwit::cpu::GODWIT_ISA, and defines there `extern const Kernel OP`. The build makes one table per instruction set.
// Kernels give the bits of docs/arithmetic.md on every instruction set and for every number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "godwit/backend.h"
#include "inspect.h"
#include "pool.h"

namespace godwit::cpu {

struct View {
  void* data = nullptr;
  godwit_dtype dtype = GODWIT_F32;
  int rank = 0;
  std::int64_t shape[4] = {};

  [[nodiscard]] std::int64_t count() const {
    std::int64_t product = 1;
    for (int i = 0; i < rank; ++i) product *= shape[i];
    return product;
  }
  [[nodiscard]] std::int64_t width() const { return rank == 0 ? 1 : shape[rank - 1]; }
  [[nodiscard]] std::int64_t rows() const { return width() == 0 ? 0 : count() / width(); }
  [[nodiscard]] bool bf16() const { return dtype == GODWIT_BF16; }
  template <typename T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(data);
  }
  [[nodiscard]] float* f32() const { return as<float>(); }
  [[nodiscard]] std::uint16_t* u16() const { return as<std::uint16_t>(); }
  [[nodiscard]] std::int32_t* i32() const { return as<std::int32_t>(); }
};

// One execution. Before the run (workspace, choose) `data` pointers are null and only types and attributes may be read.
struct Call {
  std::span<const View> in;
  std::span<const View> out;
  std::span<const godwit_attribute> attributes;
  Pool* pool = nullptr;
  std::byte* workspace = nullptr;     // at least workspace(call) bytes, 64-byte aligned, undefined content; shared by all ops of a device
  bool weight_packed = false;         // in[1] comes in the kernel's own layout (Kernel::pack) and is not read itself:
  const std::byte* packed = nullptr;  // here, in run
  bool weight_blocks = false;         // that layout holds it as blocks of 8 bits (Kernel::takes_blocks)
  bool verify = false;                // results are checked while they are made: known before the run
  const Inspection* inspection = nullptr;  // in run and pack; null where results are neither checked nor spoilt

  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  [[nodiscard]] double real(std::string_view name) const;
  [[nodiscard]] float real32(std::string_view name) const { return static_cast<float>(real(name)); }
};

// Where a result is not what its inputs say: its first row, if that is not -1.
struct Disagreement {
  int output = 0;
  std::int64_t row = -1;
  double difference = 0;
  double bound = 0;
};

struct Kernel {
  const char* op;
  // Name of the variant that will run at these shapes, for people and for the conformance test: "f32 6x64"; null if this kernel does not
  // serve the call.
  const char* (*variant)(const Call& call);
  std::int64_t (*workspace)(const Call& call);  // null: none
  void (*run)(const Call& call);
  // A kernel that multiplies by the matrix in[1] can have it in a layout of its own where it is a weight: made by `pack` whenever state has
  // changed, then handed to run as Call::packed; 0 bytes: it reads this one where it is. In `pack` in[1] may be f32 where the op takes
  // bf16: packing rounds.
  std::int64_t (*packed_bytes)(const Call& call) = nullptr;
  void (*pack)(const Call& call, std::byte* to) = nullptr;
  // `pack` can hold in[1] as blocks of 8 bits where it is the result of mxint8: it is then given what that was made of, f32.
  bool takes_blocks = false;
  // Equal for calls whose in[1], if the same tensor, is packed alike.
  const char* layout = nullptr;
  // How a device that checks knows that results are right (checked_run.h): the op is run twice and must give the same bits; the kernel
  // looks itself, by `Call::inspection`; or not at all (results are not the op's alone).
  enum class Proof : std::uint8_t { twice, own, none };
  Proof proof = Proof::twice;
  // Bit k: the k-th input goes by rows, as every output does: rows [i, j) of the outputs (by their first axis) are made of rows [i, j) of
  // these inputs, and of the others as wholes, whatever rows there are besides. 0: the op does not go by rows.
  std::uint32_t by_rows = 0;
  // Cheaper than a second run: whether results are what the inputs say, but for an error that harms nothing. Of an op that goes
  // by rows; it is shown the inputs as they were.
  Disagreement (*agrees)(const Call& call) = nullptr;
};

}  // namespace godwit::cpu
