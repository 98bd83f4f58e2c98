/* The minimal example as a device with memory of its own: it does not work in the host's, and the host cannot address its. */
#include <godwit/backend.h>

#define godwit_backend_entry minimal_entry
#include "../../examples/backend-minimal/minimal.c"
#undef godwit_backend_entry

static godwit_status no_wrap(godwit_device* device, void* memory, int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
  (void)device, (void)memory, (void)bytes, (void)buffer;
  return fail(error, GODWIT_UNSUPPORTED, "does not work in", "the host's memory");
}
static void* no_host(godwit_buffer* buffer) {
  (void)buffer;
  return NULL;
}

const godwit_backend* godwit_backend_entry(void) {
  static godwit_backend table;
  table = *minimal_entry();
  table.name = "apart";
  table.buffer_wrap = no_wrap;
  table.buffer_host = no_host;
  return &table;
}
