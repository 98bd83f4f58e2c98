// Calls into a backend's library, each marked while it lasts: whoever watches this process from outside sees which function it was in when
// it died or hung (guard/pulse.h).
//
// One thread of a process calls; a mark says nothing of calls that other threads make (abort, event_wait).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "godwit/backend.h"

namespace godwit::device {

// Marks are made there from now on, in memory that others read, by this process alone. A library that forked inside a call must not return
// twice: its child ends here. Where `descriptor` is no longer open behind a call, the library has closed what was not its own: the process
// ends, with the call still marked.
void watch_calls(std::atomic<std::uint32_t>& mark, int descriptor);
// The function a mark stands for, and what is known of it: "prepare", "load" (the library itself, before it is asked for its table), "run,
// which closed descriptors that are not its own"; empty: none. Any number may come here: the library may have written it.
[[nodiscard]] std::string call_text(std::uint32_t mark);

class InCall {
 public:
  static constexpr std::uint32_t load = 1;

  explicit InCall(std::uint32_t mark);
  ~InCall();
  InCall(const InCall&) = delete;
  InCall& operator=(const InCall&) = delete;
  // A function of a backend's table is marked by where its member lies in the table.
  template <typename Function>
  [[nodiscard]] static std::uint32_t mark_of(const godwit_backend& table, Function godwit_backend::*member) {
    const auto* begin = reinterpret_cast<const char*>(&table);
    return static_cast<std::uint32_t>(reinterpret_cast<const char*>(&(table.*member)) - begin);
  }

 private:
  std::uint32_t before_;
};

// A string of fixed size as a library left it, perhaps without its end.
template <std::size_t size>
[[nodiscard]] std::string text_of(const char (&characters)[size]) {
  const std::string_view all(characters, size);
  return std::string(all.substr(0, all.find('\0')));
}

// An error without a word is given some: which call it was, and what it answered.
void explain(std::uint32_t mark, godwit_status status, godwit_error& error);

// Whatever a library left in what it was given to fill is read to its end and no further.
template <typename Result, typename Argument>
void look_over(std::uint32_t mark, Result result, Argument argument) {
  if constexpr (std::is_same_v<Argument, godwit_error*> && std::is_same_v<Result, godwit_status>) {
    if (argument != nullptr && result != GODWIT_OK) explain(mark, result, *argument);
  }
  if constexpr (std::is_same_v<Argument, godwit_device_info*>) {
    argument->name[sizeof argument->name - 1] = argument->driver[sizeof argument->driver - 1] = '\0';
  }
}

template <typename Function, typename... Arguments>
auto call(const godwit_backend& table, Function godwit_backend::*member, Arguments... arguments) {
  const InCall in(InCall::mark_of(table, member));
  if constexpr (std::is_void_v<decltype((table.*member)(arguments...))>) {
    (table.*member)(arguments...);
  } else {
    const auto result = (table.*member)(arguments...);
    (look_over(InCall::mark_of(table, member), result, arguments), ...);
    return result;
  }
}

}  // namespace godwit::device
