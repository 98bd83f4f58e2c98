#include "device/fallback.h"

#include <array>
#include <cstring>
#include <mutex>

#include "base/check.h"
#include "device/backends.h"
#include "device/fallback_parts.h"

namespace godwit::device {

namespace fallback {

const godwit_backend& cpu_backend() {
  static const godwit_backend& cpu = *find_backend("cpu").value();
  return cpu;
}

namespace {

// Progress of the piece that runs, told as of the whole program: once for each op, however many parts it has.
void tell_progress(void* context, std::int32_t op) {
  const Device& device = *static_cast<Device*>(context);
  if (device.progress == nullptr || device.running == nullptr || op < 0 || static_cast<std::size_t>(op) >= device.running->ops.size())
    return;
  const Ready::Op& told = device.running->ops[static_cast<std::size_t>(op)];
  if (told.first) device.progress(device.progress_context, told.whole);
}

}  // namespace

godwit_status open_cpu(Device& device, godwit_error* error) {
  if (device.cpu.load() != nullptr) return GODWIT_OK;
  std::vector<godwit_option> options;
  for (const auto& [name, value] : device.cpu_options) options.push_back({name.c_str(), value.c_str()});
  godwit_device* opened = nullptr;
  godwit_status status = cpu_backend().open(0, options.data(), static_cast<std::int32_t>(options.size()), &opened, error);
  if (status != GODWIT_OK) return status;
  device.cpu.store(opened);
  status = cpu_backend().queue_create(opened, &device.cpu_queue, error);
  if (status == GODWIT_OK && device.progress != nullptr) cpu_backend().watch(opened, tell_progress, &device);
  return status;
}

namespace {

// ---- Devices ----

godwit_status open_behind(const godwit_backend& behind, std::int32_t index, const godwit_option* options, std::int32_t count,
                          godwit_device** device, godwit_error* error) {
  auto opened = std::make_unique<Device>();
  opened->behind = &behind;
  for (std::int32_t i = 0; i < count; ++i) {
    const std::string_view name = options[i].name;
    if (name == "threads" || name == "profile") opened->cpu_options.emplace_back(name, options[i].value);
  }
  const godwit_status status =
      given(call(behind, &godwit_backend::open, index, options, count, &opened->device, error), opened->device, "open", error);
  if (status == GODWIT_OK) *device = reinterpret_cast<godwit_device*>(opened.release());
  return status;
}

void close_device(godwit_device* handle) {
  Device* device = inside(handle);
  if (device->scratch != nullptr) destroy_buffer(device->scratch);
  if (device->cpu_queue != nullptr) cpu_backend().queue_destroy(device->cpu_queue);
  if (device->cpu.load() != nullptr) cpu_backend().close(device->cpu);
  call(*device->behind, &godwit_backend::close, device->device);
  delete device;
}

godwit_status describe(godwit_device* handle, godwit_device_info* info, godwit_error* error) {
  return call(*inside(handle)->behind, &godwit_backend::describe, inside(handle)->device, info, error);
}

godwit_status abort_device(godwit_device* handle, godwit_error* error) {
  Device& device = *inside(handle);
  if (godwit_device* cpu = device.cpu.load(); cpu != nullptr) cpu_backend().abort(cpu, nullptr);
  return device.behind->abort(device.device, error);  // by any thread, and so not marked
}

// ---- Buffers, queues, events ----

godwit_status buffer_create(godwit_device* device, std::int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  Buffer* made = nullptr;
  const godwit_status status = create_buffer(*inside(device), bytes, made, error);
  if (status == GODWIT_OK) *buffer = reinterpret_cast<godwit_buffer*>(made);
  return status;
}

godwit_status buffer_wrap(godwit_device* device, void* memory, std::int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  if (reinterpret_cast<std::uintptr_t>(memory) % GODWIT_ALIGNMENT != 0)
    return fail(error, GODWIT_INVALID, "wrapped memory must be aligned to {} bytes", GODWIT_ALIGNMENT);
  Buffer* made = nullptr;
  const godwit_status status = wrap_buffer(*inside(device), memory, bytes, made, error);
  if (status == GODWIT_OK) *buffer = reinterpret_cast<godwit_buffer*>(made);
  return status;
}

void* buffer_host(godwit_buffer* buffer) {
  return inside(buffer)->host;
}

void buffer_destroy(godwit_buffer* buffer) {
  destroy_buffer(inside(buffer));
}

godwit_status queue_create(godwit_device* handle, godwit_queue** queue, godwit_error* error) {
  auto made = std::make_unique<Queue>();
  made->device = inside(handle);
  const godwit_status status = given(call(*made->device->behind, &godwit_backend::queue_create, made->device->device, &made->behind, error),
                                     made->behind, "queue_create", error);
  if (status == GODWIT_OK) *queue = reinterpret_cast<godwit_queue*>(made.release());
  return status;
}

void queue_destroy(godwit_queue* queue) {
  call(*inside(queue)->device->behind, &godwit_backend::queue_destroy, inside(queue)->behind);
  delete inside(queue);
}

bool in_range(const Buffer& buffer, std::int64_t offset, std::int64_t bytes) {
  return offset >= 0 && bytes >= 0 && offset <= buffer.bytes && bytes <= buffer.bytes - offset;
}

godwit_status out_of_range(const Buffer& buffer, std::int64_t offset, std::int64_t bytes, godwit_error* error) {
  return fail(error, GODWIT_INVALID, "bytes {} + {} lie outside a buffer of {}", offset, bytes, buffer.bytes);
}

godwit_status write_buffer(godwit_queue* queue, godwit_buffer* handle, std::int64_t offset, const void* source, std::int64_t bytes,
                           godwit_error* error) {
  Buffer& buffer = *inside(handle);
  if (!in_range(buffer, offset, bytes)) return out_of_range(buffer, offset, bytes, error);
  if (buffer.mirrored) {
    std::memcpy(buffer.host + offset, source, static_cast<std::size_t>(bytes));
    return to_device(*inside(queue), buffer, offset, bytes, error);
  }
  return call(*buffer.device->behind, &godwit_backend::write, inside(queue)->behind, buffer.behind, offset, source, bytes, error);
}

godwit_status read_buffer(godwit_queue* queue, godwit_buffer* handle, std::int64_t offset, void* destination, std::int64_t bytes,
                          godwit_error* error) {
  Buffer& buffer = *inside(handle);
  if (!in_range(buffer, offset, bytes)) return out_of_range(buffer, offset, bytes, error);
  if (buffer.mirrored) {
    // What a run has written is on its way to the host, and what the host has written since goes to the device first: the device says what
    // it holds.
    if (const godwit_status status = wait_for(*inside(queue), error); status != GODWIT_OK) return status;
    if (const godwit_status status = to_device(*inside(queue), buffer, offset, bytes, error); status != GODWIT_OK) return status;
  }
  return call(*buffer.device->behind, &godwit_backend::read, inside(queue)->behind, buffer.behind, offset, destination, bytes, error);
}

godwit_status event_record(godwit_queue* queue, godwit_event** event, godwit_error* error) {
  auto made = std::make_unique<Event>();
  made->device = inside(queue)->device;
  const godwit_status status =
      given(call(*made->device->behind, &godwit_backend::event_record, inside(queue)->behind, &made->behind, error), made->behind,
            "event_record", error);
  if (status == GODWIT_OK) *event = reinterpret_cast<godwit_event*>(made.release());
  return status;
}

godwit_status event_wait(godwit_event* event, std::int64_t timeout_ms, godwit_error* error) {
  Device& device = *inside(event)->device;
  const godwit_status status = call(*device.behind, &godwit_backend::event_wait, inside(event)->behind, timeout_ms, error);
  return status == GODWIT_OK ? look_at_edges(device, error) : status;
}

std::int32_t event_ready(godwit_event* event) {
  return call(*inside(event)->device->behind, &godwit_backend::event_ready, inside(event)->behind);
}

void event_destroy(godwit_event* event) {
  call(*inside(event)->device->behind, &godwit_backend::event_destroy, inside(event)->behind);
  delete inside(event);
}

// ---- Programs ----

const char* kernel_for(godwit_device* handle, const godwit_program* program, std::int32_t op) {
  Device& device = *inside(handle);
  std::string name = own_kernel(device, *program, op);
  if (name.empty()) {
    const Has has = [&](const godwit_program& asked, std::int32_t of) { return !own_kernel(device, asked, of).empty(); };
    godwit_program alone = *program;  // the one op
    alone.ops = program->ops + op;
    alone.op_count = 1;
    alone.refresh_count = 0;
    if (const Assignment how = assign(alone, has, {Refused::itself})[0]; how.parts != nullptr) {
      name = by_parts;
      for (const program::Node& node : how.parts->nodes)
        name += std::string(name.size() == by_parts.size() ? "" : ", ") + std::string(node.op->name);
    } else {
      if (open_cpu(device, nullptr) != GODWIT_OK) return nullptr;
      const char* kernel = cpu_backend().kernel_for(device.cpu, program, op);
      if (kernel == nullptr) return nullptr;
      name = std::string(by_cpu) + kernel;
    }
  }
  return device.names.insert(std::move(name)).first->c_str();
}

godwit_status prepare(godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
  Program* made = nullptr;
  const godwit_status status = prepare_program(*inside(device), *program, made, error);
  if (status == GODWIT_OK) *prepared = reinterpret_cast<godwit_prepared*>(made);
  return status;
}

godwit_status prepared_describe(godwit_prepared* handle, godwit_prepared_info* info, godwit_error* error) {
  constexpr std::int64_t most = std::int64_t{1} << 50;
  const Program& program = *inside(handle);
  std::int64_t workspace[2] = {0, 0};
  info->private_bytes = 0;
  for (const Ready& ready : program.pieces) {
    godwit_prepared_info piece{sizeof piece, 0, 0};
    const bool on_cpu = ready.doer == Doer::cpu;
    const godwit_status status = on_cpu ? cpu_backend().prepared_describe(ready.prepared, &piece, error)
                                        : call(*program.device->behind, &godwit_backend::prepared_describe, ready.prepared, &piece, error);
    if (status != GODWIT_OK) return status;
    if (piece.private_bytes < 0 || piece.private_bytes > most || piece.workspace_bytes < 0 || piece.workspace_bytes > most)
      return fail(error, GODWIT_FAILED, "it says that a program holds {} and {} bytes", piece.private_bytes, piece.workspace_bytes);
    info->private_bytes += piece.private_bytes;
    workspace[on_cpu] = std::max(workspace[on_cpu], piece.workspace_bytes);
  }
  info->workspace_bytes = workspace[0] + workspace[1] + program.scratch_bytes;
  return GODWIT_OK;
}

void prepared_destroy(godwit_prepared* prepared) {
  destroy_program(inside(prepared));
}

godwit_status run(godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                  const godwit_binding* bindings, godwit_error* error) {
  return run_program(*inside(queue), *inside(prepared), part, inside(arena), inside(persistent), bindings, error);
}

godwit_status op_time(godwit_prepared* handle, std::int32_t op, std::int64_t* runs, std::int64_t* nanoseconds, godwit_error* error) {
  const Program& program = *inside(handle);
  *runs = *nanoseconds = 0;
  bool known = false;
  for (const Ready& ready : program.pieces) {
    for (std::size_t i = 0; i < ready.ops.size(); ++i) {
      if (ready.ops[i].whole != op) continue;
      std::int64_t part_runs = 0, part_nanoseconds = 0;
      const auto index = static_cast<std::int32_t>(i);
      const godwit_status status =
          ready.doer == Doer::cpu
              ? cpu_backend().op_time(ready.prepared, index, &part_runs, &part_nanoseconds, error)
              : call(*program.device->behind, &godwit_backend::op_time, ready.prepared, index, &part_runs, &part_nanoseconds, error);
      if (status != GODWIT_OK) return status;
      known = true;
      *runs = std::max(*runs, part_runs);
      *nanoseconds += part_nanoseconds;
    }
  }
  return known ? GODWIT_OK : fail(error, GODWIT_INVALID, "the program has no op {}", op);
}

// ---- Evidence, progress, spoiling ----

godwit_status verify_key(godwit_device* device, const std::uint64_t key[2], godwit_error* error) {
  return call(*inside(device)->behind, &godwit_backend::verify_key, inside(device)->device, key, error);
}

godwit_status take_findings(godwit_device* handle, godwit_finding* list, std::int32_t capacity, std::int64_t* count, godwit_error* error) {
  const Device& device = *inside(handle);
  const godwit_status status = call(*device.behind, &godwit_backend::findings, device.device, list, capacity, count, error);
  if (status != GODWIT_OK) return status;
  if (*count < 0) return fail(error, GODWIT_FAILED, "it has {} findings", *count);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(*count, capacity); ++i) {
    const auto found = device.pieces.find(list[i].prepared);
    if (found == device.pieces.end()) continue;
    const auto& [program, index] = found->second;
    const Ready& ready = program->pieces[index];
    const auto whole_of = [](const auto& of, std::int32_t number) {
      return number >= 0 && static_cast<std::size_t>(number) < of.size() ? of[static_cast<std::size_t>(number)].whole : -1;
    };
    list[i].prepared = reinterpret_cast<const godwit_prepared*>(program);
    list[i].op = whole_of(ready.ops, list[i].op);
    list[i].tensor = whole_of(ready.tensors, list[i].tensor);
  }
  return status;
}

std::int64_t checked(godwit_device* device) {
  return call(*inside(device)->behind, &godwit_backend::checked, inside(device)->device);
}

void watch(godwit_device* handle, void (*progress)(void*, std::int32_t), void* context) {
  Device& device = *inside(handle);
  device.progress = progress;
  device.progress_context = context;
  const auto tell = progress != nullptr ? tell_progress : nullptr;
  call(*device.behind, &godwit_backend::watch, device.device, tell, static_cast<void*>(&device));
  if (godwit_device* cpu = device.cpu.load(); cpu != nullptr) cpu_backend().watch(cpu, tell, &device);
}

// One op of a program is aimed at when its piece runs; all others are the device's own matter.
godwit_status spoil_results(godwit_device* handle, const godwit_spoil* what, void (*told)(void*, const godwit_spoilt*), void* context,
                            godwit_error* error) {
  Device& device = *inside(handle);
  device.spoil.reset();
  if (what != nullptr) {
    device.spoil = std::make_unique<Spoil>(Spoil{*what, what->op != nullptr ? what->op : "", told, context, 0});
    if (what->op != nullptr) device.spoil->what.op = device.spoil->op.c_str();
  }
  return call(*device.behind, &godwit_backend::spoil, device.device, what, told, context, error);
}

// ---- The tables ----

// The functions that get no handle know their backend by a number.
constexpr std::size_t backends_most = 16;
std::array<const godwit_backend*, backends_most> behinds{};

template <std::size_t number>
struct Entry {
  static std::int32_t device_count() { return call(*behinds[number], &godwit_backend::device_count); }
  static godwit_status device_describe(std::int32_t index, godwit_device_info* info, godwit_error* error) {
    return call(*behinds[number], &godwit_backend::device_describe, index, info, error);
  }
  static godwit_status open(std::int32_t index, const godwit_option* options, std::int32_t count, godwit_device** device,
                            godwit_error* error) {
    return open_behind(*behinds[number], index, options, count, device, error);
  }
  static void set(godwit_backend& table) {
    table.device_count = device_count;
    table.device_describe = device_describe;
    table.open = open;
  }
};

template <std::size_t... numbers>
void set_entry(godwit_backend& table, std::size_t number, std::index_sequence<numbers...>) {
  static constexpr void (*setters[])(godwit_backend&) = {&Entry<numbers>::set...};
  setters[number](table);
}

godwit_backend table_of(std::size_t number) {
  const godwit_backend& behind = *behinds[number];
  godwit_backend table{};
  table.struct_size = sizeof table;
  table.major = behind.major;
  table.minor = behind.minor;
  table.name = behind.name;
  set_entry(table, number, std::make_index_sequence<backends_most>());
  table.close = close_device;
  table.describe = describe;
  table.buffer_create = buffer_create;
  table.buffer_wrap = buffer_wrap;
  table.buffer_host = buffer_host;
  table.buffer_destroy = buffer_destroy;
  table.queue_create = queue_create;
  table.queue_destroy = queue_destroy;
  table.write = write_buffer;
  table.read = read_buffer;
  table.event_record = event_record;
  table.event_wait = event_wait;
  table.event_ready = event_ready;
  table.event_destroy = event_destroy;
  table.kernel_for = kernel_for;
  table.prepare = prepare;
  table.prepared_describe = prepared_describe;
  table.prepared_destroy = prepared_destroy;
  table.run = run;
  table.abort = abort_device;
  // What came with minor versions is there if the backend has it.
  if (behind.op_time != nullptr) table.op_time = op_time;
  if (behind.verify_key != nullptr) table.verify_key = verify_key;
  if (behind.findings != nullptr) table.findings = take_findings;
  if (behind.checked != nullptr) table.checked = checked;
  if (behind.watch != nullptr) table.watch = watch;
  if (behind.spoil != nullptr) table.spoil = spoil_results;
  return table;
}

}  // namespace

}  // namespace fallback

const godwit_backend& completed(const godwit_backend& behind) {
  static std::mutex mutex;
  static std::array<godwit_backend, fallback::backends_most> tables;
  const std::lock_guard lock(mutex);
  for (std::size_t number = 0; number < tables.size(); ++number) {
    const godwit_backend*& known = fallback::behinds[number];
    if (known == &behind) return tables[number];
    if (known != nullptr) continue;
    CHECK(behind.struct_size == sizeof behind, "backend {} was not adopted", behind.name);
    known = &behind;
    return tables[number] = fallback::table_of(number);
  }
  CHECK(false, "a process has loaded more than {} backends", fallback::backends_most);
  return behind;
}

}  // namespace godwit::device
