#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>
#include <mutex>

namespace godwit {
namespace {

struct Log {
  Log() { terminal.set_pattern("%v"); }
  std::mutex mutex;
  spdlog::sinks::stderr_sink_mt terminal;
  std::unique_ptr<spdlog::sinks::basic_file_sink_mt> file;
};

// Never destroyed: threads may log until the process is gone.
Log& the_log() {
  static Log* log = new Log;
  return *log;
}

}  // namespace

void log_line(LogLevel level, std::string_view text) {
  static constexpr spdlog::level::level_enum levels[] = {spdlog::level::info, spdlog::level::warn, spdlog::level::err};
  static constexpr std::string_view prefixes[] = {"", "warning: ", "error: "};
  const auto index = static_cast<std::size_t>(level);
  const std::string line = fmt::format("{}{}", prefixes[index], text);
  const spdlog::details::log_msg message("", levels[index], line);
  Log& log = the_log();
  const std::scoped_lock lock(log.mutex);
  try {
    if (log.terminal.should_log(levels[index])) log.terminal.log(message);
    if (log.file) {
      log.file->log(message);
      log.file->flush();
    }
  } catch (const spdlog::spdlog_ex&) {
    // A full disk must not end the run through its log.
  }
}

void set_log_quiet(bool quiet) {
  the_log().terminal.set_level(quiet ? spdlog::level::err : spdlog::level::trace);
}

Result<void> open_log_file(const std::filesystem::path& path) {
  Log& log = the_log();
  const std::scoped_lock lock(log.mutex);
  try {
    auto file = std::make_unique<spdlog::sinks::basic_file_sink_mt>(path.string());
    file->set_pattern("%Y-%m-%d %H:%M:%S.%e %v");
    log.file = std::move(file);
  } catch (const spdlog::spdlog_ex& failure) {
    return input_error("{}: cannot open the log: {}", path.string(), failure.what());
  }
  return {};
}

void close_log_file() {
  Log& log = the_log();
  const std::scoped_lock lock(log.mutex);
  log.file.reset();
}

}  // namespace godwit
