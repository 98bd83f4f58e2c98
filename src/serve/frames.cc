#include "serve/frames.h"

#include <cstdint>

namespace godwit::serve {

namespace {

constexpr std::size_t header_bytes = 4;

}  // namespace

std::string frame(std::string_view content) {
  CHECK(content.size() <= frame_bytes_max, "a frame of {} bytes", content.size());
  std::string bytes;
  bytes.reserve(header_bytes + content.size());
  for (std::size_t i = 0; i < header_bytes; ++i) bytes += static_cast<char>(content.size() >> (8 * i) & 0xff);
  bytes += content;
  return bytes;
}

Result<std::optional<std::string>> FrameReader::next() {
  const std::string_view rest = std::string_view(held_).substr(begin_);
  std::size_t size = 0;
  if (rest.size() >= header_bytes) {
    for (std::size_t i = 0; i < header_bytes; ++i) size |= std::size_t{static_cast<unsigned char>(rest[i])} << (8 * i);
    if (size > frame_bytes_max) return world_error("a frame of {} bytes; at most {} are taken", size, frame_bytes_max);
  }
  if (rest.size() < header_bytes || rest.size() - header_bytes < size) {
    held_.erase(0, begin_);
    begin_ = 0;
    return std::optional<std::string>();
  }
  begin_ += header_bytes + size;
  return std::optional(std::string(rest.substr(header_bytes, size)));
}

}  // namespace godwit::serve
