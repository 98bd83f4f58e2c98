// Backend "reference": executes programs by the canonical references themselves (program::run_op), one op after the other, in one thread.
//
// Slow, and right by definition: what audits and qualification hold other backends to. Host memory, whole contract of godwit/backend.h.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "device/contract.h"
#include "godwit/backend.h"

using godwit::device::ContractOp;
using godwit::device::ContractTensor;
using godwit::device::read_op;
using godwit::device::read_tensor;

namespace {

// The contract's handles point to these. They have names of their own, because every linked backend defines its handles.
struct ReferenceDevice {
  bool profile = false;
  std::atomic<bool> aborted{false};
  void (*progress)(void* context, std::int32_t op) = nullptr;
  void* progress_context = nullptr;
};

struct ReferenceBuffer {
  std::byte* memory = nullptr;
  std::int64_t bytes = 0;
  bool owned = false;
};

struct ReferenceProgram {
  struct Step {
    ContractOp op;
    std::int64_t runs = 0, nanoseconds = 0;
  };
  ReferenceDevice* device = nullptr;
  std::vector<ContractTensor> tensors;
  std::vector<Step> steps;
  std::size_t refresh_count = 0;
  bool refreshed = false;
  std::int64_t arena_bytes = 0, persistent_bytes = 0;
};

ReferenceDevice* inside(godwit_device* device) {
  return reinterpret_cast<ReferenceDevice*>(device);
}
ReferenceBuffer* inside(godwit_buffer* buffer) {
  return reinterpret_cast<ReferenceBuffer*>(buffer);
}
ReferenceProgram* inside(godwit_prepared* prepared) {
  return reinterpret_cast<ReferenceProgram*>(prepared);
}
// A queue is its device, and an event nothing: work is done when the call that gives it returns.
ReferenceDevice* inside(godwit_queue* queue) {
  return reinterpret_cast<ReferenceDevice*>(queue);
}

const char* const profiles[] = {"exact/1", nullptr};

template <typename... Args>
godwit_status fail(godwit_error* error, godwit_status status, fmt::format_string<Args...> text, Args&&... args) {
  if (error != nullptr) {
    error->status = status;
    std::snprintf(error->message, sizeof error->message, "%s", fmt::format(text, std::forward<Args>(args)...).c_str());
  }
  return status;
}

int32_t device_count() {
  return 1;
}

godwit_status no_such_device(int32_t index, godwit_error* error) {
  return fail(error, GODWIT_INVALID, "the reference backend has one device, number 0, not {}", index);
}

godwit_status describe(godwit_device*, godwit_device_info* info, godwit_error*) {
  std::snprintf(info->name, sizeof info->name, "canonical references, 1 thread");
  std::snprintf(info->driver, sizeof info->driver, "%s", profiles[0]);
  info->memory_bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  info->profiles = profiles;
  return GODWIT_OK;
}

godwit_status device_describe(int32_t index, godwit_device_info* info, godwit_error* error) {
  return index == 0 ? describe(nullptr, info, error) : no_such_device(index, error);
}

godwit_status open_device(int32_t index, const godwit_option* options, int32_t option_count, godwit_device** device, godwit_error* error) {
  if (index != 0) return no_such_device(index, error);
  auto opened = std::make_unique<ReferenceDevice>();
  for (int32_t i = 0; i < option_count; ++i) {
    const std::string_view name = options[i].name, value = options[i].value;
    if (name == "profile") {
      opened->profile = value == "1";
    } else if (name == "isa") {
      return fail(error, GODWIT_INVALID, "the reference backend has no instruction set to choose, not '{}' either", value);
    } else if (name != "threads" && name != "verify") {  // one thread always; and there is nothing to hold a definition to
      return fail(error, GODWIT_INVALID, "the reference backend has no option '{}'; it has: threads, profile, verify", name);
    }
  }
  *device = reinterpret_cast<godwit_device*>(opened.release());
  return GODWIT_OK;
}

void close_device(godwit_device* device) {
  delete inside(device);
}

godwit_status buffer_create(godwit_device*, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  if (bytes < 0) return fail(error, GODWIT_INVALID, "a buffer cannot have {} bytes", bytes);
  const auto whole = (static_cast<std::size_t>(bytes) / GODWIT_ALIGNMENT + 1) * GODWIT_ALIGNMENT;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(GODWIT_ALIGNMENT, whole));
  if (memory == nullptr) return fail(error, GODWIT_OUT_OF_MEMORY, "no memory for a buffer of {} bytes", bytes);
  *buffer = reinterpret_cast<godwit_buffer*>(new ReferenceBuffer{memory, bytes, true});
  return GODWIT_OK;
}

godwit_status buffer_wrap(godwit_device*, void* memory, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  if (reinterpret_cast<std::uintptr_t>(memory) % GODWIT_ALIGNMENT != 0)
    return fail(error, GODWIT_INVALID, "wrapped memory must be aligned to {} bytes", GODWIT_ALIGNMENT);
  *buffer = reinterpret_cast<godwit_buffer*>(new ReferenceBuffer{static_cast<std::byte*>(memory), bytes, false});
  return GODWIT_OK;
}

void* buffer_host(godwit_buffer* buffer) {
  return inside(buffer)->memory;
}

void buffer_destroy(godwit_buffer* buffer) {
  if (inside(buffer)->owned) std::free(inside(buffer)->memory);
  delete inside(buffer);
}

godwit_status queue_create(godwit_device* device, godwit_queue** queue, godwit_error*) {
  *queue = reinterpret_cast<godwit_queue*>(device);
  return GODWIT_OK;
}

void queue_destroy(godwit_queue*) {}

bool in_range(const ReferenceBuffer& buffer, int64_t offset, int64_t bytes) {
  return offset >= 0 && bytes >= 0 && offset <= buffer.bytes && bytes <= buffer.bytes - offset;
}

godwit_status out_of_range(const ReferenceBuffer& buffer, int64_t offset, int64_t bytes, godwit_error* error) {
  return fail(error, GODWIT_INVALID, "bytes {} + {} lie outside a buffer of {}", offset, bytes, buffer.bytes);
}

godwit_status write_buffer(godwit_queue*, godwit_buffer* buffer, int64_t offset, const void* source, int64_t bytes, godwit_error* error) {
  if (!in_range(*inside(buffer), offset, bytes)) return out_of_range(*inside(buffer), offset, bytes, error);
  if (bytes > 0) std::memcpy(inside(buffer)->memory + offset, source, static_cast<std::size_t>(bytes));
  return GODWIT_OK;
}

godwit_status read_buffer(godwit_queue*, godwit_buffer* buffer, int64_t offset, void* destination, int64_t bytes, godwit_error* error) {
  if (!in_range(*inside(buffer), offset, bytes)) return out_of_range(*inside(buffer), offset, bytes, error);
  if (bytes > 0) std::memcpy(destination, inside(buffer)->memory + offset, static_cast<std::size_t>(bytes));
  return GODWIT_OK;
}

godwit_status event_record(godwit_queue* queue, godwit_event** event, godwit_error*) {
  *event = reinterpret_cast<godwit_event*>(queue);
  return GODWIT_OK;
}
godwit_status event_wait(godwit_event*, int64_t, godwit_error*) {
  return GODWIT_OK;
}
int32_t event_ready(godwit_event*) {
  return 1;
}
void event_destroy(godwit_event*) {}

const char* kernel_for(godwit_device*, const godwit_program* program, int32_t op) {
  return read_op(*program, program->ops[op]) ? "reference" : nullptr;
}

godwit_status prepare(godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
  if (std::strcmp(program->profile, profiles[0]) != 0)
    return fail(error, GODWIT_UNSUPPORTED, "the reference backend executes the profile {}, not {}", profiles[0], program->profile);
  auto made = std::make_unique<ReferenceProgram>();
  made->device = inside(device);
  made->refresh_count = static_cast<std::size_t>(program->refresh_count);
  made->arena_bytes = program->arena_bytes;
  made->persistent_bytes = program->persistent_bytes;
  for (int32_t i = 0; i < program->tensor_count; ++i) {
    made->tensors.push_back(read_tensor(program->tensors[i]));
  }
  for (int32_t i = 0; i < program->op_count; ++i) {
    auto op = read_op(*program, program->ops[i]);
    if (!op) return fail(error, GODWIT_UNSUPPORTED, "there is no op {} of these tensors and attributes", program->ops[i].name);
    made->steps.push_back({std::move(*op)});
  }
  *prepared = reinterpret_cast<godwit_prepared*>(made.release());
  return GODWIT_OK;
}

godwit_status prepared_describe(godwit_prepared*, godwit_prepared_info* info, godwit_error*) {
  info->workspace_bytes = 0;
  info->private_bytes = 0;
  return GODWIT_OK;
}

void prepared_destroy(godwit_prepared* prepared) {
  delete inside(prepared);
}

godwit_status run(godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                  const godwit_binding* bindings, godwit_error* error) {
  ReferenceDevice& device = *inside(queue);
  ReferenceProgram& program = *inside(prepared);
  const auto too_small = [](godwit_buffer* buffer, std::int64_t bytes) {
    return bytes > 0 && (buffer == nullptr || inside(buffer)->bytes < bytes);
  };
  if (too_small(arena, program.arena_bytes) || too_small(persistent, program.persistent_bytes))
    return fail(error, GODWIT_INVALID, "the arena or the persistent buffer is smaller than the program's");
  if (part == GODWIT_PART_MAIN && program.refresh_count > 0 && !program.refreshed)
    return fail(error, GODWIT_INVALID, "the program is run before its refresh part");
  const auto address = [&](std::int32_t index) -> std::byte* {
    const ContractTensor& place = program.tensors[static_cast<std::size_t>(index)];
    if (place.role == GODWIT_TEMPORARY) return inside(arena)->memory + place.offset;
    if (place.role == GODWIT_DERIVED) return inside(persistent)->memory + place.offset;
    const godwit_binding& binding = bindings[index];
    if (binding.buffer == nullptr || !in_range(*inside(binding.buffer), binding.offset, place.type.bytes())) return nullptr;
    return inside(binding.buffer)->memory + binding.offset;
  };
  const std::size_t begin = part == GODWIT_PART_REFRESH ? 0 : program.refresh_count;
  const std::size_t end = part == GODWIT_PART_REFRESH ? program.refresh_count : program.steps.size();
  for (std::size_t i = begin; i < end; ++i) {
    if (device.aborted.load(std::memory_order_relaxed)) return fail(error, GODWIT_ABORTED, "the device was told to give up its work");
    if (device.progress != nullptr) device.progress(device.progress_context, static_cast<std::int32_t>(i));
    ReferenceProgram::Step& step = program.steps[i];
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    for (const std::int32_t id : step.op.inputs) inputs.push_back(address(id));
    for (const std::int32_t id : step.op.outputs) outputs.push_back(address(id));
    for (const auto* ids : {&step.op.inputs, &step.op.outputs}) {
      for (const std::int32_t id : *ids) {
        if (address(id) != nullptr) continue;
        const std::string& name = program.tensors[static_cast<std::size_t>(id)].name;
        return fail(error, GODWIT_INVALID, "the tensor {} is not bound to memory of its size", name);
      }
    }
    const auto before = std::chrono::steady_clock::now();
    step.op.run(inputs, outputs);
    step.nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - before).count();
    ++step.runs;
  }
  if (part == GODWIT_PART_REFRESH) program.refreshed = true;
  return GODWIT_OK;
}

godwit_status abort_device(godwit_device* device, godwit_error*) {
  inside(device)->aborted.store(true);
  return GODWIT_OK;
}

godwit_status op_time(godwit_prepared* prepared, int32_t op, int64_t* runs, int64_t* nanoseconds, godwit_error* error) {
  const ReferenceProgram& program = *inside(prepared);
  if (!program.device->profile) return fail(error, GODWIT_UNSUPPORTED, "the device was opened without profile = 1");
  if (op < 0 || static_cast<std::size_t>(op) >= program.steps.size()) return fail(error, GODWIT_INVALID, "the program has no op {}", op);
  const ReferenceProgram::Step& step = program.steps[static_cast<std::size_t>(op)];
  *runs = step.runs;
  *nanoseconds = step.nanoseconds;
  return GODWIT_OK;
}

void watch(godwit_device* device, void (*progress)(void* context, int32_t op), void* context) {
  inside(device)->progress = progress;
  inside(device)->progress_context = context;
}

}  // namespace

extern "C" const godwit_backend* godwit_reference_backend(void) {
  static const godwit_backend table = {
      .struct_size = sizeof(godwit_backend),
      .major = GODWIT_BACKEND_MAJOR,
      .minor = GODWIT_BACKEND_MINOR,
      .name = "reference",
      .device_count = device_count,
      .device_describe = device_describe,
      .open = open_device,
      .close = close_device,
      .describe = describe,
      .buffer_create = buffer_create,
      .buffer_wrap = buffer_wrap,
      .buffer_host = buffer_host,
      .buffer_destroy = buffer_destroy,
      .queue_create = queue_create,
      .queue_destroy = queue_destroy,
      .write = write_buffer,
      .read = read_buffer,
      .event_record = event_record,
      .event_wait = event_wait,
      .event_ready = event_ready,
      .event_destroy = event_destroy,
      .kernel_for = kernel_for,
      .prepare = prepare,
      .prepared_describe = prepared_describe,
      .prepared_destroy = prepared_destroy,
      .run = run,
      .abort = abort_device,
      .op_time = op_time,
      .verify_key = nullptr,
      .findings = nullptr,
      .checked = nullptr,
      .watch = watch,
      .spoil = nullptr,
  };
  return &table;
}
