// One HTTP request and its answer, as the rest of the server sees them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace godwit::serve {

struct HttpRequest {
  std::string method;
  std::string path;   // as sent, without the query
  std::string query;  // what follows the ?
  std::string content_type, authorization, origin, if_none_match;
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
};

// Answered either whole, by respond(), or in pieces: begin(), write() as often as wanted, end(). All on the loop's thread.
class Exchange {
 public:
  virtual ~Exchange() = default;
  [[nodiscard]] virtual const HttpRequest& request() const = 0;
  virtual void respond(const HttpResponse& response) = 0;
  // The body of `head` is not read.
  virtual void begin(const HttpResponse& head) = 0;
  // Never waits. What the client does not read piles up, to a limit; then the client counts as gone.
  virtual void write(std::string_view bytes) = 0;
  virtual void end() = 0;
  // Called once, if the client goes before the answer has ended; whatever is written then goes nowhere.
  virtual void on_gone(std::function<void()> task) = 0;
  // Bytes written and not yet taken by the system.
  [[nodiscard]] virtual std::size_t waiting() const = 0;
};

using Handler = std::function<void(std::shared_ptr<Exchange>)>;

}  // namespace godwit::serve
