// A stream of bytes cut into frames: four bytes of length, little-endian, then so many bytes.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace godwit::serve {

// Beyond any request: the largest body the server takes, and what it may become as ids.
inline constexpr std::size_t frame_bytes_max = std::size_t{64} << 20;

[[nodiscard]] std::string frame(std::string_view content);

// Takes pieces as they come and gives whole frames. After an error it is of no more use.
class FrameReader {
 public:
  void push(std::string_view bytes) { held_.append(bytes); }
  // Nothing: the next frame is not whole yet. An error: it would be too long, so the other side is not what it should be.
  [[nodiscard]] Result<std::optional<std::string>> next();

 private:
  std::string held_;
  std::size_t begin_ = 0;
};

}  // namespace godwit::serve
