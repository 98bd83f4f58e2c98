// The CPU as a chip: opens the pool, chooses kernels by instruction set, executes programs at once, op by op, in the caller's thread and
// the pool's.
#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "float_mode.h"
#include "godwit/backend.h"
#include "kernel.h"
#include "pool.h"

#include <sys/mman.h>
#include <unistd.h>

namespace godwit::cpu {

namespace scalar {
extern const std::span<const Kernel* const> kernels;
}
#if defined(GODWIT_HAS_avx2)
namespace avx2 {
extern const std::span<const Kernel* const> kernels;
}
#endif
#if defined(GODWIT_HAS_avx512)
namespace avx512 {
extern const std::span<const Kernel* const> kernels;
}
#endif
#if defined(GODWIT_HAS_avx512_bf16)
namespace avx512_bf16 {
extern const std::span<const Kernel* const> kernels;
}
#endif

std::int64_t Call::integer(std::string_view name) const {
  for (const godwit_attribute& attribute : attributes) {
    if (name == attribute.name) return attribute.is_real ? static_cast<std::int64_t>(attribute.real) : attribute.integer;
  }
  std::fprintf(stderr, "cpu backend: an op was given no attribute %.*s\n", static_cast<int>(name.size()), name.data());
  std::abort();
}

double Call::real(std::string_view name) const {
  for (const godwit_attribute& attribute : attributes) {
    if (name == attribute.name) return attribute.is_real ? attribute.real : static_cast<double>(attribute.integer);
  }
  std::fprintf(stderr, "cpu backend: an op was given no attribute %.*s\n", static_cast<int>(name.size()), name.data());
  std::abort();
}

namespace {

struct InstructionSet {
  const char* name;
  bool present;
  std::span<const Kernel* const> kernels;
};

// Worst first. The tables are constant-initialised by the kernels' own files; they are read only after main began.
std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets = {{"scalar", true, scalar::kernels}};
#if defined(__x86_64__)
  __builtin_cpu_init();
  [[maybe_unused]] const bool avx2_present =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  [[maybe_unused]] const bool avx512_present = avx2_present && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
#if defined(GODWIT_HAS_avx2)
  sets.push_back({"avx2", avx2_present, avx2::kernels});
#endif
#if defined(GODWIT_HAS_avx512)
  sets.push_back({"avx512", avx512_present, avx512::kernels});
#endif
#if defined(GODWIT_HAS_avx512_bf16)
  sets.push_back({"avx512_bf16", avx512_present && __builtin_cpu_supports("avx512bf16"), avx512_bf16::kernels});
#endif
  return sets;
}

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

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("model name")) {
      const std::size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "CPU";
}

}  // namespace

}  // namespace godwit::cpu

using godwit::cpu::Call;
using godwit::cpu::fail;
using godwit::cpu::Kernel;
using godwit::cpu::Pool;
using godwit::cpu::View;

struct godwit_device {
  std::string name;
  std::string isa;
  std::span<const Kernel* const> kernels;
  std::unique_ptr<Pool> pool;
  std::byte* workspace = nullptr;
  std::int64_t workspace_bytes = 0;
  std::atomic<bool> aborted{false};
  bool profile = false;
};

struct godwit_buffer {
  void* memory = nullptr;
  std::int64_t bytes = 0;
  bool owned = false;
};

struct godwit_queue {
  godwit_device* device = nullptr;
};

struct godwit_event {
  int unused = 0;
};

namespace {

constexpr std::int64_t page = 4096;
constexpr std::int64_t huge_page = std::int64_t{2} << 20;

// Anonymous memory; on huge pages where it is large and the kernel gives them.
void* map_memory(std::int64_t bytes) {
  void* memory = mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  if (bytes >= huge_page) madvise(memory, static_cast<std::size_t>(bytes), MADV_HUGEPAGE);
  return memory;
}

std::int64_t mapped(std::int64_t bytes) {
  return (bytes + page - 1) / page * page + (bytes == 0 ? page : 0);
}

const Kernel* find_kernel(const godwit_device& device, const char* op) {
  for (const Kernel* kernel : device.kernels) {
    if (std::strcmp(kernel->op, op) == 0) return kernel;
  }
  return nullptr;
}

View view_of(const godwit_tensor& tensor) {
  View view;
  view.dtype = tensor.dtype;
  view.rank = tensor.rank;
  std::copy(std::begin(tensor.shape), std::end(tensor.shape), std::begin(view.shape));
  return view;
}

std::int64_t tensor_bytes(const godwit_tensor& tensor) {
  return view_of(tensor).count() * (tensor.dtype == GODWIT_BF16 ? 2 : 4);
}

// One op, ready to run: views whose data is filled in at each run.
struct Step {
  const Kernel* kernel = nullptr;
  std::vector<std::int32_t> tensors;  // inputs, then outputs
  std::vector<View> views;            // the same
  std::size_t input_count = 0;
  std::vector<std::string> attribute_names;
  std::vector<godwit_attribute> attributes;
  const std::byte* packed = nullptr;  // its weight in the kernel's own layout
  bool unneeded = false;              // whoever reads its output reads a packed layout made without it
  std::int64_t runs = 0;              // counted where the device was opened with profile = 1
  std::int64_t nanoseconds = 0;

  [[nodiscard]] Call call(godwit_device& device) const {
    Call call;
    call.in = std::span(views).first(input_count);
    call.out = std::span(views).subspan(input_count);
    call.attributes = attributes;
    call.pool = device.pool.get();
    call.workspace = device.workspace;
    call.packed = packed;
    return call;
  }
};

Step step_of(const godwit_program& program, const godwit_op& op, const Kernel* kernel) {
  Step step;
  step.kernel = kernel;
  step.input_count = static_cast<std::size_t>(op.input_count);
  step.tensors.assign(op.inputs, op.inputs + op.input_count);
  step.tensors.insert(step.tensors.end(), op.outputs, op.outputs + op.output_count);
  for (const std::int32_t index : step.tensors) step.views.push_back(view_of(program.tensors[index]));
  step.attributes.assign(op.attributes, op.attributes + op.attribute_count);
  for (const godwit_attribute& attribute : step.attributes) step.attribute_names.emplace_back(attribute.name);
  for (std::size_t i = 0; i < step.attributes.size(); ++i) step.attributes[i].name = step.attribute_names[i].c_str();
  return step;
}

}  // namespace

// A weight in the layout of the kernels that multiply by it, made again in every refresh.
struct Packing {
  const Kernel* kernel = nullptr;
  std::int32_t weight = 0;  // the tensor the kernel names, and the one it is packed from
  std::int32_t source = 0;
  Step step;  // the first that uses it, its weight replaced by the source
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
};

struct godwit_prepared {
  ~godwit_prepared();
  godwit_device* device = nullptr;
  std::vector<Step> steps;
  std::vector<Packing> packings;
  std::byte* private_memory = nullptr;
  std::int64_t private_bytes = 0;
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

godwit_prepared::~godwit_prepared() {
  if (private_memory != nullptr) munmap(private_memory, static_cast<std::size_t>(private_bytes));
}

namespace {

constexpr std::size_t weight_input = 1;  // Kernel::pack

// Finds the weights that are multiplied by: what only a refresh changes. Where a weight is a rounded copy of a state, it is packed from the
// state itself, and a copy that nobody else reads is not made.
void plan_packings(const godwit_program& program, godwit_prepared& made) {
  std::vector<bool> steady(static_cast<std::size_t>(program.tensor_count));
  std::vector<std::int32_t> uses(steady.size(), 0);
  std::vector<std::int32_t> cast_by(steady.size(), -1);
  for (std::size_t t = 0; t < steady.size(); ++t) {
    const godwit_role role = program.tensors[t].role;
    steady[t] = role == GODWIT_DERIVED || role == GODWIT_STATE || role == GODWIT_CONSTANT;
  }
  for (std::int32_t i = 0; i < program.op_count; ++i) {
    const godwit_op& op = program.ops[i];
    for (std::int32_t k = 0; k < op.input_count; ++k) ++uses[static_cast<std::size_t>(op.inputs[k])];
    for (std::int32_t k = 0; k < op.output_count; ++k) {
      const auto t = static_cast<std::size_t>(op.outputs[k]);
      if (program.tensors[t].role != GODWIT_DERIVED) steady[t] = false;
      if (i < program.refresh_count && std::strcmp(op.name, "cast") == 0) cast_by[t] = i;
    }
  }
  for (std::size_t i = made.refresh_count; i < made.steps.size(); ++i) {
    Step& step = made.steps[i];
    if (step.kernel->pack == nullptr) continue;
    const std::int32_t weight = step.tensors[weight_input];
    const auto at = static_cast<std::size_t>(weight);
    if (!steady[at]) continue;
    auto packing = std::find_if(made.packings.begin(), made.packings.end(), [&](const Packing& known) {
      return known.weight == weight && std::strcmp(known.kernel->layout, step.kernel->layout) == 0;
    });
    if (packing == made.packings.end()) {
      Packing fresh;
      fresh.kernel = step.kernel;
      fresh.weight = fresh.source = weight;
      fresh.step = step;
      const bool rounded = cast_by[at] >= 0 && step.views[weight_input].bf16();
      if (rounded) {
        const godwit_op& cast = program.ops[cast_by[at]];
        if (program.tensors[cast.inputs[0]].dtype == GODWIT_F32) fresh.source = cast.inputs[0];
      }
      fresh.step.tensors[weight_input] = fresh.source;
      fresh.step.views[weight_input] = view_of(program.tensors[fresh.source]);
      Call call;
      call.in = std::span(step.views).first(step.input_count);
      call.out = std::span(step.views).subspan(step.input_count);
      call.attributes = step.attributes;
      fresh.bytes = (step.kernel->packed_bytes(call) + GODWIT_ALIGNMENT - 1) / GODWIT_ALIGNMENT * GODWIT_ALIGNMENT;
      fresh.offset = made.private_bytes;
      made.private_bytes += fresh.bytes;
      made.packings.push_back(std::move(fresh));
      packing = made.packings.end() - 1;
    }
    if (packing->source != weight && --uses[at] == 0) made.steps[static_cast<std::size_t>(cast_by[at])].unneeded = true;
  }
}

// Where plan_packings' layouts lie: each step that multiplies by a packed weight gets its place.
void place_packings(godwit_prepared& made) {
  for (std::size_t i = made.refresh_count; i < made.steps.size(); ++i) {
    Step& step = made.steps[i];
    if (step.kernel->pack == nullptr) continue;
    for (const Packing& packing : made.packings) {
      if (packing.weight == step.tensors[weight_input] && std::strcmp(packing.kernel->layout, step.kernel->layout) == 0) {
        step.packed = made.private_memory + packing.offset;
      }
    }
  }
}

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
    } else {
      return fail(error, GODWIT_INVALID, "the cpu backend has no option '%s'; it has: threads, isa, profile", options[i].name);
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
  opened->profile = profile;
  opened->name =
      godwit::cpu::processor_name() + ", " + std::to_string(threads) + (threads == 1 ? " thread, " : " threads, ") + chosen->name;
  opened->pool = std::make_unique<Pool>(static_cast<int>(threads));
  *device = opened.release();
  return GODWIT_OK;
}

void close_device(godwit_device* device) {
  if (device->workspace != nullptr) munmap(device->workspace, static_cast<std::size_t>(device->workspace_bytes));
  delete device;
}

godwit_status describe(godwit_device* device, godwit_device_info* info, godwit_error*) {
  return fill_info(info, device->name, device->isa);
}

godwit_status buffer_create(godwit_device*, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  if (bytes < 0) return fail(error, GODWIT_INVALID, "a buffer cannot have %lld bytes", static_cast<long long>(bytes));
  void* memory = map_memory(mapped(bytes));
  if (memory == nullptr) return fail(error, GODWIT_OUT_OF_MEMORY, "no memory for a buffer of %lld bytes", static_cast<long long>(bytes));
  *buffer = new godwit_buffer{memory, bytes, true};
  return GODWIT_OK;
}

godwit_status buffer_wrap(godwit_device*, void* memory, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  if (reinterpret_cast<std::uintptr_t>(memory) % GODWIT_ALIGNMENT != 0) {
    return fail(error, GODWIT_INVALID, "wrapped memory must be aligned to %d bytes", GODWIT_ALIGNMENT);
  }
  *buffer = new godwit_buffer{memory, bytes, false};
  return GODWIT_OK;
}

void* buffer_host(godwit_buffer* buffer) {
  return buffer->memory;
}

void buffer_destroy(godwit_buffer* buffer) {
  if (buffer == nullptr) return;
  if (buffer->owned) munmap(buffer->memory, static_cast<std::size_t>(mapped(buffer->bytes)));
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
  const Step step = step_of(*program, program->ops[op], kernel);
  return kernel->variant(step.call(*device));
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
    made->steps.push_back(step_of(*program, op, kernel));
    if (kernel->variant(made->steps.back().call(*device)) == nullptr)
      return fail(error, GODWIT_UNSUPPORTED, "the cpu backend has no kernel for the op %s at these types", op.name);
  }
  plan_packings(*program, *made);
  if (made->private_bytes > 0) {
    made->private_bytes = mapped(made->private_bytes);
    made->private_memory = static_cast<std::byte*>(map_memory(made->private_bytes));
    if (made->private_memory == nullptr) {
      return fail(error, GODWIT_OUT_OF_MEMORY, "no memory for %lld bytes of packed weights", static_cast<long long>(made->private_bytes));
    }
    place_packings(*made);
  }
  for (const Step& step : made->steps) {
    if (step.kernel->workspace != nullptr) {
      made->workspace_bytes = std::max(made->workspace_bytes, step.kernel->workspace(step.call(*device)));
    }
  }
  if (made->workspace_bytes > device->workspace_bytes) {
    const std::int64_t bytes = mapped(made->workspace_bytes);
    void* memory = map_memory(bytes);
    if (memory == nullptr)
      return fail(error, GODWIT_OUT_OF_MEMORY, "no memory for a workspace of %lld bytes", static_cast<long long>(bytes));
    if (device->workspace != nullptr) munmap(device->workspace, static_cast<std::size_t>(device->workspace_bytes));
    device->workspace = static_cast<std::byte*>(memory);
    device->workspace_bytes = bytes;
  }
  *prepared = made.release();
  return GODWIT_OK;
}

godwit_status prepared_describe(godwit_prepared* prepared, godwit_prepared_info* info, godwit_error*) {
  info->workspace_bytes = prepared->workspace_bytes;
  info->private_bytes = prepared->private_bytes;
  return GODWIT_OK;
}

void prepared_destroy(godwit_prepared* prepared) {
  delete prepared;
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
    for (std::size_t k = 0; k < step.tensors.size(); ++k) {
      step.views[k].data = address(step.tensors[k]);
      if (step.views[k].data == nullptr) return unbound(step.tensors[k]);
    }
    if (!device.profile) {
      step.kernel->run(step.call(device));
      continue;
    }
    const auto before = std::chrono::steady_clock::now();
    step.kernel->run(step.call(device));
    step.nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - before).count();
    ++step.runs;
  }
  for (std::size_t i = 0; part == GODWIT_PART_REFRESH && i < prepared->packings.size(); ++i) {
    Packing& packing = prepared->packings[i];
    View& source = packing.step.views[weight_input];
    source.data = address(packing.source);
    if (source.data == nullptr) return unbound(packing.source);
    packing.kernel->pack(packing.step.call(device), prepared->private_memory + packing.offset);
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
  };
  return &table;
}
