#include "base/clock.h"

#include <fmt/chrono.h>

#include <chrono>
#include <ctime>

namespace godwit {

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string local_time_text() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", local);
}

std::int64_t unix_time() {
  return std::time(nullptr);
}

}  // namespace godwit
