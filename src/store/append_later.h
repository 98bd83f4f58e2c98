// Lines for a file that only grows, written by a thread of its own: a disk that is slow, full, read-only or broken holds up nobody.
//
// After an error the bytes on disk are unknown, so the thread opens the file again, compares what lies behind the last line known to be
// durable with what it was given, cuts it off and writes it anew (what a failed sync left in memory may look written and never arrive). It
// tries for ever, with growing pauses, and catches up by itself. Lines wait in memory meanwhile.
//
// The thread logs nothing, takes no signals and holds no lock but this object's own, so that another thread may fork at any time; the child
// must not use the object, nor end it (_exit, exec).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/file.h"

namespace godwit::store {

struct Patience {
  std::chrono::milliseconds pause_min{50};  // after the first failure; doubled after each
  std::chrono::milliseconds pause_max{2000};
  std::chrono::milliseconds slow{2000};   // a line that waits that long is worth telling
  std::chrono::milliseconds close{2000};  // the destructor waits so long for the disk, then leaves the lines that are not there
};

// post and replace_last: one thread. Everything else: any.
class AppendLater {
 public:
  // `last_line` is the file's, with its line feed, or empty: it must still be there whenever the file is opened again.
  AppendLater(AppendFile file, std::string last_line, Patience patience = {});
  ~AppendLater();
  AppendLater(const AppendLater&) = delete;
  AppendLater& operator=(const AppendLater&) = delete;

  // A line (one JSON object and a line feed) for the end of the file. Never waits for the disk.
  void post(std::string line);
  // The same in place of the last line, which was posted or is `last_line`.
  void replace_last(std::string line);

  // How many calls of the two there were, and how many of them are durable.
  [[nodiscard]] std::uint64_t posted() const;
  [[nodiscard]] std::uint64_t durable() const;
  // Whether the first `count` are durable; waits for it at most that long, and no longer once it cannot be.
  bool wait_durable(std::uint64_t count, std::chrono::milliseconds timeout) const;

  // Becomes readable when durable() grows, or an error comes or goes; for poll. A call that merely takes long makes no event: ask.
  [[nodiscard]] int descriptor() const;
  void acknowledge();  // not readable any more, until the next change

  // Why the disk is behind, for people; nothing when it is not, or only for a moment.
  [[nodiscard]] std::optional<std::string> trouble() const;
  // Somebody else changed the file: nothing is written any more, and waiting mends nothing.
  [[nodiscard]] std::optional<Error> fatal() const;

 private:
  struct Shared;
  void add(std::string line, bool replaces);
  std::shared_ptr<Shared> shared_;  // with the thread, which may outlive this object inside a call that does not return
  std::thread thread_;
};

}  // namespace godwit::store
