// A bug of ours: CHECK prints what was wrong and aborts, also in release. Never for the user's input or the world's failures.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace godwit {

[[noreturn]] inline void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::fputs(fmt::format("{}:{}: CHECK({}) failed: {}\n", file, line, condition, message).c_str(), stderr);
  std::abort();
}

}  // namespace godwit

#define CHECK(condition, ...)                                                                           \
  do {                                                                                                  \
    if (!(condition)) ::godwit::check_failed(__FILE__, __LINE__, #condition, fmt::format(__VA_ARGS__)); \
  } while (false)
