// The memory of a device that is completed: guarded, mirrored, or its own.
#include <cstring>

#include "device/fallback_parts.h"

namespace godwit::device::fallback {

godwit_status create_buffer(Device& device, std::int64_t bytes, Buffer*& buffer, godwit_error* error) {
  if (bytes < 0) return fail(error, GODWIT_INVALID, "a buffer cannot have {} bytes", bytes);
  auto made = std::make_unique<Buffer>();
  made->device = &device;
  made->bytes = bytes;
  if (device.wraps) {
    const std::int64_t least = std::max<std::int64_t>(bytes, GODWIT_ALIGNMENT);  // nobody wraps nothing
    made->own = GuardedMemory(least);
    if (made->own.data() == nullptr) return fail(error, GODWIT_OUT_OF_MEMORY, "no memory for a buffer of {} bytes", bytes);
    const godwit_status status = given(call(*device.behind, &godwit_backend::buffer_wrap, device.device,
                                            static_cast<void*>(made->own.data()), least, &made->behind, error),
                                       made->behind, "buffer_wrap", error);
    if (status != GODWIT_OK && status != GODWIT_UNSUPPORTED) return status;
    device.wraps = status == GODWIT_OK;
    if (device.wraps) {
      made->host = made->own.data();
      device.guarded.insert(made.get());
    } else {
      made->own = GuardedMemory();
    }
  }
  if (!device.wraps) {
    const godwit_status status = given(call(*device.behind, &godwit_backend::buffer_create, device.device, bytes, &made->behind, error),
                                       made->behind, "buffer_create", error);
    if (status != GODWIT_OK) return status;
  }
  buffer = made.release();
  return GODWIT_OK;
}

godwit_status wrap_buffer(Device& device, void* memory, std::int64_t bytes, Buffer*& buffer, godwit_error* error) {
  auto made = std::make_unique<Buffer>();
  made->device = &device;
  made->bytes = bytes;
  made->host = static_cast<std::byte*>(memory);
  godwit_status status = given(call(*device.behind, &godwit_backend::buffer_wrap, device.device, memory, bytes, &made->behind, error),
                               made->behind, "buffer_wrap", error);
  if (status == GODWIT_UNSUPPORTED) {
    made->mirrored = true;
    status = given(call(*device.behind, &godwit_backend::buffer_create, device.device, bytes, &made->behind, error), made->behind,
                   "buffer_create", error);
  }
  if (status != GODWIT_OK) return status;
  buffer = made.release();
  return GODWIT_OK;
}

void destroy_buffer(Buffer* buffer) {
  Device& device = *buffer->device;
  device.guarded.erase(buffer);
  if (buffer->cpu != nullptr) cpu_backend().buffer_destroy(buffer->cpu);
  call(*device.behind, &godwit_backend::buffer_destroy, buffer->behind);
  delete buffer;
}

std::byte* cpu_memory(Buffer& buffer) {
  if (buffer.host != nullptr) return buffer.host;
  if (buffer.staging.data() == nullptr) buffer.staging = GuardedMemory(std::max<std::int64_t>(buffer.bytes, 1));
  return buffer.staging.data();
}

godwit_status cpu_handle(Buffer& buffer, godwit_buffer*& handle, godwit_error* error) {
  std::byte* memory = cpu_memory(buffer);
  if (memory == nullptr) return fail(error, GODWIT_OUT_OF_MEMORY, "no memory for the CPU's copy of {} bytes", buffer.bytes);
  if (buffer.cpu == nullptr) {
    const godwit_status status = cpu_backend().buffer_wrap(buffer.device->cpu, memory, buffer.bytes, &buffer.cpu, error);
    if (status != GODWIT_OK) return status;
  }
  handle = buffer.cpu;
  return GODWIT_OK;
}

godwit_status to_device(Queue& queue, Buffer& buffer, std::int64_t offset, std::int64_t bytes, godwit_error* error) {
  const void* from = cpu_memory(buffer) + offset;
  return call(*queue.device->behind, &godwit_backend::write, queue.behind, buffer.behind, offset, from, bytes, error);
}

godwit_status from_device(Queue& queue, Buffer& buffer, std::int64_t offset, std::int64_t bytes, godwit_error* error) {
  void* to = cpu_memory(buffer) + offset;
  return call(*queue.device->behind, &godwit_backend::read, queue.behind, buffer.behind, offset, to, bytes, error);
}

godwit_status wait_for(Queue& queue, godwit_error* error) {
  const godwit_backend& behind = *queue.device->behind;
  godwit_event* event = nullptr;
  godwit_status status = given(call(behind, &godwit_backend::event_record, queue.behind, &event, error), event, "event_record", error);
  if (status != GODWIT_OK) return status;
  status = call(behind, &godwit_backend::event_wait, event, std::int64_t{-1}, error);
  call(behind, &godwit_backend::event_destroy, event);
  return status == GODWIT_OK ? look_at_edges(*queue.device, error) : status;
}

godwit_status look_at_edges(Device& device, godwit_error* error) {
  for (const Buffer* buffer : device.guarded) {
    const GuardedMemory::Edge edge = buffer->own.edge();
    if (edge == GuardedMemory::Edge::whole) continue;
    device.broken = fmt::format("backend {}: run wrote just {} a buffer of {} bytes", device.behind->name,
                                edge == GuardedMemory::Edge::before ? "before" : "behind", buffer->bytes);
    return fail(error, GODWIT_DEVICE_LOST, "{}", device.broken);
  }
  return GODWIT_OK;
}

}  // namespace godwit::device::fallback
