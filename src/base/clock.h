// Time, for people and for measuring. Nothing that reaches state reads a clock.
#pragma once

#include <cstdint>
#include <string>

namespace godwit {

// Seconds since some fixed moment; never jumps.
double monotonic_seconds();

// "2031-05-07 14:02:10", local.
std::string local_time_text();

// Seconds since 1970, as answers to clients tell them.
std::int64_t unix_time();

}  // namespace godwit
