#include "device/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "device/backend_call.h"
#include "device/backends.h"
#include "device/contract.h"

namespace godwit::device {

namespace {

using program::Role;
using program::TensorId;

Error device_error(std::string_view device, std::string_view what, const godwit_error& error) {
  const ErrorKind kind = error.status == GODWIT_INVALID && what == "open" ? ErrorKind::input : ErrorKind::world;
  return Error{kind, fmt::format("device {}: {}: {}", device, what, text_of(error.message))};
}

}  // namespace

Buffer::~Buffer() {
  if (buffer_ != nullptr) backend_->buffer_destroy(buffer_);
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(backend_, other.backend_);
  std::swap(buffer_, other.buffer_);
  std::swap(bytes_, other.bytes_);
  std::swap(shared_, other.shared_);
  return *this;
}

std::byte* Buffer::host() const {
  return buffer_ == nullptr ? nullptr : static_cast<std::byte*>(backend_->buffer_host(buffer_));
}

Result<std::unique_ptr<Device>> Device::open(const DeviceOptions& options) {
  TRY_ASSIGN(const godwit_backend* backend, options.fallback ? find_completed_backend(options.backend) : find_backend(options.backend));
  return open(*backend, options);
}

Result<std::unique_ptr<Device>> Device::open(const godwit_backend& backend, const DeviceOptions& options) {
  auto device = std::unique_ptr<Device>(new Device);
  device->backend_ = &backend;
  device->name_ = backend.name;
  CHECK(backend.major == GODWIT_BACKEND_MAJOR, "backend {} has major version {}", backend.name, backend.major);
  const std::string threads = std::to_string(options.threads);
  std::vector<godwit_option> list = {{"threads", threads.c_str()}};
  if (!options.isa.empty()) list.push_back({"isa", options.isa.c_str()});
  if (options.profile) list.push_back({"profile", "1"});
  if (options.verify) list.push_back({"verify", "inline"});
  godwit_error error{};
  if (device->backend_->open(options.number, list.data(), static_cast<std::int32_t>(list.size()), &device->device_, &error) != GODWIT_OK) {
    return device_error(device->name_, "open", error);
  }
  if (device->backend_->queue_create(device->device_, &device->queue_, &error) != GODWIT_OK)
    return device_error(device->name_, "queue", error);
  godwit_device_info info{};
  info.struct_size = sizeof info;
  if (device->backend_->describe(device->device_, &info, &error) == GODWIT_OK) device->name_ += fmt::format(" ({})", info.name);
  return device;
}

Device::~Device() {
  arena_ = Buffer();
  if (queue_ != nullptr) backend_->queue_destroy(queue_);
  if (device_ != nullptr) backend_->close(device_);
}

Result<Buffer> Device::allocate(std::int64_t bytes) {
  Buffer buffer;
  godwit_error error{};
  if (backend_->buffer_create(device_, bytes, &buffer.buffer_, &error) != GODWIT_OK) return device_error(name_, "allocate", error);
  buffer.backend_ = backend_;
  buffer.bytes_ = bytes;
  return buffer;
}

Result<Buffer> Device::wrap(void* memory, std::int64_t bytes) {
  Buffer buffer;
  godwit_error error{};
  if (backend_->buffer_wrap(device_, memory, bytes, &buffer.buffer_, &error) != GODWIT_OK) return device_error(name_, "wrap", error);
  buffer.backend_ = backend_;
  buffer.bytes_ = bytes;
  return buffer;
}

Result<void> Device::copy(const Buffer& buffer, std::int64_t from, std::int64_t to, std::int64_t bytes) {
  std::vector<std::byte> between(static_cast<std::size_t>(bytes));
  godwit_error error{};
  if (backend_->read(queue_, buffer.handle(), from, between.data(), bytes, &error) != GODWIT_OK || finish(error) != GODWIT_OK ||
      backend_->write(queue_, buffer.handle(), to, between.data(), bytes, &error) != GODWIT_OK || finish(error) != GODWIT_OK) {
    return device_error(name_, "copy", error);
  }
  return {};
}

godwit_status Device::finish(godwit_error& error) {
  godwit_event* event = nullptr;
  if (const godwit_status status = backend_->event_record(queue_, &event, &error); status != GODWIT_OK) return status;
  const godwit_status status = backend_->event_wait(event, -1, &error);
  backend_->event_destroy(event);
  return status;
}

Result<Buffer> Device::allocate_shared(std::int64_t bytes) {
  TRY_ASSIGN(Buffer buffer, allocate(bytes));
  if (buffer.host() != nullptr) return buffer;
  buffer = Buffer();
  GuardedMemory memory(bytes);
  if (memory.data() == nullptr) return world_error("device {}: no memory for {} bytes", name_, bytes);
  TRY_ASSIGN(Buffer shared, wrap(memory.data(), bytes));
  shared.shared_ = std::move(memory);
  return shared;
}

Result<Executable> Device::prepare(program::Program program) {
  Executable executable;
  executable.device_ = this;
  executable.program_ = std::move(program);
  executable.plan_ = program::plan_memory(executable.program_);
  executable.bindings_.assign(executable.program_.tensors.size(), godwit_binding{nullptr, 0});
  if (executable.plan_.arena_bytes > arena_.bytes()) {
    arena_ = Buffer();  // give back first: contents do not outlive a run
    TRY_ASSIGN(arena_, allocate(executable.plan_.arena_bytes));
  }
  const ContractProgram c(executable.program_, &executable.plan_);
  godwit_error error{};
  if (backend_->prepare(device_, &c.program, &executable.prepared_, &error) != GODWIT_OK) return executable.failure("prepare", error);
  executables_[executable.prepared_] = &executable;
  return executable;
}

std::string Device::kernel_for(const program::Program& program, std::size_t index) {
  const ContractProgram c(program, nullptr);
  const char* name = backend_->kernel_for(device_, &c.program, static_cast<std::int32_t>(index));
  return name == nullptr ? "" : name;
}

std::vector<std::string> Device::kernels(const program::Program& program) {
  const ContractProgram c(program, nullptr);
  std::vector<std::string> kernels;
  for (std::int32_t i = 0; i < c.program.op_count; ++i) {
    const char* name = backend_->kernel_for(device_, &c.program, i);
    kernels.emplace_back(name == nullptr ? "" : name);
  }
  return kernels;
}

// Functions that came with a minor version are there if the backend's table reaches them and has them.
#define HAS(member) (backend_->struct_size >= offsetof(godwit_backend, member) + sizeof backend_->member && backend_->member != nullptr)

Result<void> Device::verify_key(std::uint64_t high, std::uint64_t low) {
  if (!HAS(verify_key)) return {};
  const std::uint64_t key[2] = {high, low};
  godwit_error error{};
  if (backend_->verify_key(device_, key, &error) != GODWIT_OK) return device_error(name_, "verify_key", error);
  return {};
}

Result<Device::Evidence> Device::evidence() {
  Evidence evidence;
  if (!HAS(findings)) return evidence;
  std::array<godwit_finding, 256> list{};
  for (godwit_finding& each : list) each.struct_size = sizeof each;
  godwit_error error{};
  if (backend_->findings(device_, list.data(), static_cast<std::int32_t>(list.size()), &evidence.count, &error) != GODWIT_OK)
    return device_error(name_, "findings", error);
  for (std::size_t i = 0; i < std::min(list.size(), static_cast<std::size_t>(evidence.count)); ++i) {
    const godwit_finding& found = list[i];
    Finding finding{.program = "", .op = "", .index = found.op, .tensor = "", .row = found.row};
    finding.difference = found.difference;
    finding.bound = found.bound;
    if (const auto ran = executables_.find(found.prepared); ran != executables_.end()) {
      const program::Program& program = ran->second->program();
      finding.program = program.name;
      if (found.op >= 0 && static_cast<std::size_t>(found.op) < program.nodes.size())
        finding.op = program.nodes[static_cast<std::size_t>(found.op)].op->name;
      if (found.tensor >= 0 && static_cast<std::size_t>(found.tensor) < program.tensors.size())
        finding.tensor = program.tensors[static_cast<std::size_t>(found.tensor)].name;
    }
    evidence.findings.push_back(std::move(finding));
  }
  return evidence;
}

std::int64_t Device::checked() const {
  return HAS(checked) ? backend_->checked(device_) : 0;
}

bool Device::watch(std::function<void(std::int32_t)> progress) {
  if (!HAS(watch)) return false;
  progress_ = std::move(progress);
  if (!progress_) {
    backend_->watch(device_, nullptr, nullptr);
  } else {
    backend_->watch(
        device_, [](void* self, std::int32_t op) { static_cast<Device*>(self)->progress_(op); }, this);
  }
  return true;
}

Result<void> Device::spoil(const godwit_spoil& spoil, std::function<void(const godwit_spoilt&)> told) {
  if (!HAS(spoil)) return world_error("device {} cannot spoil its results", name_);
  told_ = std::move(told);
  godwit_error error{};
  const auto tell = [](void* self, const godwit_spoilt* spoilt) {
    if (const auto& told_by = static_cast<Device*>(self)->told_) told_by(*spoilt);
  };
  if (backend_->spoil(device_, &spoil, tell, this, &error) != GODWIT_OK) return device_error(name_, "spoil", error);
  return {};
}

void Device::spoil_no_longer() {
  if (HAS(spoil)) backend_->spoil(device_, nullptr, nullptr, nullptr, nullptr);
}

#undef HAS

Executable::~Executable() {
  if (prepared_ == nullptr) return;
  device_->executables_.erase(prepared_);
  device_->backend_->prepared_destroy(prepared_);
}

Executable::Executable(Executable&& other) noexcept
    : device_(other.device_),
      program_(std::move(other.program_)),
      plan_(std::move(other.plan_)),
      prepared_(std::exchange(other.prepared_, nullptr)),
      bindings_(std::move(other.bindings_)),
      own_(std::move(other.own_)),
      persistent_(std::move(other.persistent_)),
      complete_(other.complete_) {
  if (prepared_ != nullptr) device_->executables_[prepared_] = this;
}

Error Executable::failure(std::string_view what, const godwit_error& error) const {
  device_->lost_ = device_->lost_ || error.status == GODWIT_DEVICE_LOST;
  return device_error(device_->name_, fmt::format("program {}: {}", program_.name, what), error);
}

void Executable::bind(TensorId tensor, const Buffer& buffer, std::int64_t offset) {
  const program::Tensor& bound = program_.tensor(tensor);
  CHECK(bound.role != Role::temporary && bound.role != Role::derived, "{} is not bound by the caller", bound.name);
  CHECK(offset % GODWIT_ALIGNMENT == 0 && offset + bound.type.bytes() <= buffer.bytes(), "{} does not fit at {} of {} bytes", bound.name,
        offset, buffer.bytes());
  bindings_[static_cast<std::size_t>(tensor)] = {buffer.handle(), offset};
}

Result<void> Executable::complete() {
  if (complete_) return {};
  std::int64_t own_bytes = 0;
  std::vector<std::pair<std::size_t, std::int64_t>> places;
  for (std::size_t i = 0; i < bindings_.size(); ++i) {
    const program::Tensor& tensor = program_.tensors[i];
    if (bindings_[i].buffer != nullptr || tensor.role == Role::temporary || tensor.role == Role::derived) continue;
    CHECK(tensor.role != Role::state, "program {}: the state {} is not bound", program_.name, tensor.name);
    places.emplace_back(i, own_bytes);
    own_bytes += aligned(std::max<std::int64_t>(tensor.type.bytes(), 1));
  }
  TRY_ASSIGN(own_, device_->allocate(own_bytes));
  for (const auto& [index, offset] : places) bindings_[index] = {own_.handle(), offset};
  if (plan_.persistent_bytes > 0) {
    TRY_ASSIGN(persistent_, device_->allocate(plan_.persistent_bytes));
  }
  complete_ = true;
  return {};
}

Result<void> Executable::run_part(godwit_part part) {
  TRY(complete());
  std::vector<godwit_binding> steady;
  if (part == GODWIT_PART_REFRESH) {
    // What a refresh has no use for may be bound to memory that is gone, until the next run binds it anew.
    steady = bindings_;
    for (std::size_t i = 0; i < steady.size(); ++i) {
      if (program_.tensors[i].role != Role::state && program_.tensors[i].role != Role::constant) steady[i] = {nullptr, 0};
    }
  }
  const std::vector<godwit_binding>& bindings = part == GODWIT_PART_REFRESH ? steady : bindings_;
  godwit_error error{};
  const godwit_backend& backend = *device_->backend_;
  if (backend.run(device_->queue_, prepared_, part, device_->arena_.handle(), persistent_.handle(), bindings.data(), &error) != GODWIT_OK) {
    return failure("run", error);
  }
  return wait("run");
}

Result<void> Executable::wait(std::string_view what) {
  godwit_error error{};
  if (device_->finish(error) != GODWIT_OK) return failure(what, error);
  return {};
}

Result<void> Executable::refresh() {
  return run_part(GODWIT_PART_REFRESH);
}
Result<void> Executable::run() {
  return run_part(GODWIT_PART_MAIN);
}

Result<Executable::Held> Executable::held() const {
  godwit_prepared_info info{};
  info.struct_size = sizeof info;
  godwit_error error{};
  if (device_->backend_->prepared_describe(prepared_, &info, &error) != GODWIT_OK) return failure("prepared_describe", error);
  return Held{info.private_bytes, info.workspace_bytes};
}

Result<std::vector<OpTime>> Executable::op_times() const {
  const godwit_backend& backend = *device_->backend_;
  if (backend.struct_size < offsetof(godwit_backend, op_time) + sizeof backend.op_time || backend.op_time == nullptr) {
    return world_error("device {} keeps no times of ops", device_->name_);
  }
  std::vector<OpTime> times(program_.nodes.size());
  godwit_error error{};
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (backend.op_time(prepared_, static_cast<std::int32_t>(i), &times[i].runs, &times[i].nanoseconds, &error) != GODWIT_OK) {
      return failure("op_time", error);
    }
  }
  return times;
}

Result<void> Executable::write(TensorId tensor, std::span<const std::byte> bytes) {
  TRY(complete());
  const program::Tensor& target = program_.tensor(tensor);
  CHECK(std::int64_t(bytes.size()) == target.type.bytes(), "{} has {} bytes, written with {}", target.name, target.type.bytes(),
        bytes.size());
  const godwit_binding& binding = bindings_[static_cast<std::size_t>(tensor)];
  godwit_error error{};
  if (device_->backend_->write(device_->queue_, binding.buffer, binding.offset, bytes.data(), std::int64_t(bytes.size()), &error) !=
      GODWIT_OK) {
    return failure("write " + target.name, error);
  }
  return wait("write " + target.name);
}

Result<void> Executable::read(TensorId tensor, std::span<std::byte> bytes) {
  TRY(complete());
  const program::Tensor& source = program_.tensor(tensor);
  CHECK(std::int64_t(bytes.size()) == source.type.bytes(), "{} has {} bytes, read into {}", source.name, source.type.bytes(), bytes.size());
  const godwit_binding& binding = bindings_[static_cast<std::size_t>(tensor)];
  godwit_error error{};
  if (device_->backend_->read(device_->queue_, binding.buffer, binding.offset, bytes.data(), std::int64_t(bytes.size()), &error) !=
      GODWIT_OK) {
    return failure("read " + source.name, error);
  }
  return wait("read " + source.name);
}

}  // namespace godwit::device
