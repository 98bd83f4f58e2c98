// A process of the run, as the supervisor holds it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"

namespace godwit::guard {

// How a process ended, and whether that says anything about what it was doing.
struct Ending {
  enum class Kind : std::uint8_t {
    left,     // exit(code)
    crashed,  // a signal that its own doing brings: SIGSEGV, SIGABRT …
    killed,   // a signal from outside: SIGKILL, SIGTERM …: no evidence against a device
  };
  Kind kind = Kind::left;
  int code = 0;  // exit code or signal
  [[nodiscard]] std::string text() const;
};

// What a process is seen to do, by the system, not by itself.
struct Look {
  double cpu_s = 0;       // of all its threads
  bool stopped = false;   // by a signal
  bool runnable = false;  // a thread runs, or would if there were a core, or waits for the disk
};

class Child {
 public:
  // Forks. `body` runs in the child, which ends with it: its result is the exit code. The child dies with the process that forked it.
  // Other threads of the caller are not in the child: `body` must not wait for anything they hold.
  [[nodiscard]] static Result<Child> fork(const std::string& name, const std::function<int()>& body);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  // Kills what still lives, and waits for it.
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Readable when the process has ended.
  [[nodiscard]] int descriptor() const { return descriptor_; }
  // Nothing while it lives.
  [[nodiscard]] std::optional<Ending> ending();
  void kill() const;
  void signal(int number) const;
  // False once it has ended.
  [[nodiscard]] bool look(Look& look) const;

 private:
  Child(pid_t pid, int descriptor) : pid_(pid), descriptor_(descriptor) {}
  pid_t pid_ = -1;
  int descriptor_ = -1;
  std::optional<Ending> ending_;
};

}  // namespace godwit::guard
