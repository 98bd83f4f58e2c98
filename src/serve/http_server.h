// HTTP/1.1 over TCP or TLS, by one thread: accepts, reads requests within limits of size and time, hands them to a handler, writes what it
// answers. Nothing here blocks, and no client can make another wait.
//
// A connection is closed when: its request is not read within `header_s` of its first byte (the body: `body_s`), it is idle for `idle_s`,
// its client takes nothing for `stall_s` or lets more than `unsent_bytes_max` pile up, what it sends is not HTTP. Requests that two readers
// could cut differently (Content-Length beside Transfer-Encoding, either twice, any coding but chunked) are refused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "serve/http.h"
#include "serve/loop.h"

namespace godwit::serve {

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 0;                   // 0: one that is free
  std::string tls_cert, tls_key;  // PEM files; both or none
  std::size_t connections_max = 16384;
  std::uint32_t header_bytes_max = 32 << 10;
  std::uint64_t body_bytes_max = 8 << 20;
  std::uint64_t bodies_bytes_max = 512 << 20;  // announced by all requests that are being read
  std::size_t unsent_bytes_max = 1 << 20;
  double header_s = 10;
  double body_s = 60;
  double idle_s = 75;
  double stall_s = 30;
};

struct HttpFacts {
  std::uint64_t accepted = 0;
  std::uint64_t open = 0;
  std::uint64_t slow = 0;       // dropped because they did not read
  std::uint64_t timed_out = 0;  // did not send their request in time
  std::uint64_t malformed = 0;
};

class HttpServer {
 public:
  // Listens. Host or port that cannot be had, files that are no certificate and key: an input error.
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> create(Loop& loop, const HttpOptions& options, Handler handler);
  virtual ~HttpServer() = default;
  [[nodiscard]] virtual int port() const = 0;
  [[nodiscard]] virtual const HttpFacts& facts() const = 0;
  // No connection is accepted any more; those that wait for a request are closed, the others after their answer.
  virtual void drain() = 0;
  // No answer is under way and nothing waits to be sent.
  [[nodiscard]] virtual bool quiet() const = 0;
};

}  // namespace godwit::serve
