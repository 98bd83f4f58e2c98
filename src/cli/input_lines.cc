#include "cli/input_lines.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/common.h"

namespace godwit::cli {

Result<std::optional<std::string>> InputLines::next() {
  std::size_t searched = begin_;
  for (;;) {
    const std::size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos || (ended_ && begin_ < buffer_.size())) {
      const std::size_t stop = std::min(end, buffer_.size());
      std::optional<std::string> line = buffer_.substr(begin_, stop - begin_);
      begin_ = std::min(stop + 1, buffer_.size());
      ++number_;
      return line;
    }
    if (ended_) return std::optional<std::string>();
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched = buffer_.size();
    TRY(flush_output());
    constexpr std::size_t piece_bytes = 1 << 16;
    buffer_.resize(searched + piece_bytes);
    ssize_t count = 0;
    do {
      count = ::read(descriptor_, buffer_.data() + searched, piece_bytes);
    } while (count < 0 && errno == EINTR);
    buffer_.resize(searched + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count < 0) return world_error("standard input cannot be read: {}", std::strerror(errno));
    ended_ = count == 0;
  }
}

}  // namespace godwit::cli
