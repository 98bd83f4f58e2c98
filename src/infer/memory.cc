#include "infer/memory.h"

#include "base/machine.h"

namespace godwit::infer {

Result<void> check_memory(std::string_view what, std::int64_t bytes, std::string_view way_out) {
  const std::uint64_t available = machine().memory_available;
  if (available == 0 || static_cast<std::uint64_t>(bytes) <= available) return {};
  constexpr double mib = 1024.0 * 1024.0;
  return input_error("{}: {:.0f} MiB are needed, {:.0f} MiB of memory are free; {}", what, static_cast<double>(bytes) / mib,
                     static_cast<double>(available) / mib, way_out);
}

}  // namespace godwit::infer
