// The world failed (disk, device, user's input): an error *value* that says what was tried, both values, and what to do.
// A bug of ours is base/check.h instead; a doubtful number is a finding, which only the guard acts on.
#pragma once

#include <fmt/core.h>

#include <optional>
#include <string>
#include <utility>

#include "base/check.h"

namespace godwit {

// What a failure means to the caller; the command line turns it into the exit code.
enum class ErrorKind {
  input,    // the user's input: usage, config, file (exit 2)
  differs,  // checked, and it differs (exit 3)
  stopped,  // stopped on request, resumable by the same command (exit 75)
  world,    // anything else: disk, device, memory (exit 1)
};

struct Error {
  ErrorKind kind = ErrorKind::world;
  std::string message;
};

template <typename... Args>
[[nodiscard]] Error input_error(fmt::format_string<Args...> text, Args&&... args) {
  return Error{ErrorKind::input, fmt::format(text, std::forward<Args>(args)...)};
}

template <typename... Args>
[[nodiscard]] Error world_error(fmt::format_string<Args...> text, Args&&... args) {
  return Error{ErrorKind::world, fmt::format(text, std::forward<Args>(args)...)};
}

template <typename... Args>
[[nodiscard]] Error differs_error(fmt::format_string<Args...> text, Args&&... args) {
  return Error{ErrorKind::differs, fmt::format(text, std::forward<Args>(args)...)};
}

// A value or the error that prevented it. Asking a failed result for its value aborts.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Error error) : error_(std::move(error)) {}

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }

  T& value() & {
    CHECK(ok(), "{}", error_.message);
    return *value_;
  }
  const T& value() const& {
    CHECK(ok(), "{}", error_.message);
    return *value_;
  }
  // By value: `for (x : f().value())` must not look into a result that is gone.
  T value() && {
    CHECK(ok(), "{}", error_.message);
    return *std::move(value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    CHECK(!ok(), "a result that succeeded was asked for its error");
    return error_;
  }
  Error&& error() && {
    CHECK(!ok(), "a result that succeeded was asked for its error");
    return std::move(error_);
  }

 private:
  std::optional<T> value_;
  Error error_;  // only where there is no value
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}

  [[nodiscard]] bool ok() const { return !failed_; }
  explicit operator bool() const { return ok(); }
  void value() const { CHECK(ok(), "{}", error_.message); }
  const Error& error() const& {
    CHECK(failed_, "a result that succeeded was asked for its error");
    return error_;
  }
  Error&& error() && {
    CHECK(failed_, "a result that succeeded was asked for its error");
    return std::move(error_);
  }

 private:
  Error error_;
  bool failed_ = false;
};

}  // namespace godwit

#define GODWIT_CONCAT_(a, b) a##b
#define GODWIT_CONCAT(a, b) GODWIT_CONCAT_(a, b)

// TRY(f()): returns f's error from the enclosing function. TRY_ASSIGN(auto x, f()): the same, else x is the value.
#define TRY(expression)                                         \
  do {                                                          \
    auto try_result = (expression);                             \
    if (!try_result.ok()) return std::move(try_result).error(); \
  } while (false)
#define TRY_ASSIGN_(temporary, declaration, expression)     \
  auto temporary = (expression);                            \
  if (!temporary.ok()) return std::move(temporary).error(); \
  declaration = std::move(temporary).value()
#define TRY_ASSIGN(declaration, expression) TRY_ASSIGN_(GODWIT_CONCAT(try_result_, __LINE__), declaration, expression)
