// godwit serve: the process that holds the sockets, from its first line to its last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "serve/http_server.h"
#include "serve/preparation.h"

namespace godwit::serve {

struct ServeOptions {
  HttpOptions http;
  std::filesystem::path api_key_file;  // empty: nobody needs a key
  std::vector<std::string> cors_origins;
  std::int64_t streams = 32;
  std::int64_t max_queue = 256;
  std::int64_t stop_s = 30;                   // what is under way at a stop may take that long
  std::vector<std::string> engine_arguments;  // of this program: what its engine's process is begun with
  std::function<void(const std::string& address)> listening;
  std::function<void(const std::string& address)> ready;
};

// Listens, starts the engine, serves until SIGTERM or SIGINT, then lets what is under way finish. An error when it cannot listen or the
// engine cannot be had.
[[nodiscard]] Result<void> serve(const ServedModel& model, const ServeOptions& options);

}  // namespace godwit::serve
