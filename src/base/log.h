// What a run tells people: lines on standard error and, once opened, in a run's log.txt. Results never go here; they go to standard output.
#pragma once

#include <fmt/core.h>

#include <filesystem>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace godwit {

enum class LogLevel { info, warning, error };

// Writes one line; safe from any thread. Failing to write a log line is not an error.
void log_line(LogLevel level, std::string_view text);

template <typename... Args>
void log_info(fmt::format_string<Args...> text, Args&&... args) {
  log_line(LogLevel::info, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> text, Args&&... args) {
  log_line(LogLevel::warning, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> text, Args&&... args) {
  log_line(LogLevel::error, fmt::format(text, std::forward<Args>(args)...));
}

// Quiet: standard error gets only errors; the file still gets everything.
void set_log_quiet(bool quiet);

// From now on every line is also appended to the file, with date and time; replaces an earlier file.
[[nodiscard]] Result<void> open_log_file(const std::filesystem::path& path);
void close_log_file();

}  // namespace godwit
