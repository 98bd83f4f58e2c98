// Memory that processes of a run share: sealed at its size, so that no process can cut it away under the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace godwit::guard {

class SharedMemory {
 public:
  // Zero, and not touched until it is used. `name` is for people who look at a process's maps.
  [[nodiscard]] static Result<SharedMemory> create(const std::string& name, std::int64_t bytes);
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  // Maps it into this process, in place of an earlier mapping, between pages that nobody may touch. What is mapped for reading can never
  // be made writable: the descriptor behind it cannot write.
  [[nodiscard]] Result<std::byte*> map(bool writable);
  // Gives the pages back to the system; what reads them finds zeros.
  void discard();
  // Gives up the descriptors: what this process has not mapped it never will.
  void forget();
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  void unmap();
  int descriptor_ = -1;  // read and write
  int reading_ = -1;     // read
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace godwit::guard
