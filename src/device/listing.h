// What `godwit devices` shows: every backend's devices and how many of the ops it has, asked for in a process of its own each, so that a
// library that crashes or hangs is a line in the list, which names the function it was in.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "device/backends.h"
#include "device/coverage.h"

namespace godwit::device {

struct ListedDevice {
  int number = 0;
  std::string name;
  std::string driver;
  std::int64_t memory_bytes = 0;
  std::vector<std::string> profiles;
};

struct ListedBackend {
  BackendPlace place;
  std::string version;  // of godwit/backend.h, "1.2"; empty where it could not be loaded
  std::vector<ListedDevice> devices;
  std::vector<OpCoverage> ops;  // of its first device; empty where that could not be opened
  std::string error;            // why there is nothing, or not all; empty: nothing is wrong
};

// How a library is asked. `confine` is called in the process it is asked in, before it is loaded.
struct Asking {
  int patience_ms = 20'000;  // how long one backend may take
  std::function<void()> confine = [] {};
};

// Forks: to be called while the process has one thread.
[[nodiscard]] std::vector<ListedBackend> list_devices(const Asking& how = {});
[[nodiscard]] ListedBackend list_devices_of(const BackendPlace& place, const Asking& how = {});
// The same, but for the ops, inside this process, which loads the library: for those who compute with it.
[[nodiscard]] ListedBackend list_devices_here(const BackendPlace& place);

}  // namespace godwit::device
