// What the files of the fallback (fallback.h) share: the objects behind the contract's handles. They have names of their own, because every
// linked backend defines its handles.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "device/backend_call.h"
#include "device/guarded_memory.h"
#include "device/pieces.h"

namespace godwit::device::fallback {

struct Device;

struct Buffer {
  Device* device = nullptr;
  std::int64_t bytes = 0;
  std::byte* host = nullptr;        // as the host addresses it; null: memory of the device's own
  bool mirrored = false;            // the device works in a copy of `host`
  GuardedMemory own;                // what `host` points to, unless the caller brought it
  GuardedMemory staging;            // the CPU's copy of memory of the device's own
  godwit_buffer* behind = nullptr;  // the device's
  godwit_buffer* cpu = nullptr;     // the CPU backend's, over host or staging; made when it is needed first
};

struct Queue {
  Device* device = nullptr;
  godwit_queue* behind = nullptr;
};

struct Event {
  Device* device = nullptr;
  godwit_event* behind = nullptr;
};

// A piece as it was prepared.
struct Ready {
  Doer doer = Doer::device;
  bool entire = false;  // the whole program as it came, refresh part and all
  bool refresh = false;
  godwit_prepared* prepared = nullptr;
  struct Tensor {
    std::string name;
    godwit_role role;        // to the piece
    godwit_role whole_role;  // to the program; of a part's own tensors GODWIT_OUTPUT
    std::int32_t whole;
    Piece::Tensor::In in;
    std::int64_t offset, bytes;
    bool read, written;
  };
  std::vector<Tensor> tensors;
  struct Op {
    std::int32_t whole;
    bool first;
  };
  std::vector<Op> ops;
};

struct Program {
  Device* device = nullptr;
  std::vector<Ready> pieces;
  std::int64_t scratch_bytes = 0;
};

struct Spoil {
  godwit_spoil what{};
  std::string op;
  void (*told)(void*, const godwit_spoilt*) = nullptr;
  void* context = nullptr;
  std::int64_t times = 0;
};

struct Device {
  const godwit_backend* behind = nullptr;
  godwit_device* device = nullptr;
  std::vector<std::pair<std::string, std::string>> cpu_options;
  std::atomic<godwit_device*> cpu{nullptr};  // opened when it is needed first
  godwit_queue* cpu_queue = nullptr;
  bool wraps = true;            // works in the host's memory, as far as it was asked
  std::string broken;           // why nothing is done any more
  std::set<std::string> names;  // that kernel_for has returned
  std::set<Buffer*> guarded;
  Buffer* scratch = nullptr;
  std::map<const godwit_prepared*, std::pair<Program*, std::size_t>> pieces;  // by what the device knows them by
  const Ready* running = nullptr;                                             // the piece that runs, or ran last
  void (*progress)(void*, std::int32_t) = nullptr;
  void* progress_context = nullptr;
  std::unique_ptr<Spoil> spoil;
};

inline Device* inside(godwit_device* handle) {
  return reinterpret_cast<Device*>(handle);
}
inline Buffer* inside(godwit_buffer* handle) {
  return reinterpret_cast<Buffer*>(handle);
}
inline Queue* inside(godwit_queue* handle) {
  return reinterpret_cast<Queue*>(handle);
}
inline Event* inside(godwit_event* handle) {
  return reinterpret_cast<Event*>(handle);
}
inline Program* inside(godwit_prepared* handle) {
  return reinterpret_cast<Program*>(handle);
}

template <typename... Args>
godwit_status fail(godwit_error* error, godwit_status status, fmt::format_string<Args...> text, Args&&... args) {
  if (error != nullptr) {
    error->status = status;
    std::snprintf(error->message, sizeof error->message, "%s", fmt::format(text, std::forward<Args>(args)...).c_str());
  }
  return status;
}

// Of a call that ended well and must have made something.
template <typename Made>
godwit_status given(godwit_status status, Made* const& made, const char* call_made, godwit_error* error) {
  if (status != GODWIT_OK || made != nullptr) return status;
  return fail(error, GODWIT_FAILED, "{} said that all is well and gave nothing", call_made);
}

[[nodiscard]] const godwit_backend& cpu_backend();
// The CPU device that stands in; GODWIT_OK also where it was there before.
godwit_status open_cpu(Device& device, godwit_error* error);

// ---- Memory (fallback_buffers.cc) ----
godwit_status create_buffer(Device& device, std::int64_t bytes, Buffer*& buffer, godwit_error* error);
godwit_status wrap_buffer(Device& device, void* memory, std::int64_t bytes, Buffer*& buffer, godwit_error* error);
void destroy_buffer(Buffer* buffer);
// Where the CPU works on a buffer, and its handle for it.
[[nodiscard]] std::byte* cpu_memory(Buffer& buffer);
godwit_status cpu_handle(Buffer& buffer, godwit_buffer*& handle, godwit_error* error);
// Copies between where the CPU works and the device, in the queue's order.
godwit_status to_device(Queue& queue, Buffer& buffer, std::int64_t offset, std::int64_t bytes, godwit_error* error);
godwit_status from_device(Queue& queue, Buffer& buffer, std::int64_t offset, std::int64_t bytes, godwit_error* error);
// Until all work of the queue is done.
godwit_status wait_for(Queue& queue, godwit_error* error);
// Whether a kernel wrote beside its buffers: then nothing is done any more.
godwit_status look_at_edges(Device& device, godwit_error* error);

// ---- Programs (fallback_programs.cc) ----
// The name of the kernel that executes an op on the device itself; empty: none.
[[nodiscard]] std::string own_kernel(const Device& device, const godwit_program& program, std::int32_t op);
godwit_status prepare_program(Device& device, const godwit_program& program, Program*& prepared, godwit_error* error);
void destroy_program(Program* program);
godwit_status run_program(Queue& queue, Program& program, godwit_part part, Buffer* arena, Buffer* persistent,
                          const godwit_binding* bindings, godwit_error* error);

}  // namespace godwit::device::fallback
