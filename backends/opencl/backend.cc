// Any OpenCL device that can keep the profile's bits, behind the contract of godwit/backend.h.
//
// A program's ops become launches of kernels (kernel.h), made ready by `prepare` and given to an in-order queue by `run`. Tensors are
// sub-buffers of the caller's buffers. Where work-items are threads of the host (OpenCL on a CPU) buffers are the host's own memory.
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "godwit/backend.h"
#include "kernel.h"
#include "runtime.h"

using godwit::opencl::Argument;
using godwit::opencl::Call;
using godwit::opencl::DeviceFacts;
using godwit::opencl::During;
using godwit::opencl::Failure;
using godwit::opencl::failure_of;
using godwit::opencl::Kernel;
using godwit::opencl::Launch;
using godwit::opencl::Place;
using godwit::opencl::Plan;
using godwit::opencl::Programs;
using godwit::opencl::Range;
using godwit::opencl::View;

struct godwit_device {
  ~godwit_device();
  cl_device_id id = nullptr;
  bool part = false;  // `id` is a sub-device of our own
  cl_context context = nullptr;
  DeviceFacts facts;
  std::unique_ptr<Programs> programs;
  std::unique_ptr<godwit_buffer> scratch;  // of the largest op prepared so far
  std::set<std::string> names;             // that kernel_for has returned
  std::atomic<bool> aborted{false};
  bool profile = false;
  void (*progress)(void* context, std::int32_t op) = nullptr;
  void* progress_context = nullptr;
};

struct godwit_buffer {
  ~godwit_buffer();
  cl_mem memory = nullptr;
  std::int64_t bytes = 0;
  void* host = nullptr;                                           // as the host addresses it; null: it does not
  std::int64_t mapped = 0;                                        // bytes of `host` that are this object's own
  std::map<std::pair<std::int64_t, std::int64_t>, cl_mem> parts;  // by offset and bytes
};

struct godwit_queue {
  ~godwit_queue() {
    if (queue != nullptr) clReleaseCommandQueue(queue);
  }
  godwit_device* device = nullptr;
  cl_command_queue queue = nullptr;
};

struct godwit_event {
  godwit_event() = default;
  godwit_event(const godwit_event&) = delete;
  ~godwit_event() {
    if (event != nullptr) clReleaseEvent(event);
  }
  cl_event event = nullptr;
};

godwit_device::~godwit_device() {
  scratch.reset();
  programs.reset();
  if (context != nullptr) clReleaseContext(context);
  if (part) clReleaseDevice(id);
}

godwit_buffer::~godwit_buffer() {
  for (const auto& [place, part] : parts) clReleaseMemObject(part);
  if (memory != nullptr) clReleaseMemObject(memory);
  if (mapped > 0) munmap(host, static_cast<std::size_t>(mapped));
}

struct godwit_prepared {
  struct Ready {
    Ready() = default;
    Ready(Ready&& other) noexcept
        : kernel(std::exchange(other.kernel, nullptr)), arguments(std::move(other.arguments)), range(other.range) {}
    ~Ready() {
      if (kernel != nullptr) clReleaseKernel(kernel);
    }
    cl_kernel kernel = nullptr;
    std::vector<Argument> arguments;
    Range range;
  };
  struct Step {
    std::string op;
    std::vector<Ready> launches;
    std::vector<std::int32_t> inputs, outputs;
    std::int64_t runs = 0, nanoseconds = 0;
  };
  struct Tensor {
    godwit_role role;
    std::int64_t offset;
    std::int64_t bytes;
    std::string name;
  };
  godwit_device* device = nullptr;
  std::vector<Step> steps;
  std::vector<Tensor> tensors;
  std::size_t refresh_count = 0;
  bool refreshed = false;
  std::int64_t scratch_bytes = 0;
  std::int64_t arena_bytes = 0;
  std::int64_t persistent_bytes = 0;
};

namespace {

const char* const profiles[] = {"exact/1", nullptr};

template <typename... Args>
godwit_status fail(godwit_error* error, godwit_status status, fmt::format_string<Args...> text, Args&&... args) {
  if (error != nullptr) {
    error->status = status;
    std::snprintf(error->message, sizeof error->message, "%s", fmt::format(text, std::forward<Args>(args)...).c_str());
  }
  return status;
}

godwit_status give(godwit_error* error, const Failure& failure) {
  return failure.ok() ? GODWIT_OK : fail(error, failure.status, "{}", failure.message);
}

// Looking for devices starts their drivers, so it is done once.
const std::vector<cl_device_id>& known_devices() {
  static const std::vector<cl_device_id> known = godwit::opencl::all_devices();
  return known;
}

int32_t device_count() {
  return static_cast<int32_t>(known_devices().size());
}

godwit_status no_such_device(int32_t index, godwit_error* error) {
  if (known_devices().empty())
    return fail(error, GODWIT_INVALID, "no OpenCL device is installed: the loader knows of no platform with one");
  return fail(error, GODWIT_INVALID, "there are {} OpenCL devices, the first is number 0; there is no number {}", device_count(), index);
}

void fill_info(godwit_device_info* info, const std::string& name, const DeviceFacts& facts) {
  std::snprintf(info->name, sizeof info->name, "%s", name.c_str());
  std::snprintf(info->driver, sizeof info->driver, "%s", facts.driver.c_str());
  info->memory_bytes = facts.memory_bytes;
  info->profiles = facts.missing.empty() ? profiles : profiles + 1;
}

std::string device_name(const DeviceFacts& facts) {
  return fmt::format("{}, {} units, {}", facts.name, facts.traits.units, godwit::opencl::style_name(facts.traits.style));
}

godwit_status device_describe(int32_t index, godwit_device_info* info, godwit_error* error) {
  if (index < 0 || index >= device_count()) return no_such_device(index, error);
  const DeviceFacts facts = godwit::opencl::facts_of(known_devices()[static_cast<std::size_t>(index)]);
  fill_info(info, facts.missing.empty() ? device_name(facts) : fmt::format("{}, without {}", facts.name, facts.missing), facts);
  return GODWIT_OK;
}

struct Options {
  int threads = 0;  // 0: all there are
  std::string style;
  bool profile = false;
};

godwit_status read_options(const godwit_option* options, int32_t count, Options& read, godwit_error* error) {
  for (int32_t i = 0; i < count; ++i) {
    const std::string_view name = options[i].name, value = options[i].value;
    if (name == "threads") {
      read.threads = std::atoi(options[i].value);
      if (read.threads < 1) return fail(error, GODWIT_INVALID, "threads must be 1 or more, not '{}'", value);
    } else if (name == "isa") {
      read.style = value;
      if (value != "wide" && value != "tiled")
        return fail(error, GODWIT_INVALID, "the opencl backend has no instruction set '{}', but styles of kernels: wide, tiled", value);
    } else if (name == "profile") {
      read.profile = value == "1";
    } else if (name == "verify") {
      // Its kernels do not check themselves: a device that lies is found by another that makes the step again.
      if (value != "off" && value != "inline") return fail(error, GODWIT_INVALID, "verify must be off or inline, not '{}'", value);
    } else {
      return fail(error, GODWIT_INVALID, "the opencl backend has no option '{}'; it has: threads, isa, profile, verify", name);
    }
  }
  return GODWIT_OK;
}

godwit_status open_device(int32_t index, const godwit_option* options, int32_t option_count, godwit_device** device, godwit_error* error) {
  Options wanted;
  if (const godwit_status status = read_options(options, option_count, wanted, error); status != GODWIT_OK) return status;
  if (index < 0 || index >= device_count()) return no_such_device(index, error);
  auto opened = std::make_unique<godwit_device>();
  opened->id = known_devices()[static_cast<std::size_t>(index)];
  opened->facts = godwit::opencl::facts_of(opened->id);
  DeviceFacts& facts = opened->facts;
  if (!facts.missing.empty())
    return fail(error, GODWIT_UNSUPPORTED, "{} cannot keep the bits of {}: it has no {}", facts.name, profiles[0], facts.missing);
  if (!wanted.style.empty()) facts.traits.style = wanted.style == "wide" ? godwit::opencl::Style::wide : godwit::opencl::Style::tiled;
  if (facts.host_memory && wanted.threads > 0 && wanted.threads < facts.traits.units) {
    const cl_device_partition_property by_counts[] = {CL_DEVICE_PARTITION_BY_COUNTS, wanted.threads, CL_DEVICE_PARTITION_BY_COUNTS_LIST_END,
                                                      0};
    cl_device_id part = nullptr;
    if (clCreateSubDevices(opened->id, by_counts, 1, &part, nullptr) == CL_SUCCESS) {
      opened->id = part;
      opened->part = true;
      facts.traits.units = wanted.threads;
    }
  }
  cl_int failed = CL_SUCCESS;
  opened->context = clCreateContext(nullptr, 1, &opened->id, nullptr, nullptr, &failed);
  if (failed != CL_SUCCESS) return give(error, failure_of(failed, During::allocation, "open " + facts.name));
  opened->programs = std::make_unique<Programs>(opened->context, opened->id, facts);
  opened->profile = wanted.profile;
  *device = opened.release();
  return GODWIT_OK;
}

void close_device(godwit_device* device) {
  delete device;
}

godwit_status describe(godwit_device* device, godwit_device_info* info, godwit_error*) {
  fill_info(info, device_name(device->facts), device->facts);
  return GODWIT_OK;
}

// ---- Buffers ----

godwit_status buffer_over(godwit_device* device, std::unique_ptr<godwit_buffer> made, godwit_buffer** buffer, godwit_error* error) {
  cl_int failed = CL_SUCCESS;
  const cl_mem_flags flags = CL_MEM_READ_WRITE | (made->host != nullptr ? CL_MEM_USE_HOST_PTR : 0);
  made->memory = clCreateBuffer(device->context, flags, static_cast<std::size_t>(made->bytes), made->host, &failed);
  if (failed != CL_SUCCESS) return give(error, failure_of(failed, During::allocation, fmt::format("a buffer of {} bytes", made->bytes)));
  *buffer = made.release();
  return GODWIT_OK;
}

godwit_status buffer_create(godwit_device* device, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  if (bytes < 0) return fail(error, GODWIT_INVALID, "a buffer cannot have {} bytes", bytes);
  auto made = std::make_unique<godwit_buffer>();
  made->bytes = std::max<int64_t>(bytes, GODWIT_ALIGNMENT);  // OpenCL has no empty buffers
  if (device->facts.host_memory) {
    void* memory = mmap(nullptr, static_cast<std::size_t>(made->bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return fail(error, GODWIT_OUT_OF_MEMORY, "no memory for a buffer of {} bytes", bytes);
    made->host = memory;
    made->mapped = made->bytes;
  }
  return buffer_over(device, std::move(made), buffer, error);
}

godwit_status buffer_wrap(godwit_device* device, void* memory, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  if (!device->facts.host_memory)
    return fail(error, GODWIT_UNSUPPORTED, "{} has memory of its own and does not work in the host's", device->facts.name);
  if (reinterpret_cast<std::uintptr_t>(memory) % GODWIT_ALIGNMENT != 0)
    return fail(error, GODWIT_INVALID, "wrapped memory must be aligned to {} bytes", GODWIT_ALIGNMENT);
  if (bytes <= 0) return fail(error, GODWIT_INVALID, "memory of {} bytes cannot be wrapped", bytes);
  auto made = std::make_unique<godwit_buffer>();
  made->bytes = bytes;
  made->host = memory;
  return buffer_over(device, std::move(made), buffer, error);
}

void* buffer_host(godwit_buffer* buffer) {
  return buffer->host;
}

void buffer_destroy(godwit_buffer* buffer) {
  delete buffer;
}

bool in_range(const godwit_buffer& buffer, int64_t offset, int64_t bytes) {
  return offset >= 0 && bytes >= 0 && offset <= buffer.bytes && bytes <= buffer.bytes - offset;
}

// The memory object that is this part of a buffer; null of an empty part.
Failure part_of(godwit_buffer& buffer, int64_t offset, int64_t bytes, cl_mem& part) {
  part = nullptr;
  if (bytes == 0) return {};
  cl_mem& known = buffer.parts[{offset, bytes}];
  if (known == nullptr) {
    const cl_buffer_region region{static_cast<std::size_t>(offset), static_cast<std::size_t>(bytes)};
    cl_int failed = CL_SUCCESS;
    known = clCreateSubBuffer(buffer.memory, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &failed);
    if (failed != CL_SUCCESS)
      return failure_of(failed, During::allocation, fmt::format("bytes {} + {} of a buffer of {}", offset, bytes, buffer.bytes));
  }
  part = known;
  return {};
}

// ---- Queues, copies, events ----

godwit_status queue_create(godwit_device* device, godwit_queue** queue, godwit_error* error) {
  auto made = std::make_unique<godwit_queue>();
  made->device = device;
  cl_int failed = CL_SUCCESS;
  made->queue = clCreateCommandQueue(device->context, device->id, 0, &failed);
  if (failed != CL_SUCCESS) return give(error, failure_of(failed, During::allocation, "a queue"));
  *queue = made.release();
  return GODWIT_OK;
}

void queue_destroy(godwit_queue* queue) {
  delete queue;
}

godwit_status out_of_range(const godwit_buffer& buffer, int64_t offset, int64_t bytes, godwit_error* error) {
  return fail(error, GODWIT_INVALID, "bytes {} + {} lie outside a buffer of {}", offset, bytes, buffer.bytes);
}

godwit_status write_buffer(godwit_queue* queue, godwit_buffer* buffer, int64_t offset, const void* source, int64_t bytes,
                           godwit_error* error) {
  if (!in_range(*buffer, offset, bytes)) return out_of_range(*buffer, offset, bytes, error);
  if (bytes == 0) return GODWIT_OK;
  const cl_int failed = clEnqueueWriteBuffer(queue->queue, buffer->memory, CL_FALSE, static_cast<std::size_t>(offset),
                                             static_cast<std::size_t>(bytes), source, 0, nullptr, nullptr);
  return give(error, failure_of(failed, During::work, fmt::format("write {} bytes", bytes)));
}

godwit_status read_buffer(godwit_queue* queue, godwit_buffer* buffer, int64_t offset, void* destination, int64_t bytes,
                          godwit_error* error) {
  if (!in_range(*buffer, offset, bytes)) return out_of_range(*buffer, offset, bytes, error);
  if (bytes == 0) return GODWIT_OK;
  const cl_int failed = clEnqueueReadBuffer(queue->queue, buffer->memory, CL_FALSE, static_cast<std::size_t>(offset),
                                            static_cast<std::size_t>(bytes), destination, 0, nullptr, nullptr);
  return give(error, failure_of(failed, During::work, fmt::format("read {} bytes", bytes)));
}

godwit_status event_record(godwit_queue* queue, godwit_event** event, godwit_error* error) {
  auto made = std::make_unique<godwit_event>();
  cl_int failed = clEnqueueMarkerWithWaitList(queue->queue, 0, nullptr, &made->event);
  if (failed == CL_SUCCESS) failed = clFlush(queue->queue);
  if (failed != CL_SUCCESS) return give(error, failure_of(failed, During::work, "mark the queue"));
  *event = made.release();
  return GODWIT_OK;
}

// CL_COMPLETE, a status that is not there yet (positive), or an error (negative).
cl_int status_of(godwit_event* event) {
  cl_int status = CL_COMPLETE;
  const cl_int failed = clGetEventInfo(event->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr);
  return failed != CL_SUCCESS ? failed : status;
}

godwit_status event_wait(godwit_event* event, int64_t timeout_ms, godwit_error* error) {
  cl_int status = CL_COMPLETE;
  if (timeout_ms < 0) {
    if (const cl_int failed = clWaitForEvents(1, &event->event); failed != CL_SUCCESS) status = failed;
    if (status == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST || status == CL_COMPLETE) status = status_of(event);
  } else {
    // OpenCL's own wait has no end.
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    while ((status = status_of(event)) > CL_COMPLETE) {
      if (std::chrono::steady_clock::now() >= until) return fail(error, GODWIT_TIMEOUT, "not done after {} ms", timeout_ms);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  return give(error, failure_of(std::min(status, CL_COMPLETE), During::work, "work under way"));
}

int32_t event_ready(godwit_event* event) {
  return status_of(event) <= CL_COMPLETE ? 1 : 0;
}

void event_destroy(godwit_event* event) {
  delete event;
}

// ---- Programs ----

const Kernel* find_kernel(const char* op) {
  for (const Kernel* kernel : godwit::opencl::kernels) {
    if (std::strcmp(kernel->op, op) == 0) return kernel;
  }
  return nullptr;
}

View view_of(const godwit_tensor& tensor) {
  View view;
  view.dtype = tensor.dtype;
  view.rank = tensor.rank;
  std::copy_n(tensor.shape, tensor.rank, view.shape);
  return view;
}

Call call_of(const godwit_device& device, const godwit_program& program, const godwit_op& op) {
  Call call;
  for (int32_t i = 0; i < op.input_count; ++i) call.in.push_back(view_of(program.tensors[op.inputs[i]]));
  for (int32_t i = 0; i < op.output_count; ++i) call.out.push_back(view_of(program.tensors[op.outputs[i]]));
  for (int32_t i = 0; i < op.attribute_count; ++i) {
    const godwit_attribute& attribute = op.attributes[i];
    call.attributes.push_back(
        {attribute.name, attribute.integer, attribute.is_real != 0 ? attribute.real : static_cast<double>(attribute.integer)});
  }
  call.traits = device.facts.traits;
  return call;
}

const char* kernel_for(godwit_device* device, const godwit_program* program, int32_t op) {
  const Kernel* kernel = find_kernel(program->ops[op].name);
  if (kernel == nullptr) return nullptr;
  const Call call = call_of(*device, *program, program->ops[op]);
  Plan plan(call);
  kernel->plan(call, plan);
  return plan.name().empty() ? nullptr : device->names.insert(plan.name()).first->c_str();
}

Failure make_ready(godwit_device& device, const Launch& launch, godwit_prepared::Step& step) {
  cl_program program = nullptr;
  if (Failure failure = device.programs->get(launch.source, launch.defines, program); !failure.ok()) return failure;
  godwit_prepared::Ready ready;
  cl_int failed = CL_SUCCESS;
  ready.kernel = clCreateKernel(program, launch.function.c_str(), &failed);
  if (failed != CL_SUCCESS) return failure_of(failed, During::allocation, "kernel " + launch.function);
  ready.arguments = launch.arguments;
  ready.range = launch.range;
  for (std::size_t i = 0; i < launch.arguments.size(); ++i) {
    const auto set = [&](const auto& value) { return clSetKernelArg(ready.kernel, static_cast<cl_uint>(i), sizeof value, &value); };
    failed = std::visit(
        [&](const auto& value) {
          if constexpr (std::is_same_v<std::decay_t<decltype(value)>, Place>) {
            return CL_SUCCESS;  // known when it runs
          } else {
            return set(value);
          }
        },
        launch.arguments[i]);
    if (failed != CL_SUCCESS) return failure_of(failed, During::work, fmt::format("argument {} of kernel {}", i, launch.function));
  }
  step.launches.push_back(std::move(ready));
  return {};
}

godwit_status prepare(godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
  if (std::strcmp(program->profile, profiles[0]) != 0)
    return fail(error, GODWIT_UNSUPPORTED, "the opencl backend executes the profile {}, not {}", profiles[0], program->profile);
  auto made = std::make_unique<godwit_prepared>();
  made->device = device;
  made->refresh_count = static_cast<std::size_t>(program->refresh_count);
  made->arena_bytes = program->arena_bytes;
  made->persistent_bytes = program->persistent_bytes;
  for (int32_t i = 0; i < program->tensor_count; ++i) {
    const godwit_tensor& tensor = program->tensors[i];
    made->tensors.push_back({tensor.role, tensor.offset, view_of(tensor).bytes(), tensor.name});
  }
  for (int32_t i = 0; i < program->op_count; ++i) {
    const godwit_op& op = program->ops[i];
    const Kernel* kernel = find_kernel(op.name);
    if (kernel == nullptr) return fail(error, GODWIT_UNSUPPORTED, "the opencl backend has no kernel for the op {}", op.name);
    const Call call = call_of(*device, *program, op);
    Plan plan(call);
    kernel->plan(call, plan);
    if (plan.name().empty())
      return fail(error, GODWIT_UNSUPPORTED, "the opencl backend has no kernel for the op {} at these types", op.name);
    godwit_prepared::Step& step = made->steps.emplace_back();
    step.op = op.name;
    step.inputs.assign(op.inputs, op.inputs + op.input_count);
    step.outputs.assign(op.outputs, op.outputs + op.output_count);
    for (const Launch& launch : plan.launches()) {
      if (Failure failure = make_ready(*device, launch, step); !failure.ok())
        return fail(error, failure.status, "op {}: {}", op.name, failure.message);
    }
    made->scratch_bytes = std::max(made->scratch_bytes, plan.scratch_bytes());
  }
  if (made->scratch_bytes > 0 && (device->scratch == nullptr || device->scratch->bytes < made->scratch_bytes)) {
    device->scratch.reset();  // first, or both must fit
    godwit_buffer* scratch = nullptr;
    if (const godwit_status status = buffer_create(device, made->scratch_bytes, &scratch, error); status != GODWIT_OK) return status;
    device->scratch.reset(scratch);
  }
  *prepared = made.release();
  return GODWIT_OK;
}

godwit_status prepared_describe(godwit_prepared* prepared, godwit_prepared_info* info, godwit_error*) {
  info->workspace_bytes = prepared->scratch_bytes;
  info->private_bytes = 0;
  return GODWIT_OK;
}

void prepared_destroy(godwit_prepared* prepared) {
  delete prepared;
}

// Where the tensors of one run lie.
struct Bound {
  godwit_prepared& prepared;
  godwit_buffer* arena;
  godwit_buffer* persistent;
  const godwit_binding* bindings;

  Failure memory(std::int32_t index, cl_mem& memory) const {
    const godwit_prepared::Tensor& tensor = prepared.tensors[static_cast<std::size_t>(index)];
    godwit_buffer* buffer = tensor.role == GODWIT_TEMPORARY ? arena : tensor.role == GODWIT_DERIVED ? persistent : bindings[index].buffer;
    const bool placed = tensor.role == GODWIT_TEMPORARY || tensor.role == GODWIT_DERIVED;
    const std::int64_t offset = placed ? tensor.offset : bindings[index].offset;
    if (buffer == nullptr || !in_range(*buffer, offset, tensor.bytes))
      return {GODWIT_INVALID, fmt::format("the tensor {} is not bound to memory of its size", tensor.name)};
    return part_of(*buffer, offset, tensor.bytes, memory);
  }
};

Failure enqueue(godwit_queue& queue, const Bound& bound, const godwit_prepared::Step& step) {
  for (const godwit_prepared::Ready& ready : step.launches) {
    for (std::size_t i = 0; i < ready.arguments.size(); ++i) {
      const auto* place = std::get_if<Place>(&ready.arguments[i]);
      if (place == nullptr) continue;
      cl_mem memory = nullptr;
      const Failure failure = place->kind == Place::Kind::scratch
                                  ? part_of(*queue.device->scratch, place->offset, place->bytes, memory)
                                  : bound.memory((place->kind == Place::Kind::input ? step.inputs : step.outputs)[place->index], memory);
      if (!failure.ok()) return failure;
      if (const cl_int failed = clSetKernelArg(ready.kernel, static_cast<cl_uint>(i), sizeof memory, &memory); failed != CL_SUCCESS)
        return failure_of(failed, During::work, fmt::format("argument {}", i));
    }
    const Range& range = ready.range;
    const cl_int failed = clEnqueueNDRangeKernel(queue.queue, ready.kernel, static_cast<cl_uint>(range.dimensions), nullptr,
                                                 range.global.data(), range.local.data(), 0, nullptr, nullptr);
    if (failed != CL_SUCCESS) return failure_of(failed, During::work, "start");
  }
  return {};
}

godwit_status run(godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                  const godwit_binding* bindings, godwit_error* error) {
  godwit_device& device = *queue->device;
  if ((prepared->arena_bytes > 0 && (arena == nullptr || arena->bytes < prepared->arena_bytes)) ||
      (prepared->persistent_bytes > 0 && (persistent == nullptr || persistent->bytes < prepared->persistent_bytes)))
    return fail(error, GODWIT_INVALID, "the arena or the persistent buffer is smaller than the program's");
  if (part == GODWIT_PART_MAIN && prepared->refresh_count > 0 && !prepared->refreshed)
    return fail(error, GODWIT_INVALID, "the program is run before its refresh part");
  const Bound bound{*prepared, arena, persistent, bindings};
  const std::size_t begin = part == GODWIT_PART_REFRESH ? 0 : prepared->refresh_count;
  const std::size_t end = part == GODWIT_PART_REFRESH ? prepared->refresh_count : prepared->steps.size();
  const auto failed = [&](std::size_t i, const Failure& failure) {
    return fail(error, failure.status, "op {} ({}): {}", i, prepared->steps[i].op, failure.message);
  };
  const auto given_up = [&] { return fail(error, GODWIT_ABORTED, "the device was told to give up its work"); };
  if (part == GODWIT_PART_REFRESH) prepared->refreshed = true;
  // Whoever watches is told of an op when the one before has ended; the device meanwhile goes on by itself. Whoever profiles has one op end
  // before the next is begun.
  const bool watched = device.progress != nullptr && !device.profile;
  std::vector<godwit_event> ends(watched ? end - begin : 0);
  for (std::size_t i = begin; i < end; ++i) {
    if (device.aborted.load(std::memory_order_relaxed)) return given_up();
    if (device.progress != nullptr && !watched) device.progress(device.progress_context, static_cast<std::int32_t>(i));
    godwit_prepared::Step& step = prepared->steps[i];
    const auto before = std::chrono::steady_clock::now();
    Failure failure = enqueue(*queue, bound, step);
    if (failure.ok() && device.profile) failure = failure_of(clFinish(queue->queue), During::work, "finish");
    if (failure.ok() && watched)
      failure = failure_of(clEnqueueMarkerWithWaitList(queue->queue, 0, nullptr, &ends[i - begin].event), During::work, "mark");
    if (!failure.ok()) return failed(i, failure);
    step.nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - before).count();
    ++step.runs;
  }
  if (const Failure failure = failure_of(clFlush(queue->queue), During::work, "flush"); !failure.ok()) return give(error, failure);
  for (std::size_t i = begin; watched && i < end; ++i) {
    if (device.aborted.load(std::memory_order_relaxed)) return given_up();
    device.progress(device.progress_context, static_cast<std::int32_t>(i));
    if (const Failure failure = failure_of(clWaitForEvents(1, &ends[i - begin].event), During::work, "wait"); !failure.ok())
      return failed(i, failure);
  }
  return GODWIT_OK;
}

// OpenCL cannot take back what it was given; what was not given yet is not.
godwit_status abort_device(godwit_device* device, godwit_error*) {
  device->aborted.store(true);
  return GODWIT_OK;
}

godwit_status op_time(godwit_prepared* prepared, int32_t op, int64_t* runs, int64_t* nanoseconds, godwit_error* error) {
  if (!prepared->device->profile) return fail(error, GODWIT_UNSUPPORTED, "the device was opened without profile = 1");
  if (op < 0 || static_cast<std::size_t>(op) >= prepared->steps.size()) return fail(error, GODWIT_INVALID, "the program has no op {}", op);
  const godwit_prepared::Step& step = prepared->steps[static_cast<std::size_t>(op)];
  *runs = step.runs;
  *nanoseconds = step.nanoseconds;
  return GODWIT_OK;
}

void watch(godwit_device* device, void (*progress)(void* context, int32_t op), void* context) {
  device->progress = progress;
  device->progress_context = context;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const godwit_backend* godwit_backend_entry(void) {
  static const godwit_backend table = {
      .struct_size = sizeof(godwit_backend),
      .major = GODWIT_BACKEND_MAJOR,
      .minor = GODWIT_BACKEND_MINOR,
      .name = "opencl",
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
