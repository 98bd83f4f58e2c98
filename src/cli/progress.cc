#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/clock.h"

namespace godwit::cli {
namespace {

constexpr double bar_seconds = 0.1;
constexpr int bar_cells = 24;
constexpr int width_otherwise = 80;  // where a terminal does not say

bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

}  // namespace

ProgressOutput ProgressOutput::standard_error() {
  return {.write =
              [](std::string_view text) {
                std::fwrite(text.data(), 1, text.size(), stderr);
                std::fflush(stderr);
              },
          .seconds = monotonic_seconds,
          .terminal_width = []() -> int {
            if (::isatty(STDERR_FILENO) == 0) return 0;
            const char* kind = std::getenv("TERM");
            if (kind == nullptr || std::string_view(kind) == "dumb") return 0;
            struct winsize size {};
            return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : width_otherwise;
          }};
}

Progress::Progress(bool quiet, double line_seconds, ProgressOutput output)
    : quiet_(quiet), line_seconds_(line_seconds), output_(std::move(output)) {}

Progress::~Progress() {
  clear();
}

void Progress::update(double share, std::string_view text) {
  if (quiet_) return;
  share_ = share;
  text_ = text;
  pending_ = true;
  if (output_.seconds() >= next_) draw();
}

void Progress::draw() {
  const int width = output_.terminal_width();
  if (width > 0) {
    // The cursor goes back to the first column, so that a line of the log starts there. The last column stays free: some terminals wrap.
    output_.write("\r" + bar_text(share_, text_, width - 1) + "\r");
    drawn_ = true;
    next_ = output_.seconds() + bar_seconds;
  } else {
    output_.write(text_ + "\n");
    pending_ = false;
    next_ = output_.seconds() + line_seconds_;
  }
}

void Progress::clear() {
  if (drawn_) output_.write("\r\x1b[K");
  drawn_ = false;
}

void Progress::line(std::string_view text) {
  if (quiet_) return;
  const bool redraw = drawn_;
  clear();
  output_.write(std::string(text) + "\n");
  if (redraw) draw();
}

void Progress::finish() {
  if (quiet_) return;
  clear();
  if (pending_) output_.write(text_ + "\n");
  pending_ = false;
  next_ = 0;
}

std::string bar_text(double share, std::string_view text, int width) {
  const double within = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0.0;
  const int full = static_cast<int>(within * bar_cells);
  const std::string whole =
      fmt::format("[{:#<{}}{:.<{}}] {:3d} %  {}", "", full, "", bar_cells - full, static_cast<int>(within * 100), text);
  std::string out;
  int columns = 0;
  for (const char c : whole) {
    if (begins_character(c) && ++columns > width) break;
    out += c;
  }
  return out + std::string(static_cast<std::size_t>(std::max(0, width - columns)), ' ');
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "--:--";
  const auto whole = static_cast<long>(std::lround(seconds));
  const long hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, rest) : fmt::format("{}:{:02}", minutes, rest);
}

}  // namespace godwit::cli
