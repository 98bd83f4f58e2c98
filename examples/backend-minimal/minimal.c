/* The contract of godwit/backend.h in one file of C: one device in the host's memory, the op `add`, everything else refused.
 *
 *     cc -shared -fPIC -I PREFIX/include minimal.c -o libgodwit_backend_minimal.so
 */
#include <godwit/backend.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The handles are ours to define. Work is done when the call that gives it returns, so a queue and an event hold nothing. */
struct godwit_device {
  void (*progress)(void* context, int32_t op);
  void* context;
};
struct godwit_buffer {
  char* memory;
  int64_t bytes;
  int owned;
};
struct godwit_queue {
  godwit_device* device;
};
struct godwit_event {
  int unused;
};
typedef struct add_op {
  int32_t a, b, y;
  int64_t count;
  int integers;
} add_op;
struct godwit_prepared {
  int32_t op_count, refresh_count;
  add_op* ops;
  godwit_tensor* tensors; /* roles and offsets; names are the caller's and not kept */
};

static const char* const profiles[] = {"exact/1", NULL};

static godwit_status fail(godwit_error* error, godwit_status status, const char* what, const char* which) {
  if (error != NULL) {
    error->status = status;
    snprintf(error->message, sizeof error->message, "the minimal backend %s %s", what, which);
  }
  return status;
}

static int32_t device_count(void) { return 1; }
static godwit_status describe(godwit_device* device, godwit_device_info* info, godwit_error* error) {
  (void)device, (void)error;
  snprintf(info->name, sizeof info->name, "an example");
  snprintf(info->driver, sizeof info->driver, "1");
  info->memory_bytes = 0;
  info->profiles = profiles;
  return GODWIT_OK;
}
static godwit_status device_describe(int32_t index, godwit_device_info* info, godwit_error* error) {
  return index == 0 ? describe(NULL, info, error) : fail(error, GODWIT_INVALID, "has one device,", "number 0");
}
static godwit_status open_device(int32_t index, const godwit_option* options, int32_t count, godwit_device** device, godwit_error* error) {
  if (index != 0) return fail(error, GODWIT_INVALID, "has one device,", "number 0");
  for (int32_t i = 0; i < count; ++i) {
    if (strcmp(options[i].name, "isa") == 0 && strcmp(options[i].value, "scalar") != 0)
      return fail(error, GODWIT_INVALID, "has no instruction set", options[i].value);
  }
  *device = calloc(1, sizeof **device);
  return *device != NULL ? GODWIT_OK : fail(error, GODWIT_OUT_OF_MEMORY, "has no memory for", "a device");
}
static void close_device(godwit_device* device) { free(device); }

static godwit_status buffer_over(void* memory, int64_t bytes, int owned, godwit_buffer** buffer, godwit_error* error) {
  *buffer = memory != NULL ? malloc(sizeof **buffer) : NULL;
  if (*buffer == NULL) return fail(error, GODWIT_OUT_OF_MEMORY, "has no memory for", "a buffer");
  **buffer = (godwit_buffer){memory, bytes, owned};
  return GODWIT_OK;
}
static godwit_status buffer_create(godwit_device* device, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  (void)device;
  const size_t whole = ((size_t)bytes / GODWIT_ALIGNMENT + 1) * GODWIT_ALIGNMENT;
  return buffer_over(aligned_alloc(GODWIT_ALIGNMENT, whole), bytes, 1, buffer, error);
}
static godwit_status buffer_wrap(godwit_device* device, void* memory, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  (void)device;
  return buffer_over(memory, bytes, 0, buffer, error);
}
static void* buffer_host(godwit_buffer* buffer) { return buffer->memory; }
static void buffer_destroy(godwit_buffer* buffer) {
  if (buffer->owned) free(buffer->memory);
  free(buffer);
}

static godwit_status queue_create(godwit_device* device, godwit_queue** queue, godwit_error* error) {
  *queue = malloc(sizeof **queue);
  if (*queue == NULL) return fail(error, GODWIT_OUT_OF_MEMORY, "has no memory for", "a queue");
  (*queue)->device = device;
  return GODWIT_OK;
}
static void queue_destroy(godwit_queue* queue) { free(queue); }
static int inside(const godwit_buffer* buffer, int64_t offset, int64_t bytes) {
  return buffer != NULL && offset >= 0 && bytes >= 0 && offset <= buffer->bytes && bytes <= buffer->bytes - offset;
}
static godwit_status write_buffer(godwit_queue* queue, godwit_buffer* buffer, int64_t offset, const void* source, int64_t bytes,
                                  godwit_error* error) {
  (void)queue;
  if (!inside(buffer, offset, bytes)) return fail(error, GODWIT_INVALID, "was given a place outside", "its buffer");
  if (bytes > 0) memcpy(buffer->memory + offset, source, (size_t)bytes);
  return GODWIT_OK;
}
static godwit_status read_buffer(godwit_queue* queue, godwit_buffer* buffer, int64_t offset, void* to, int64_t bytes, godwit_error* error) {
  (void)queue;
  if (!inside(buffer, offset, bytes)) return fail(error, GODWIT_INVALID, "was given a place outside", "its buffer");
  if (bytes > 0) memcpy(to, buffer->memory + offset, (size_t)bytes);
  return GODWIT_OK;
}
static godwit_status event_record(godwit_queue* queue, godwit_event** event, godwit_error* error) {
  (void)queue;
  *event = malloc(sizeof **event);
  return *event != NULL ? GODWIT_OK : fail(error, GODWIT_OUT_OF_MEMORY, "has no memory for", "an event");
}
static godwit_status event_wait(godwit_event* event, int64_t timeout_ms, godwit_error* error) {
  (void)event, (void)timeout_ms, (void)error;
  return GODWIT_OK;
}
static int32_t event_ready(godwit_event* event) { return event != NULL; }
static void event_destroy(godwit_event* event) { free(event); }

static const char* kernel_for(godwit_device* device, const godwit_program* program, int32_t op) {
  (void)device;
  return strcmp(program->ops[op].name, "add") == 0 ? "loop" : NULL;
}
static void prepared_destroy(godwit_prepared* prepared) {
  free(prepared->ops);
  free(prepared->tensors);
  free(prepared);
}
static godwit_status prepare(godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
  if (strcmp(program->profile, profiles[0]) != 0) return fail(error, GODWIT_UNSUPPORTED, "does not execute the profile", program->profile);
  for (int32_t i = 0; i < program->op_count; ++i) {
    if (kernel_for(device, program, i) == NULL) return fail(error, GODWIT_UNSUPPORTED, "has no kernel for the op", program->ops[i].name);
  }
  godwit_prepared* made = calloc(1, sizeof *made);
  if (made == NULL) return fail(error, GODWIT_OUT_OF_MEMORY, "has no memory for", "a program");
  made->op_count = program->op_count;
  made->refresh_count = program->refresh_count;
  made->ops = calloc((size_t)program->op_count + 1, sizeof *made->ops);
  made->tensors = calloc((size_t)program->tensor_count + 1, sizeof *made->tensors);
  if (made->ops == NULL || made->tensors == NULL) {
    prepared_destroy(made);
    return fail(error, GODWIT_OUT_OF_MEMORY, "has no memory for", "a program");
  }
  memcpy(made->tensors, program->tensors, (size_t)program->tensor_count * sizeof *made->tensors);
  for (int32_t i = 0; i < program->op_count; ++i) {
    const godwit_op* op = &program->ops[i];
    const godwit_tensor* y = &program->tensors[op->outputs[0]];
    made->ops[i] = (add_op){op->inputs[0], op->inputs[1], op->outputs[0], 1, y->dtype == GODWIT_I32};
    for (int32_t axis = 0; axis < y->rank; ++axis) made->ops[i].count *= y->shape[axis];
  }
  *prepared = made;
  return GODWIT_OK;
}
static godwit_status prepared_describe(godwit_prepared* prepared, godwit_prepared_info* info, godwit_error* error) {
  (void)prepared, (void)error;
  info->workspace_bytes = info->private_bytes = 0;
  return GODWIT_OK;
}

static void* address(const godwit_prepared* prepared, int32_t tensor, int64_t bytes, godwit_buffer* arena, godwit_buffer* persistent,
                     const godwit_binding* bindings) {
  const godwit_tensor* t = &prepared->tensors[tensor];
  godwit_buffer* buffer = t->role == GODWIT_TEMPORARY ? arena : t->role == GODWIT_DERIVED ? persistent : bindings[tensor].buffer;
  const int64_t offset = t->role == GODWIT_TEMPORARY || t->role == GODWIT_DERIVED ? t->offset : bindings[tensor].offset;
  return inside(buffer, offset, bytes) ? buffer->memory + offset : NULL;
}

static godwit_status run(godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                         const godwit_binding* bindings, godwit_error* error) {
  const int32_t begin = part == GODWIT_PART_REFRESH ? 0 : prepared->refresh_count;
  const int32_t end = part == GODWIT_PART_REFRESH ? prepared->refresh_count : prepared->op_count;
  for (int32_t i = begin; i < end; ++i) {
    const add_op* op = &prepared->ops[i];
    if (queue->device->progress != NULL) queue->device->progress(queue->device->context, i);
    const void* a = address(prepared, op->a, 4 * op->count, arena, persistent, bindings);
    const void* b = address(prepared, op->b, 4 * op->count, arena, persistent, bindings);
    void* y = address(prepared, op->y, 4 * op->count, arena, persistent, bindings);
    if (a == NULL || b == NULL || y == NULL) return fail(error, GODWIT_INVALID, "was given a tensor that is not bound to", "memory of its size");
    if (op->integers) { /* which wrap */
      for (int64_t k = 0; k < op->count; ++k) ((uint32_t*)y)[k] = ((const uint32_t*)a)[k] + ((const uint32_t*)b)[k];
    } else {
      for (int64_t k = 0; k < op->count; ++k) ((float*)y)[k] = ((const float*)a)[k] + ((const float*)b)[k];
    }
  }
  return GODWIT_OK;
}
static godwit_status abort_device(godwit_device* device, godwit_error* error) {
  (void)device;
  return fail(error, GODWIT_UNSUPPORTED, "cannot give up", "its work");
}
static void watch(godwit_device* device, void (*progress)(void* context, int32_t op), void* context) {
  device->progress = progress;
  device->context = context;
}

const godwit_backend* godwit_backend_entry(void) {
  static const godwit_backend table = {
      .struct_size = sizeof(godwit_backend),
      .major = GODWIT_BACKEND_MAJOR,
      .minor = GODWIT_BACKEND_MINOR,
      .name = "minimal",
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
      .watch = watch,
  };
  return &table;
}
