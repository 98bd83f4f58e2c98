/* A backend that misbehaves in the way HOSTILE says: "CALL HARM [AFTER]", in CALL and every later one once it was called AFTER times (0).
 * Otherwise it is the minimal example. A harm that goes with one call alone does nothing in others. */
#define _GNU_SOURCE
#include <godwit/backend.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define godwit_backend_entry minimal_entry
#include "../../examples/backend-minimal/minimal.c"
#undef godwit_backend_entry

static char hostile_call[64], hostile_harm[64];
static int hostile_after;

/* Whether the harm of that name is due in this call. */
static int due(const char* call, const char* harm) {
  return strcmp(call, hostile_call) == 0 && strcmp(harm, hostile_harm) == 0 && hostile_after <= 0;
}

static volatile int* volatile nowhere = NULL;

static void misbehave(const char* call) {
  if (strcmp(call, hostile_call) != 0) return;
  if (hostile_after > 0) {
    --hostile_after;
    return;
  }
  if (due(call, "crash")) *nowhere = 1;
  if (due(call, "abort")) abort();
  while (due(call, "hang")) pause();
  while (due(call, "spin")) {
  }
  if (due(call, "exit")) exit(0);
  if (due(call, "fork_stays") && fork() == 0) {
    for (;;) pause();
  }
  if (due(call, "fork_returns")) (void)!fork();
  if (due(call, "socket")) socket(AF_INET, SOCK_STREAM, 0);
  if (due(call, "terminate")) raise(SIGTERM);
  if (due(call, "kill_parent")) {
    kill(getppid(), SIGKILL);
    *nowhere = 1; /* if it lives, it is told who tried */
  }
  for (int i = 0; due(call, "close") && i < 1024; ++i) close(i);
}

__attribute__((constructor)) static void loaded(void) {
  const char* wanted = getenv("HOSTILE");
  if (wanted != NULL) (void)sscanf(wanted, "%63s %63s %d", hostile_call, hostile_harm, &hostile_after);
  misbehave("load");
}

static const godwit_backend* base;

#define STATUS(name, parameters, arguments)               \
  static godwit_status hostile_##name parameters {        \
    misbehave(#name);                                     \
    if (due(#name, "status")) return (godwit_status)4711; \
    return base->name arguments;                          \
  }
/* The same of a call that makes something. */
#define MAKES(name, parameters, arguments, made)   \
  static godwit_status hostile_##name parameters { \
    misbehave(#name);                              \
    if (due(#name, "garbage")) {                   \
      *made = NULL;                                \
      return GODWIT_OK;                            \
    }                                              \
    return base->name arguments;                   \
  }
#define NOTHING(name, parameters, arguments) \
  static void hostile_##name parameters {    \
    misbehave(#name);                        \
    base->name arguments;                    \
  }

static void spoil_info(godwit_device_info* info) {
  memset(info->name, 'x', sizeof info->name);
  memset(info->driver, 'x', sizeof info->driver);
  info->memory_bytes = -1;
  info->profiles = (const char* const*)24;
}

static int32_t hostile_device_count(void) {
  misbehave("device_count");
  return due("device_count", "garbage") ? 1 << 30 : 1;
}
static godwit_status hostile_device_describe(int32_t index, godwit_device_info* info, godwit_error* error) {
  misbehave("device_describe");
  const godwit_status status = base->device_describe(index, info, error);
  if (due("device_describe", "garbage")) spoil_info(info);
  return status;
}
static godwit_status hostile_describe(godwit_device* device, godwit_device_info* info, godwit_error* error) {
  misbehave("describe");
  const godwit_status status = base->describe(device, info, error);
  if (due("describe", "garbage")) spoil_info(info);
  return status;
}
static godwit_status hostile_open(int32_t index, const godwit_option* options, int32_t count, godwit_device** device, godwit_error* error) {
  misbehave("open");
  if (due("open", "message")) {
    memset(error->message, 'x', sizeof error->message);
    return GODWIT_FAILED;
  }
  if (due("open", "garbage")) return GODWIT_OK;
  return base->open(index, options, count, device, error);
}
static void* hostile_buffer_host(godwit_buffer* buffer) {
  misbehave("buffer_host");
  return due("buffer_host", "garbage") ? (void*)32 : base->buffer_host(buffer);
}
static const char* hostile_kernel_for(godwit_device* device, const godwit_program* program, int32_t op) {
  misbehave("kernel_for");
  return due("kernel_for", "garbage") ? (const char*)16 : base->kernel_for(device, program, op);
}
static godwit_status hostile_prepared_describe(godwit_prepared* prepared, godwit_prepared_info* info, godwit_error* error) {
  misbehave("prepared_describe");
  const godwit_status status = base->prepared_describe(prepared, info, error);
  if (due("prepared_describe", "garbage")) info->private_bytes = info->workspace_bytes = -4096;
  return status;
}
static godwit_status hostile_run(godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena,
                                 godwit_buffer* persistent, const godwit_binding* bindings, godwit_error* error) {
  misbehave("run");
  if (due("run", "write_behind") && arena != NULL) arena->memory[arena->bytes] ^= 1;
  if (due("run", "write_before") && arena != NULL) arena->memory[-1] ^= 1;
  if (due("run", "status")) return (godwit_status)4711;
  return base->run(queue, prepared, part, arena, persistent, bindings, error);
}
static godwit_status hostile_findings(godwit_device* device, godwit_finding* findings, int32_t capacity, int64_t* count,
                                      godwit_error* error) {
  (void)device, (void)findings, (void)capacity, (void)error;
  misbehave("findings");
  *count = due("findings", "garbage") ? INT64_MIN : 0;
  return GODWIT_OK;
}
static int64_t hostile_checked(godwit_device* device) {
  (void)device;
  misbehave("checked");
  return due("checked", "garbage") ? INT64_MIN : 0;
}
NOTHING(close, (godwit_device * device), (device))
MAKES(buffer_create, (godwit_device * device, int64_t bytes, godwit_buffer** buffer, godwit_error* error), (device, bytes, buffer, error),
      buffer)
MAKES(buffer_wrap, (godwit_device * device, void* memory, int64_t bytes, godwit_buffer** buffer, godwit_error* error),
      (device, memory, bytes, buffer, error), buffer)
NOTHING(buffer_destroy, (godwit_buffer * buffer), (buffer))
MAKES(queue_create, (godwit_device * device, godwit_queue** queue, godwit_error* error), (device, queue, error), queue)
NOTHING(queue_destroy, (godwit_queue * queue), (queue))
STATUS(write, (godwit_queue * queue, godwit_buffer* buffer, int64_t offset, const void* source, int64_t bytes, godwit_error* error),
       (queue, buffer, offset, source, bytes, error))
STATUS(read, (godwit_queue * queue, godwit_buffer* buffer, int64_t offset, void* to, int64_t bytes, godwit_error* error),
       (queue, buffer, offset, to, bytes, error))
MAKES(event_record, (godwit_queue * queue, godwit_event** event, godwit_error* error), (queue, event, error), event)
STATUS(event_wait, (godwit_event * event, int64_t timeout_ms, godwit_error* error), (event, timeout_ms, error))
NOTHING(event_destroy, (godwit_event * event), (event))
MAKES(prepare, (godwit_device * device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error),
      (device, program, prepared, error), prepared)
NOTHING(prepared_destroy, (godwit_prepared * prepared), (prepared))
NOTHING(watch, (godwit_device * device, void (*progress)(void* context, int32_t op), void* context), (device, progress, context))

const godwit_backend* godwit_backend_entry(void) {
  static godwit_backend table;
  base = minimal_entry();
  table = *base;
  table.name = "hostile";
  table.device_count = hostile_device_count;
  table.device_describe = hostile_device_describe;
  table.open = hostile_open;
  table.close = hostile_close;
  table.describe = hostile_describe;
  table.buffer_create = hostile_buffer_create;
  table.buffer_wrap = hostile_buffer_wrap;
  table.buffer_host = hostile_buffer_host;
  table.buffer_destroy = hostile_buffer_destroy;
  table.queue_create = hostile_queue_create;
  table.queue_destroy = hostile_queue_destroy;
  table.write = hostile_write;
  table.read = hostile_read;
  table.event_record = hostile_event_record;
  table.event_wait = hostile_event_wait;
  table.event_destroy = hostile_event_destroy;
  table.kernel_for = hostile_kernel_for;
  table.prepare = hostile_prepare;
  table.prepared_describe = hostile_prepared_describe;
  table.prepared_destroy = hostile_prepared_destroy;
  table.run = hostile_run;
  table.findings = hostile_findings;
  table.checked = hostile_checked;
  table.watch = hostile_watch;
  return &table;
}
