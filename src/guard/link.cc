#include "guard/link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/digest.h"
#include "base/file.h"

namespace godwit::guard {

namespace {

constexpr std::uint32_t magic = 0x31775447;  // "GTw1"
constexpr std::size_t frame_bytes_max = std::size_t{1} << 20;

struct Header {
  std::uint32_t what = magic;
  std::uint32_t bytes = 0;
  std::uint64_t number = 0;
  std::uint64_t epoch = 0;
  std::array<std::byte, 16> hash{};  // of header (this member zero) and content
};

BlockHash hash_of(Header header, std::string_view content) {
  header.hash = {};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes += content;
  std::vector<BlockHash> hashes = hash_blocks(as_bytes(bytes));
  while (hashes.size() != 1) hashes = hash_blocks(std::as_bytes(std::span(hashes)));
  return hashes[0];
}

}  // namespace

std::string encode_frame(const Frame& frame) {
  const std::string content = write_json(frame.content);
  Header header;
  header.bytes = static_cast<std::uint32_t>(content.size());
  header.number = frame.number;
  header.epoch = frame.epoch;
  header.hash = hash_of(header, content).bytes;
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + content;
}

Result<Frame> decode_frame(std::string_view bytes) {
  Header header;
  if (bytes.size() < sizeof header) return world_error("a frame of {} bytes is too short", bytes.size());
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::string_view content = bytes.substr(sizeof header);
  if (header.what != magic || header.bytes != content.size()) return world_error("a frame of {} bytes has a bad header", bytes.size());
  if (hash_of(header, content).bytes != header.hash) return world_error("a frame of {} bytes was changed on its way", bytes.size());
  Frame frame{header.number, header.epoch, {}};
  TRY_ASSIGN(frame.content, parse_json(content, "frame"));
  return frame;
}

Result<std::pair<Link, Link>> Link::create() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return world_error("a pair of sockets: {}", std::strerror(errno));
  Link a, b;
  a.descriptor_ = pair[0];
  b.descriptor_ = pair[1];
  return std::pair(std::move(a), std::move(b));
}

Result<void> Link::send(const std::string& frame) {
  CHECK(frame.size() <= frame_bytes_max, "a frame of {} bytes", frame.size());
  while (::send(descriptor_, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno != EINTR) return world_error("sending a frame of {} bytes: {}", frame.size(), std::strerror(errno));
  }
  return {};
}

Result<std::optional<std::string>> Link::receive(bool wait) {
  static thread_local std::string buffer(frame_bytes_max, '\0');
  while (true) {
    const ssize_t got = ::recv(descriptor_, buffer.data(), buffer.size(), wait ? 0 : MSG_DONTWAIT);
    if (got > 0) return std::optional(buffer.substr(0, static_cast<std::size_t>(got)));
    if (got == 0) return world_error("the other side is gone");
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::optional<std::string>();
    if (errno != EINTR) return world_error("receiving a frame: {}", std::strerror(errno));
  }
}

void Link::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace godwit::guard
