#include "steps/watched_backend.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "base/check.h"

namespace godwit::steps {

namespace {

struct Mapped {
  int number = 0;
  std::size_t size = 0;
  void* inner = nullptr;  // the backend's
  void* host = nullptr;
  std::atomic<bool> closed = false;
  std::atomic<bool> touched = false;
};

struct Prepared {
  std::string name;
  std::int32_t tensors = 0;
};

struct Watch {
  explicit Watch(const godwit_backend& backend) : behind(backend) {}

  const godwit_backend& behind;
  godwit_backend table{};
  std::map<godwit_buffer*, std::unique_ptr<Mapped>> buffers;
  std::map<godwit_prepared*, Prepared> prepared;
  std::map<godwit_event*, godwit_queue*> events;
  std::vector<std::function<godwit_status(godwit_error*)>> pending;
  Record record;
  bool watching = false;
  int created = 0;
  struct sigaction earlier {};

  void close(Mapped& buffer) {
    buffer.closed = true;
    CHECK(mprotect(buffer.host, buffer.size, PROT_NONE) == 0, "mprotect");
  }
  static void open(Mapped& buffer) {
    mprotect(buffer.host, buffer.size, PROT_READ | PROT_WRITE);
    buffer.closed = false;
  }
  // What the host did since the last call comes first.
  void note_touches() {
    for (const auto& [handle, buffer] : buffers) {
      if (!buffer->touched.exchange(false)) continue;
      record.push_back(fmt::format("the host touches buffer {}", buffer->number));
      close(*buffer);
    }
  }
  void note(std::string entry) {
    if (!watching) return;
    note_touches();
    record.push_back(std::move(entry));
  }
  int number(godwit_buffer* handle) const {
    const auto found = buffers.find(handle);
    return found == buffers.end() ? -1 : found->second->number;
  }
};

Watch* current = nullptr;

void on_fault(int signal, siginfo_t* info, void*) {
  for (const auto& [handle, buffer] : current->buffers) {
    const auto* begin = static_cast<const std::byte*>(buffer->host);
    const auto* at = static_cast<const std::byte*>(info->si_addr);
    if (at < begin || at >= begin + buffer->size) continue;
    if (!buffer->closed) return;  // another thread was faster
    buffer->touched = true;
    Watch::open(*buffer);
    return;
  }
  sigaction(signal, &current->earlier, nullptr);  // a fault of its own: it comes again, and is not ours
}

godwit_status buffer_create(godwit_device* device, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  auto made = std::make_unique<Mapped>();
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  made->number = current->created++;
  made->size = (static_cast<std::size_t>(bytes) / page + 1) * page;
  const int file = memfd_create("godwit-watched", MFD_CLOEXEC);
  CHECK(file >= 0 && ftruncate(file, static_cast<off_t>(made->size)) == 0, "no memory of {} bytes", bytes);
  made->inner = mmap(nullptr, made->size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  made->host = mmap(nullptr, made->size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(made->inner != MAP_FAILED && made->host != MAP_FAILED, "no memory of {} bytes", bytes);
  ::close(file);
  const godwit_status status = current->behind.buffer_wrap(device, made->inner, bytes, buffer, error);
  CHECK(status == GODWIT_OK, "the backend behind does not wrap memory");
  current->note(fmt::format("create buffer {}: {} bytes", made->number, bytes));
  if (current->watching) current->close(*made);
  current->buffers.emplace(*buffer, std::move(made));
  return GODWIT_OK;
}

void* buffer_host(godwit_buffer* buffer) {
  current->note(fmt::format("address of buffer {}", current->number(buffer)));
  return current->buffers.at(buffer)->host;
}

void buffer_destroy(godwit_buffer* buffer) {
  CHECK(current->pending.empty(), "a buffer goes while there is work to do");
  const auto found = current->buffers.find(buffer);
  current->behind.buffer_destroy(buffer);
  munmap(found->second->inner, found->second->size);
  munmap(found->second->host, found->second->size);
  current->buffers.erase(found);
}

godwit_status write(godwit_queue* queue, godwit_buffer* buffer, int64_t offset, const void* source, int64_t bytes, godwit_error*) {
  current->note(fmt::format("write buffer {} at {}: {} bytes", current->number(buffer), offset, bytes));
  current->pending.emplace_back([=](godwit_error* late) { return current->behind.write(queue, buffer, offset, source, bytes, late); });
  return GODWIT_OK;
}

godwit_status read(godwit_queue* queue, godwit_buffer* buffer, int64_t offset, void* destination, int64_t bytes, godwit_error*) {
  current->note(fmt::format("read buffer {} at {}: {} bytes", current->number(buffer), offset, bytes));
  current->pending.emplace_back([=](godwit_error* late) { return current->behind.read(queue, buffer, offset, destination, bytes, late); });
  return GODWIT_OK;
}

godwit_status event_record(godwit_queue* queue, godwit_event** event, godwit_error* error) {
  const godwit_status status = current->behind.event_record(queue, event, error);
  if (status == GODWIT_OK) current->events[*event] = queue;
  return status;
}

godwit_status event_wait(godwit_event* event, int64_t timeout_ms, godwit_error* error) {
  godwit_status status = GODWIT_OK;
  for (const auto& work : std::exchange(current->pending, {})) {
    if (status == GODWIT_OK) status = work(error);
  }
  // The event was recorded behind before the work was given there; one of now stands for it.
  godwit_event* now = nullptr;
  if (status == GODWIT_OK) status = current->behind.event_record(current->events.at(event), &now, error);
  if (status == GODWIT_OK) {
    status = current->behind.event_wait(now, timeout_ms, error);
    current->behind.event_destroy(now);
  }
  current->note("done");
  return status;
}

int32_t event_ready(godwit_event* event) {
  return current->pending.empty() ? current->behind.event_ready(event) : 0;
}

void event_destroy(godwit_event* event) {
  current->events.erase(event);
  current->behind.event_destroy(event);
}

godwit_status prepare(godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
  CHECK(current->pending.empty(), "a program is prepared while there is work to do");
  current->note(fmt::format("prepare {}", program->name));
  const godwit_status status = current->behind.prepare(device, program, prepared, error);
  if (status == GODWIT_OK) current->prepared[*prepared] = {program->name, program->tensor_count};
  return status;
}

void prepared_destroy(godwit_prepared* prepared) {
  current->prepared.erase(prepared);
  current->behind.prepared_destroy(prepared);
}

godwit_status run(godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                  const godwit_binding* bindings, godwit_error*) {
  const Prepared& program = current->prepared.at(prepared);
  current->note(fmt::format("run {} {}", program.name, part == GODWIT_PART_MAIN ? "main" : "refresh"));
  current->pending.emplace_back([=, bound = std::vector<godwit_binding>(bindings, bindings + program.tensors)](godwit_error* late) {
    return current->behind.run(queue, prepared, part, arena, persistent, bound.data(), late);
  });
  return GODWIT_OK;
}

}  // namespace

WatchedBackend::WatchedBackend(const godwit_backend& behind) {
  CHECK(current == nullptr, "only one backend can be watched at a time");
  current = new Watch(behind);
  current->table = behind;
  current->table.buffer_create = buffer_create;
  current->table.buffer_host = buffer_host;
  current->table.buffer_destroy = buffer_destroy;
  current->table.write = write;
  current->table.read = read;
  current->table.event_record = event_record;
  current->table.event_wait = event_wait;
  current->table.event_ready = event_ready;
  current->table.event_destroy = event_destroy;
  current->table.prepare = prepare;
  current->table.prepared_destroy = prepared_destroy;
  current->table.run = run;
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  CHECK(sigaction(SIGSEGV, &action, &current->earlier) == 0, "sigaction");
}

WatchedBackend::~WatchedBackend() {
  CHECK(current->buffers.empty() && current->prepared.empty(), "the watched device outlives its backend");
  sigaction(SIGSEGV, &current->earlier, nullptr);
  delete std::exchange(current, nullptr);
}

const godwit_backend& WatchedBackend::table() const {
  return current->table;
}

void WatchedBackend::watch() {
  current->record.clear();
  current->watching = true;
  for (const auto& [handle, buffer] : current->buffers) current->close(*buffer);
}

Record WatchedBackend::stop() {
  current->note_touches();
  current->watching = false;
  for (const auto& [handle, buffer] : current->buffers) Watch::open(*buffer);
  return std::exchange(current->record, {});
}

}  // namespace godwit::steps
