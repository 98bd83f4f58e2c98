// A program of the user's that a trusted process starts, feeds and reads. It is not believed, and held to limits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace godwit::guard {

struct CommandLimits {
  double seconds = 60;
  std::int64_t memory_bytes = 0;  // of address space, for each of its processes; 0: no limit
  std::size_t output_bytes = 1 << 20;
};

struct CommandOutcome {
  std::string output;   // all it wrote on standard output, up to the limit
  std::string trouble;  // why it is not done ("ended with exit code 1: No module named scorer"); empty: it ended by itself with exit code 0
  std::vector<std::string> unconfined;  // what the kernel did not give to confine it
};

// Runs `command` (an executable and its arguments) on `input` until it ends, or is ended with all the processes it made: at a limit, or with the
// calling process. It has no network, and cannot gain privileges; files it may use as the user may. `beat` is called about every 20 ms.
// Call it from one thread at a time; the caller may have others.
[[nodiscard]] Result<CommandOutcome> run_command(const std::vector<std::string>& command, std::string_view input, const CommandLimits& limits,
                                                 const std::function<void()>& beat);

// The executable that a command's first word names, by PATH where it has no slash; empty if there is none.
[[nodiscard]] std::filesystem::path find_executable(const std::string& name);

}  // namespace godwit::guard
