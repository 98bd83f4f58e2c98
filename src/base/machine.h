// What this process may use: a container's share of the machine, not the machine's own figures.
#pragma once

#include <cstdint>
#include <filesystem>

namespace godwit {

struct Machine {
  int cores = 1;                       // may run on at once: affinity and the cgroup's quota, rounded down, at least 1
  std::uint64_t memory_bytes = 0;      // limit: the cgroup's (v1 or v2, the tightest on the way up) or the machine's
  std::uint64_t memory_available = 0;  // of those, what can still be had now (caches that can be dropped count as available)
};

// Reads the system's files anew on every call. What cannot be read counts as no limit.
Machine machine();
// The same with `root` in place of "/" and the number of cores the affinity allows, for tests.
Machine read_machine(const std::filesystem::path& root, int affinity_cores);

// The most memory this process has held at once, in bytes; 0 if the system does not say.
std::uint64_t peak_resident_bytes();

}  // namespace godwit
