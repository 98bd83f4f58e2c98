// How the supervisor and one of its processes speak: orders one way, an answer to each the other way. On one machine a pair of sockets; the
// frame is made for links that lose, repeat, delay and spoil.
//
// A frame is a header (what it is, how long, its number, its epoch, a hash over all) and a JSON document. An order has a number of its own;
// its answer carries the same one. Whoever answers keeps its last answer and gives it again when the order comes again: orders may be
// repeated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace godwit::guard {

struct Frame {
  std::uint64_t number = 0;  // of the order
  std::uint64_t epoch = 0;   // of the process that was ordered: one that was given up speaks with an epoch that nobody hears
  Json content;
};

// The bytes of a frame, and back; an error if they are not what was sent.
[[nodiscard]] std::string encode_frame(const Frame& frame);
[[nodiscard]] Result<Frame> decode_frame(std::string_view bytes);

class Link {
 public:
  [[nodiscard]] static Result<std::pair<Link, Link>> create();
  Link() = default;
  Link(Link&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Link& operator=(Link&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Link() { close(); }

  // Never waits for the other side to read; an error if it is gone or has let too much pile up.
  [[nodiscard]] Result<void> send(const std::string& frame);
  // The bytes of one frame. `wait`: until there is one. Nothing: none is there, without `wait`; an error when the other side is gone.
  [[nodiscard]] Result<std::optional<std::string>> receive(bool wait);
  [[nodiscard]] int descriptor() const { return descriptor_; }
  void close();

 private:
  int descriptor_ = -1;
};

}  // namespace godwit::guard
