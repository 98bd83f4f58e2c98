// A backend that goes wrong in the one way it was compiled for, for plugins_test.cc.
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "godwit/backend.h"

namespace {

const char* const profiles[] = {"exact/1", nullptr};

int32_t device_count() {
  return 1;
}

godwit_status device_describe(int32_t, godwit_device_info* info, godwit_error*) {
  if (PLUGIN_CRASHES) ::raise(SIGSEGV);
  while (PLUGIN_HANGS) ::pause();
  std::snprintf(info->name, sizeof info->name, "a device of the test");
  std::snprintf(info->driver, sizeof info->driver, "1.0");
  info->memory_bytes = 4096;
  info->profiles = profiles;
  return GODWIT_OK;
}

godwit_status open_nothing(int32_t, const godwit_option*, int32_t, godwit_device**, godwit_error* error) {
  error->status = GODWIT_UNSUPPORTED;
  std::snprintf(error->message, sizeof error->message, "it is for being listed");
  return GODWIT_UNSUPPORTED;
}

}  // namespace

extern "C" const godwit_backend* godwit_backend_entry(void) {
  static godwit_backend table{};
  // What a library built against minor version 0 had: the rest of the memory is not its table.
  table.struct_size = PLUGIN_IS_OLD ? offsetof(godwit_backend, op_time) : sizeof table;
  table.major = PLUGIN_IS_FOREIGN ? GODWIT_BACKEND_MAJOR + 1 : GODWIT_BACKEND_MAJOR;
  table.minor = PLUGIN_IS_OLD ? 0 : GODWIT_BACKEND_MINOR;
  table.name = PLUGIN_NAME;
  table.device_count = device_count;
  table.device_describe = device_describe;
  table.open = open_nothing;
  if (PLUGIN_IS_OLD) std::memset(static_cast<void*>(&table.op_time), 0xDE, sizeof table.op_time);
  return &table;
}
