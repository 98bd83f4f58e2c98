// Devices as the rest of godwit sees them: opens a backend's device, owns buffers, prepares and runs programs.
//
// One device serves one thread at a time. Every failure of the backend becomes an Error that names backend, call and tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "device/guarded_memory.h"
#include "godwit/backend.h"
#include "program/program.h"

namespace godwit::device {

// Rounded up to where a buffer's next tensor may begin.
[[nodiscard]] constexpr std::int64_t aligned(std::int64_t bytes) {
  return (bytes + GODWIT_ALIGNMENT - 1) / GODWIT_ALIGNMENT * GODWIT_ALIGNMENT;
}

struct DeviceOptions {
  std::string backend = "cpu";
  int number = 0;  // which of the backend's devices
  int threads = 1;
  std::string isa;       // empty: the best there is
  bool profile = false;  // count runs and time of every op: Executable::op_times
  bool verify = false;   // check results while they are made: Device::findings
  bool fallback = true;  // of a library: the CPU does what it lacks (device/fallback.h); false: such programs are refused
};

// What one op has cost since its program was prepared.
struct OpTime {
  std::int64_t runs = 0;
  std::int64_t nanoseconds = 0;
};

// A doubtful result. Evidence, not an error: whoever ran the program judges.
struct Finding {
  std::string program;
  std::string op;      // name of the op, "linear"
  std::int32_t index;  // of its node
  std::string tensor;  // the result in doubt
  std::int64_t row = -1;
  double difference = 0;
  double bound = 0;
};

class Device;

// Memory of a device. Movable; must not outlive its device.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer();
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;

  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  // The memory as the host may address it while nothing runs, or null on devices with memory of their own.
  [[nodiscard]] std::byte* host() const;
  [[nodiscard]] godwit_buffer* handle() const { return buffer_; }

 private:
  friend class Device;
  const godwit_backend* backend_ = nullptr;
  godwit_buffer* buffer_ = nullptr;
  std::int64_t bytes_ = 0;
  GuardedMemory shared_;  // of allocate_shared, where it is not the device's
};

// A program prepared for a device. Tensors the caller does not bind (inputs, constants, outputs) get memory of its own at the first run;
// state must be bound. Temporaries live in the device's arena, which all its executables share: what a run leaves there is gone at the
// next run of any.
class Executable {
 public:
  ~Executable();
  Executable(Executable&& other) noexcept;
  Executable& operator=(Executable&&) = delete;

  [[nodiscard]] const program::Program& program() const { return program_; }
  [[nodiscard]] const program::MemoryPlan& plan() const { return plan_; }

  void bind(program::TensorId tensor, const Buffer& buffer, std::int64_t offset = 0);
  // Runs the refresh part: after the first binding and whenever bound state has changed from outside.
  [[nodiscard]] Result<void> refresh();
  [[nodiscard]] Result<void> run();

  // What the backend holds for this program beside the arena: private layouts (packed weights), and scratch, which a device's programs
  // share.
  struct Held {
    std::int64_t private_bytes = 0;
    std::int64_t workspace_bytes = 0;
  };
  [[nodiscard]] Result<Held> held() const;
  // By node, of a device opened with `profile`; an error where the backend keeps no times.
  [[nodiscard]] Result<std::vector<OpTime>> op_times() const;

  // Host copies of a whole bound tensor (inputs, constants, outputs, state). Aborts on a size that is not the tensor's.
  [[nodiscard]] Result<void> write(program::TensorId tensor, std::span<const std::byte> bytes);
  [[nodiscard]] Result<void> read(program::TensorId tensor, std::span<std::byte> bytes);
  template <typename T>
  [[nodiscard]] Result<void> write(program::TensorId tensor, std::span<const T> values) {
    return write(tensor, std::as_bytes(values));
  }
  template <typename T>
  [[nodiscard]] Result<std::vector<T>> read(program::TensorId tensor) {
    std::vector<T> values(static_cast<std::size_t>(program_.tensor(tensor).type.bytes()) / sizeof(T));
    TRY(read(tensor, std::as_writable_bytes(std::span(values))));
    return values;
  }

 private:
  friend class Device;
  Executable() = default;
  [[nodiscard]] Result<void> complete();
  [[nodiscard]] Result<void> run_part(godwit_part part);
  // Until all work given so far is done: only then are results there, and sources of writes the caller's again.
  [[nodiscard]] Result<void> wait(std::string_view what);
  [[nodiscard]] Error failure(std::string_view what, const godwit_error& error) const;

  Device* device_ = nullptr;
  program::Program program_;
  program::MemoryPlan plan_;
  godwit_prepared* prepared_ = nullptr;
  std::vector<godwit_binding> bindings_;
  Buffer own_;         // unbound inputs, constants and outputs
  Buffer persistent_;  // derived tensors
  bool complete_ = false;
};

class Device {
 public:
  // Unknown backends and options are input errors that name the known ones.
  [[nodiscard]] static Result<std::unique_ptr<Device>> open(const DeviceOptions& options);
  // The same of a given table, whatever its name: a backend that stands before another one and watches its calls, or spoils them.
  [[nodiscard]] static Result<std::unique_ptr<Device>> open(const godwit_backend& backend, const DeviceOptions& options);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Result<Buffer> allocate(std::int64_t bytes);
  // The caller's memory, aligned and outliving the buffer; an error where the device cannot address it.
  [[nodiscard]] Result<Buffer> wrap(void* memory, std::int64_t bytes);
  // Within a buffer, through the host; nothing runs meanwhile.
  [[nodiscard]] Result<void> copy(const Buffer& buffer, std::int64_t from, std::int64_t to, std::int64_t bytes);
  // Memory that the host addresses too: the device's own where it is the host's, else the host's with a copy on the device.
  [[nodiscard]] Result<Buffer> allocate_shared(std::int64_t bytes);
  // Programs whose tensors are all of one shape may be prepared often; the plan is made here.
  [[nodiscard]] Result<Executable> prepare(program::Program program);
  // The kernel that would execute node `index`, or empty. Where somebody stands in for the device it begins with `by_parts` or `by_cpu`
  // (device/fallback.h).
  [[nodiscard]] std::string kernel_for(const program::Program& program, std::size_t index);
  [[nodiscard]] std::vector<std::string> kernels(const program::Program& program);  // of all nodes
  // Bytes of the shared arena so far.
  [[nodiscard]] std::int64_t arena_bytes() const { return arena_.bytes(); }

  // What results are checked with from now on, where the device was opened with `verify`: a secret that changes before each refresh.
  [[nodiscard]] Result<void> verify_key(std::uint64_t high, std::uint64_t low);
  // Findings since the last call, at most some hundreds of them; how many there were in all.
  struct Evidence {
    std::vector<Finding> findings;
    std::int64_t count = 0;
  };
  // Asked when the host has taken (hashed, sent) what programs left for it, and before it writes there: also looks whether that is still
  // what their ops made. May be called from `watch`'s function.
  [[nodiscard]] Result<Evidence> evidence();
  // Whether a call has said that the device is gone: whoever still wants it opens it anew, in a process of its own.
  [[nodiscard]] bool lost() const { return lost_; }
  [[nodiscard]] std::int64_t checked() const;  // results checked so far; 0 where the backend checks nothing
  // Called whenever an op begins, in the thread that runs programs. Quick, or the device waits. False where the backend cannot.
  bool watch(std::function<void(std::int32_t op)> progress);
  // Spoils results (godwit_spoil), to see whether they are found. An error where the backend cannot.
  [[nodiscard]] Result<void> spoil(const godwit_spoil& spoil, std::function<void(const godwit_spoilt&)> told);
  void spoil_no_longer();

 private:
  friend class Executable;
  Device() = default;
  [[nodiscard]] godwit_status finish(godwit_error& error);  // all work given so far

  const godwit_backend* backend_ = nullptr;
  godwit_device* device_ = nullptr;
  godwit_queue* queue_ = nullptr;
  std::string name_;
  bool lost_ = false;
  Buffer arena_;
  std::map<const godwit_prepared*, const Executable*> executables_;  // alive
  std::function<void(std::int32_t)> progress_;
  std::function<void(const godwit_spoilt&)> told_;
};

}  // namespace godwit::device
