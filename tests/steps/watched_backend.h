// A backend that stands in front of another one and watches: it keeps a record of every call, does work as late as the contract allows
// (in event_wait), and notices every access of the host to a device's memory, also through a pointer kept from before.
//
// Buffers are mapped twice. The backend behind computes through one mapping; the host gets the other, which is closed while the record is
// kept: an access faults, is noted, and goes through. One at a time in a process (the contract's functions carry no context), one thread.
#pragma once

#include <string>
#include <vector>

#include "godwit/backend.h"

namespace godwit::steps {

// Entries, in the order of what happened; buffers are numbered as they were made:
//   "create buffer 3: 4096 bytes"   "prepare training"          "write buffer 3 at 512: 64 bytes"   "read buffer 3 at 512: 64 bytes"
//   "run training main"             "run training refresh"      "done"                              "address of buffer 3"
//   "the host touches buffer 3"
// "done" is an event reached: the work given before it was done between the entry before and this one.
using Record = std::vector<std::string>;

class WatchedBackend {
 public:
  explicit WatchedBackend(const godwit_backend& behind);
  ~WatchedBackend();
  WatchedBackend(const WatchedBackend&) = delete;
  WatchedBackend& operator=(const WatchedBackend&) = delete;

  [[nodiscard]] const godwit_backend& table() const;
  // Keeps a record from here on, with all memory closed to the host.
  void watch();
  // Opens the memory again and gives the record since `watch`.
  [[nodiscard]] Record stop();
};

}  // namespace godwit::steps
