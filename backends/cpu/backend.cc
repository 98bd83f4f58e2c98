// The CPU as a chip: opens the pool, chooses kernels by instruction set, executes programs at once, op by op, in the caller's thread and
// the pool's.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "carried.h"
#include "checked_run.h"
#include "float_mode.h"
#include "godwit/backend.h"
#include "inspect.h"
#include "instruction_set.h"
#include "kernel.h"
#include "memory.h"
#include "packing.h"
#include "pool.h"
#include "step.h"

namespace godwit::cpu {

namespace {

__attribute__((format(printf, 3, 4))) godwit_status fail(godwit_error* error, godwit_status status, const char* format, ...) {
  if (error != nullptr) {
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
  }
  return status;
}

}  // namespace

}  // namespace godwit::cpu

using godwit::cpu::Call;
using godwit::cpu::CarriedSums;
using godwit::cpu::fail;
using godwit::cpu::Findings;
using godwit::cpu::Inspection;
using godwit::cpu::Kernel;
using godwit::cpu::Mapping;
using godwit::cpu::PackedWeights;
using godwit::cpu::Packing;
using godwit::cpu::Pool;
using godwit::cpu::Spoiler;
using godwit::cpu::Step;
using godwit::cpu::step_of;
using godwit::cpu::Strike;

struct godwit_device {
  std::string name;
  std::string isa;
  std::span<const Kernel* const> kernels;
  std::unique_ptr<Pool> pool;
  Pool alone{1};
  Mapping workspace;
  std::unique_ptr<CarriedSums> carried;
  PackedWeights packed_weights;
  std::atomic<bool> aborted{false};
  bool profile = false;
  bool verify = false;
  std::array<std::uint64_t, 2> key{0x6B617469706F7265u, 0x77697468676F6477u};  // until verify_key
  std::uint64_t inspections = 0;
  std::atomic<std::int64_t> checked{0};
  Findings findings;
  std::unique_ptr<Spoiler> spoiler;
  void (*progress)(void* context, std::int32_t op) = nullptr;
  void* progress_context = nullptr;
};

struct godwit_buffer {
  void* memory = nullptr;
  std::int64_t bytes = 0;
  Mapping owned;  // empty where the caller's memory is wrapped
};

struct godwit_queue {
  godwit_device* device = nullptr;
};

struct godwit_event {
  int unused = 0;
};

namespace {

const Kernel* find_kernel(const godwit_device& device, const char* op) {
  for (const Kernel* kernel : device.kernels) {
    if (std::strcmp(kernel->op, op) == 0) return kernel;
  }
  return nullptr;
}

std::int64_t tensor_bytes(const godwit_tensor& tensor) {
  return godwit::cpu::view_of(tensor).count() * (tensor.dtype == GODWIT_BF16 ? 2 : 4);
}

}  // namespace

struct godwit_prepared {
  ~godwit_prepared() { device->carried->forget(this); }
  godwit_device* device = nullptr;
  std::deque<std::string> names;  // of attributes
  std::vector<Step> steps;
  std::vector<Packing> packings;
  std::size_t refresh_count = 0;
  std::int64_t workspace_bytes = 0;
  struct Place {
    godwit_role role;
    std::int64_t offset;
    std::int64_t bytes;
    std::string name;
  };
  std::vector<Place> places;
  std::int64_t arena_bytes = 0;
  std::int64_t persistent_bytes = 0;
};

namespace {

const char* const profiles[] = {"exact/1", nullptr};

int32_t device_count() {
  return 1;
}

void copy_text(char* target, std::size_t size, const std::string& text) {
  std::snprintf(target, size, "%s", text.c_str());
}

godwit_status fill_info(godwit_device_info* info, const std::string& name, const std::string& driver) {
  copy_text(info->name, sizeof info->name, name);
  copy_text(info->driver, sizeof info->driver, driver);
  info->memory_bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  info->profiles = profiles;
  return GODWIT_OK;
}

godwit_status device_describe(int32_t index, godwit_device_info* info, godwit_error* error) {
  if (index != 0) return fail(error, GODWIT_INVALID, "the cpu backend has one device, number 0, not %d", index);
  std::string best;
  for (const auto& set : godwit::cpu::instruction_sets()) {
    if (set.present) best = set.name;
  }
  return fill_info(info, godwit::cpu::processor_name(), best);
}

godwit_status open_device(int32_t index, const godwit_option* options, int32_t option_count, godwit_device** device, godwit_error* error) {
  if (index != 0) return fail(error, GODWIT_INVALID, "the cpu backend has one device, number 0, not %d", index);
  long threads = 1;
  std::string isa;
  bool profile = false;
  bool verify = false;
  for (int32_t i = 0; i < option_count; ++i) {
    const std::string name = options[i].name;
    if (name == "threads") {
      char* end = nullptr;
      threads = std::strtol(options[i].value, &end, 10);
      if (*end != '\0' || threads < 1 || threads > 4096)
        return fail(error, GODWIT_INVALID, "threads must be 1 to 4096, not '%s'", options[i].value);
    } else if (name == "isa") {
      isa = options[i].value;
    } else if (name == "profile") {
      profile = std::strcmp(options[i].value, "1") == 0;
    } else if (name == "verify") {
      verify = std::strcmp(options[i].value, "inline") == 0;
      if (!verify && std::strcmp(options[i].value, "off") != 0)
        return fail(error, GODWIT_INVALID, "verify must be off or inline, not '%s'", options[i].value);
    } else {
      return fail(error, GODWIT_INVALID, "the cpu backend has no option '%s'; it has: threads, isa, profile, verify", options[i].name);
    }
  }
  const auto sets = godwit::cpu::instruction_sets();
  const godwit::cpu::InstructionSet* chosen = nullptr;
  std::string known;
  for (const auto& set : sets) {
    if (set.present) known += std::string(known.empty() ? "" : ", ") + set.name;
    if (isa.empty() ? set.present : isa == set.name) chosen = &set;
  }
  if (chosen == nullptr || !chosen->present) {
    return fail(error, GODWIT_INVALID, "this machine has no instruction set '%s'; it has: %s", isa.c_str(), known.c_str());
  }
  auto opened = std::make_unique<godwit_device>();
  opened->isa = chosen->name;
  opened->kernels = chosen->kernels;
  opened->carried = std::make_unique<CarriedSums>(chosen->sum);
  opened->profile = profile;
  opened->verify = verify;
  opened->name =
      godwit::cpu::processor_name() + ", " + std::to_string(threads) + (threads == 1 ? " thread, " : " threads, ") + chosen->name;
  opened->pool = std::make_unique<Pool>(static_cast<int>(threads));
  *device = opened.release();
  return GODWIT_OK;
}

void close_device(godwit_device* device) {
  delete device;
}

godwit_status describe(godwit_device* device, godwit_device_info* info, godwit_error*) {
  return fill_info(info, device->name, device->isa);
}

godwit_status buffer_create(godwit_device*, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  if (bytes < 0) return fail(error, GODWIT_INVALID, "a buffer cannot have %lld bytes", static_cast<long long>(bytes));
  Mapping memory(bytes);
  if (memory.data() == nullptr) {
    return fail(error, GODWIT_OUT_OF_MEMORY, "no memory for a buffer of %lld bytes", static_cast<long long>(bytes));
  }
  std::byte* data = memory.data();
  *buffer = new godwit_buffer{data, bytes, std::move(memory)};
  return GODWIT_OK;
}

godwit_status buffer_wrap(godwit_device*, void* memory, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  if (reinterpret_cast<std::uintptr_t>(memory) % GODWIT_ALIGNMENT != 0) {
    return fail(error, GODWIT_INVALID, "wrapped memory must be aligned to %d bytes", GODWIT_ALIGNMENT);
  }
  *buffer = new godwit_buffer{memory, bytes, Mapping()};
  return GODWIT_OK;
}

void* buffer_host(godwit_buffer* buffer) {
  return buffer->memory;
}

void buffer_destroy(godwit_buffer* buffer) {
  delete buffer;
}

godwit_status queue_create(godwit_device* device, godwit_queue** queue, godwit_error*) {
  *queue = new godwit_queue{device};
  return GODWIT_OK;
}

void queue_destroy(godwit_queue* queue) {
  delete queue;
}

godwit_status in_range(const godwit_buffer* buffer, int64_t offset, int64_t bytes, godwit_error* error) {
  if (offset < 0 || bytes < 0 || offset > buffer->bytes || bytes > buffer->bytes - offset) {
    return fail(error, GODWIT_INVALID, "bytes %lld + %lld lie outside a buffer of %lld", static_cast<long long>(offset),
                static_cast<long long>(bytes), static_cast<long long>(buffer->bytes));
  }
  return GODWIT_OK;
}

godwit_status write_buffer(godwit_queue*, godwit_buffer* buffer, int64_t offset, const void* source, int64_t bytes, godwit_error* error) {
  if (const godwit_status status = in_range(buffer, offset, bytes, error); status != GODWIT_OK) return status;
  if (bytes > 0) std::memcpy(static_cast<std::byte*>(buffer->memory) + offset, source, static_cast<std::size_t>(bytes));
  return GODWIT_OK;
}

godwit_status read_buffer(godwit_queue*, godwit_buffer* buffer, int64_t offset, void* destination, int64_t bytes, godwit_error* error) {
  if (const godwit_status status = in_range(buffer, offset, bytes, error); status != GODWIT_OK) return status;
  if (bytes > 0) std::memcpy(destination, static_cast<const std::byte*>(buffer->memory) + offset, static_cast<std::size_t>(bytes));
  return GODWIT_OK;
}

// Work is done when the call that gives it returns, so every event is reached at once.
godwit_status event_record(godwit_queue*, godwit_event** event, godwit_error*) {
  *event = new godwit_event;
  return GODWIT_OK;
}
godwit_status event_wait(godwit_event*, int64_t, godwit_error*) {
  return GODWIT_OK;
}
int32_t event_ready(godwit_event*) {
  return 1;
}
void event_destroy(godwit_event* event) {
  delete event;
}

const char* kernel_for(godwit_device* device, const godwit_program* program, int32_t op) {
  const Kernel* kernel = find_kernel(*device, program->ops[op].name);
  if (kernel == nullptr) return nullptr;
  std::deque<std::string> names;
  return kernel->variant(step_of(*program, program->ops[op], kernel, names).call(*device->pool, nullptr));
}

// Where results are used for the last time, and which of them the host uses.
void plan_carrying(const godwit_program& program, std::vector<Step>& steps) {
  std::vector<bool> seen(static_cast<std::size_t>(program.tensor_count), false);
  const auto inside = [&](std::int32_t tensor) {
    const godwit_role role = program.tensors[tensor].role;
    return role == GODWIT_TEMPORARY || role == GODWIT_DERIVED;
  };
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    for (std::size_t i = 0; i < step->tensors.size(); ++i) {
      const std::int32_t tensor = step->tensors[i];
      if (i >= step->input_count) {
        step->for_host.push_back(!inside(tensor));
        continue;
      }
      step->last_use.push_back(inside(tensor) && !seen[static_cast<std::size_t>(tensor)]);
      seen[static_cast<std::size_t>(tensor)] = true;
    }
  }
}

std::int64_t workspace_of(godwit_device& device, const Step& step) {
  if (device.verify) return godwit::cpu::checked_workspace(step, *device.pool, device.alone);
  return step.kernel->workspace == nullptr ? 0 : step.kernel->workspace(step.call(*device.pool, nullptr));
}

godwit_status prepare(godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
  if (std::strcmp(program->profile, profiles[0]) != 0) {
    return fail(error, GODWIT_UNSUPPORTED, "the cpu backend executes the profile %s, not %s", profiles[0], program->profile);
  }
  auto made = std::make_unique<godwit_prepared>();
  made->device = device;
  made->refresh_count = static_cast<std::size_t>(program->refresh_count);
  made->arena_bytes = program->arena_bytes;
  made->persistent_bytes = program->persistent_bytes;
  for (int32_t i = 0; i < program->tensor_count; ++i) {
    const godwit_tensor& tensor = program->tensors[i];
    made->places.push_back({tensor.role, tensor.offset, tensor_bytes(tensor), tensor.name});
  }
  for (int32_t i = 0; i < program->op_count; ++i) {
    const godwit_op& op = program->ops[i];
    const Kernel* kernel = find_kernel(*device, op.name);
    if (kernel == nullptr) return fail(error, GODWIT_UNSUPPORTED, "the cpu backend has no kernel for the op %s", op.name);
    made->steps.push_back(step_of(*program, op, kernel, made->names));
    made->steps.back().verify = device->verify;
    if (kernel->variant(made->steps.back().call(*device->pool, nullptr)) == nullptr)
      return fail(error, GODWIT_UNSUPPORTED, "the cpu backend has no kernel for the op %s at these types", op.name);
  }
  made->packings = godwit::cpu::plan_packings(*program, made->steps);
  if (device->verify) plan_carrying(*program, made->steps);
  for (const Step& step : made->steps) {
    made->workspace_bytes = std::max(made->workspace_bytes, workspace_of(*device, step));
  }
  if (made->workspace_bytes > device->workspace.bytes()) {
    Mapping larger(made->workspace_bytes);
    if (larger.data() == nullptr) {
      return fail(error, GODWIT_OUT_OF_MEMORY, "no memory for a workspace of %lld bytes", static_cast<long long>(made->workspace_bytes));
    }
    device->workspace = std::move(larger);
  }
  *prepared = made.release();
  return GODWIT_OK;
}

godwit_status prepared_describe(godwit_prepared* prepared, godwit_prepared_info* info, godwit_error*) {
  info->workspace_bytes = prepared->workspace_bytes;
  info->private_bytes = 0;
  for (const Packing& packing : prepared->packings) info->private_bytes += packing.bytes;
  return GODWIT_OK;
}

void prepared_destroy(godwit_prepared* prepared) {
  PackedWeights& weights = prepared->device->packed_weights;
  delete prepared;
  weights.trim();
}

// Whether results are looked at; then `inspection` says with what.
bool inspect(godwit_device& device, Inspection& inspection) {
  if (!device.verify) return false;
  inspection.verify = true;
  inspection.key = device.key;
  inspection.run = ++device.inspections;
  inspection.findings = &device.findings;
  return true;
}

void run_step(godwit_device& device, const godwit_prepared* program, const Step& step, std::int32_t index) {
  Call call = step.call(*device.pool, device.workspace.data());
  if (!device.verify && device.spoiler == nullptr) return step.kernel->run(call);
  Inspection inspection;
  (void)inspect(device, inspection);
  inspection.program = program;
  inspection.op = index;
  inspection.tensors = step.tensors.data() + step.input_count;
  Strike strike;
  const bool products = step.kernel->proof == Kernel::Proof::own;
  if (device.spoiler != nullptr && !call.out.empty() && device.spoiler->strikes(step.kernel->op, products, index, call.out[0].rows(), strike))
    inspection.strike = &strike;
  call.inspection = &inspection;
  godwit::cpu::run_checked(step, call, inspection, {*device.pool, device.alone, *device.carried});
  device.checked.fetch_add(std::popcount(inspection.checked.load()), std::memory_order_relaxed);
}

godwit_status run(godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                  const godwit_binding* bindings, godwit_error* error) {
  godwit_device& device = *queue->device;
  if ((prepared->arena_bytes > 0 && (arena == nullptr || arena->bytes < prepared->arena_bytes)) ||
      (prepared->persistent_bytes > 0 && (persistent == nullptr || persistent->bytes < prepared->persistent_bytes))) {
    return fail(error, GODWIT_INVALID, "the arena or the persistent buffer is smaller than the program's");
  }
  const auto address = [&](std::int32_t index) -> void* {
    const auto& place = prepared->places[static_cast<std::size_t>(index)];
    if (place.role == GODWIT_TEMPORARY) return static_cast<std::byte*>(arena->memory) + place.offset;
    if (place.role == GODWIT_DERIVED) return static_cast<std::byte*>(persistent->memory) + place.offset;
    const godwit_binding& binding = bindings[index];
    if (binding.buffer == nullptr || in_range(binding.buffer, binding.offset, place.bytes, nullptr) != GODWIT_OK) return nullptr;
    return static_cast<std::byte*>(binding.buffer->memory) + binding.offset;
  };
  godwit::cpu::set_ieee_mode();
  const std::size_t begin = part == GODWIT_PART_REFRESH ? 0 : prepared->refresh_count;
  const std::size_t end = part == GODWIT_PART_REFRESH ? prepared->refresh_count : prepared->steps.size();
  const auto unbound = [&](std::int32_t tensor) {
    return fail(error, GODWIT_INVALID, "the tensor %s is not bound to memory of its size",
                prepared->places[static_cast<std::size_t>(tensor)].name.c_str());
  };
  for (std::size_t i = begin; i < end; ++i) {
    if (device.aborted.load(std::memory_order_relaxed)) return fail(error, GODWIT_ABORTED, "the device was told to give up its work");
    Step& step = prepared->steps[i];
    if (step.unneeded) continue;
    if (device.progress != nullptr) device.progress(device.progress_context, static_cast<std::int32_t>(i));
    if (step.weight_packed && step.packed == nullptr) return fail(error, GODWIT_INVALID, "the program is run before its refresh part");
    for (std::size_t k = 0; k < step.tensors.size(); ++k) {
      step.views[k].data = address(step.tensors[k]);
      if (step.views[k].data == nullptr) return unbound(step.tensors[k]);
    }
    if (!device.profile) {
      run_step(device, prepared, step, static_cast<std::int32_t>(i));
      continue;
    }
    const auto before = std::chrono::steady_clock::now();
    run_step(device, prepared, step, static_cast<std::int32_t>(i));
    step.nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - before).count();
    ++step.runs;
  }
  for (std::size_t i = 0; part == GODWIT_PART_REFRESH && i < prepared->packings.size(); ++i) {
    Packing& packing = prepared->packings[i];
    void* source = address(packing.source);
    if (source == nullptr) return unbound(packing.source);
    Inspection inspection;
    const bool inspected = inspect(device, inspection);
    if (!godwit::cpu::pack(packing, prepared->steps, device.packed_weights, source, *device.pool, inspected ? &inspection : nullptr)) {
      return fail(error, GODWIT_OUT_OF_MEMORY, "no memory for %lld bytes of packed weights", static_cast<long long>(packing.bytes));
    }
  }
  if (!godwit::cpu::in_ieee_mode()) return fail(error, GODWIT_FAILED, "the floating-point mode was changed while a program ran");
  return GODWIT_OK;
}

godwit_status abort_device(godwit_device* device, godwit_error*) {
  device->aborted.store(true);
  return GODWIT_OK;
}

godwit_status op_time(godwit_prepared* prepared, int32_t op, int64_t* runs, int64_t* nanoseconds, godwit_error* error) {
  if (!prepared->device->profile) return fail(error, GODWIT_UNSUPPORTED, "the device was opened without profile = 1");
  if (op < 0 || static_cast<std::size_t>(op) >= prepared->steps.size()) return fail(error, GODWIT_INVALID, "the program has no op %d", op);
  const Step& step = prepared->steps[static_cast<std::size_t>(op)];
  *runs = step.runs;
  *nanoseconds = step.nanoseconds;
  return GODWIT_OK;
}

void watch(godwit_device* device, void (*progress)(void* context, int32_t op), void* context) {
  device->progress = progress;
  device->progress_context = context;
}

// On a device that checks nothing a key changes nothing, and there are never findings.
godwit_status verify_key(godwit_device* device, const uint64_t key[2], godwit_error*) {
  device->key = {key[0], key[1]};
  device->inspections = 0;
  return GODWIT_OK;
}

godwit_status take_findings(godwit_device* device, godwit_finding* findings, int32_t capacity, int64_t* count, godwit_error*) {
  device->carried->look_for_host(*device->pool, device->findings);
  *count = device->findings.take(findings, capacity);
  return GODWIT_OK;
}

int64_t checked(godwit_device* device) {
  return device->checked.load();
}

godwit_status spoil(godwit_device* device, const godwit_spoil* what, void (*told)(void*, const godwit_spoilt*), void* context,
                    godwit_error* error) {
  if (what != nullptr && (what->kind < GODWIT_SPOIL_BIT || what->kind > GODWIT_SPOIL_MISSING || what->bit > 31))
    return fail(error, GODWIT_INVALID, "there is no such kind of spoiling: %d, bit %d", static_cast<int>(what->kind), what->bit);
  device->spoiler = what == nullptr ? nullptr : std::make_unique<Spoiler>(*what, told, context);
  return GODWIT_OK;
}

}  // namespace

extern "C" const godwit_backend* godwit_cpu_backend(void) {
  static const godwit_backend table = {
      sizeof(godwit_backend),
      GODWIT_BACKEND_MAJOR,
      GODWIT_BACKEND_MINOR,
      "cpu",
      device_count,
      device_describe,
      open_device,
      close_device,
      describe,
      buffer_create,
      buffer_wrap,
      buffer_host,
      buffer_destroy,
      queue_create,
      queue_destroy,
      write_buffer,
      read_buffer,
      event_record,
      event_wait,
      event_ready,
      event_destroy,
      kernel_for,
      prepare,
      prepared_describe,
      prepared_destroy,
      run,
      abort_device,
      op_time,
      verify_key,
      take_findings,
      checked,
      watch,
      spoil,
  };
  return &table;
}
