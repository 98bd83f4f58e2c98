// Time, for people and for measuring. Nothing that reaches state reads a clock.
#pragma once

#include <cstdint>
#include <string>

namespace godwit {

// Seconds since some fixed moment; never jumps.
double monotonic_seconds();

// Seconds since 1970, as answers to clients tell them.
std::int64_t unix_time();

// "2031-05-07 14:02:10", local; of a unix_time().
std::string local_time_text(std::int64_t at = unix_time());

}  // namespace godwit
