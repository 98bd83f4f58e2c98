#include "base/clock.h"

#include <fmt/chrono.h>

#include <chrono>
#include <ctime>

namespace godwit {

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string local_time_text(std::int64_t at) {
  const std::time_t time = at;
  std::tm local{};
  localtime_r(&time, &local);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", local);
}

std::int64_t unix_time() {
  return std::time(nullptr);
}

}  // namespace godwit
