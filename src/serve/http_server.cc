#include "serve/http_server.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <unordered_set>

#include "base/clock.h"
#include "serve/api_error.h"

namespace godwit::serve {

namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
namespace http = boost::beast::http;
using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t read_bytes = 16 << 10;
// Where little is expected: a client that is being answered, or asks nothing, says nothing.
constexpr std::size_t quiet_read_bytes = 1 << 10;
// Of requests sent before the one in work is answered; beyond, nothing is read until it is.
constexpr std::size_t pipelined_bytes_max = 64 << 10;
// A body below this is not worth counting against the budget of all.
constexpr std::uint64_t small_body_bytes = 64 << 10;
// The system's own queue of a connection: bounded, so that clients that do not read cost the machine little.
constexpr int system_queue_bytes = 128 << 10;
// How long a connection that was answered and is being closed may still send, so that the answer is not lost with a reset.
constexpr double linger_s = 2;
constexpr double tick_s = 0.25;
constexpr double never = 1e300;

class Connection;

struct State {
  State(Loop& its_loop, const HttpOptions& its_options, Handler its_handler)
      : loop(its_loop), options(its_options), handler(std::move(its_handler)) {}
  Loop& loop;
  HttpOptions options;
  Handler handler;
  HttpFacts facts;
  std::unordered_set<Connection*> connections;
  std::uint64_t bodies_bytes = 0;
  bool draining = false;
};

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](unsigned char x, unsigned char y) { return (x >= 'A' && x <= 'Z' ? x + 32 : x) == y; });
}

std::string to_string(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// One client. What differs between TCP and TLS is in its heirs.
class Connection : public Exchange, public std::enable_shared_from_this<Connection> {
 public:
  explicit Connection(std::shared_ptr<State> state) : server_(std::move(state)) {
    server_->connections.insert(this);
    ++server_->facts.open;
  }
  ~Connection() override {
    release_body();
    server_->connections.erase(this);
    --server_->facts.open;
  }

  void start() {
    deadline_ = monotonic_seconds() + server_->options.header_s;
    handshake();
  }

  // What time alone decides.
  void tick(double now) {
    if (writing_ && now - progress_at_ > server_->options.stall_s) {
      ++server_->facts.slow;
      return leave();
    }
    if (now < deadline_) return;
    if (phase_ != Phase::header && phase_ != Phase::body) return leave();
    ++server_->facts.timed_out;
    refuse(ApiError{408, "the request was not sent in time"});
  }

  void drain() {
    keep_alive_ = false;
    if (phase_ == Phase::waiting) leave();
  }
  [[nodiscard]] bool busy() const { return phase_ == Phase::answering || (phase_ != Phase::closed && waiting() > 0); }

  // ---- Exchange ----

  const HttpRequest& request() const override { return request_; }
  void respond(const HttpResponse& response) override {
    if (phase_ != Phase::answering || ended_) return;
    std::string bytes = head(response);
    bytes += fmt::format("Content-Length: {}\r\n\r\n", response.body.size());
    if (!head_only_) bytes += response.body;
    ended_ = true;
    send(bytes);
  }
  void begin(const HttpResponse& response) override {
    if (phase_ != Phase::answering || ended_) return;
    if (old_version_) keep_alive_ = false;  // HTTP/1.0 knows no chunks: the end of the connection is the end of the answer
    send(head(response) + (old_version_ ? "\r\n" : "Transfer-Encoding: chunked\r\n\r\n"));
  }
  void write(std::string_view bytes) override {
    if (phase_ != Phase::answering || ended_ || bytes.empty()) return;
    if (waiting() + bytes.size() > server_->options.unsent_bytes_max) {
      ++server_->facts.slow;
      return leave();
    }
    if (old_version_) return send(bytes);
    send(fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes));
  }
  void end() override {
    if (phase_ != Phase::answering || ended_) return;
    ended_ = true;
    if (!old_version_) return send("0\r\n\r\n");
    if (!writing_ && unsent_.empty()) answered();
  }
  void on_gone(std::function<void()> task) override {
    if (phase_ == Phase::answering) {
      gone_ = std::move(task);
    } else {
      server_->loop.post(std::move(task));
    }
  }
  std::size_t waiting() const override { return unsent_.size() + sending_.size() - sent_; }

 protected:
  virtual void handshake() = 0;                      // calls shaken
  virtual void read_some(asio::mutable_buffer) = 0;  // calls read_done
  virtual void write_some(asio::const_buffer) = 0;   // calls write_done
  virtual tcp::socket& socket() = 0;

  void shaken(const error_code& error) {
    if (phase_ == Phase::closed) return;
    if (error) return leave();
    wait_for_request();
  }

  void read_done(const error_code& error, std::size_t count) {
    reading_ = false;
    if (phase_ == Phase::closed) return;
    // A client that says it will send no more counts as gone: one that still listens cannot be told from one that left.
    if (error) return leave();
    if (phase_ == Phase::lingering) return read();
    came_.append(space_.data(), count);
    switch (phase_) {
      case Phase::answering:
        if (came_.size() < pipelined_bytes_max) read();
        return;
      default:
        return parse();
    }
  }

  void write_done(const error_code& error, std::size_t count) {
    if (phase_ == Phase::closed) return;
    if (error) return leave();
    progress_at_ = monotonic_seconds();
    sent_ += count;
    if (sent_ < sending_.size()) return write_some(asio::buffer(sending_) + sent_);
    writing_ = false;
    sending_ = std::string();
    sent_ = 0;
    if (!unsent_.empty()) return flush();
    if (ended_) answered();
  }

 private:
  enum class Phase : std::uint8_t { shaking, waiting, header, body, answering, lingering, closed };

  void wait_for_request() {
    phase_ = Phase::waiting;
    // The first request of a connection is due at once: whoever connects and says nothing is in the way.
    deadline_ = monotonic_seconds() + (answered_any_ ? server_->options.idle_s : server_->options.header_s);
    if (!came_.empty()) return parse();
    read();
  }

  void read() {
    if (reading_) return;
    reading_ = true;
    const bool quiet = phase_ == Phase::answering || phase_ == Phase::waiting;
    space_ = std::vector<char>(quiet ? quiet_read_bytes : read_bytes);
    read_some(asio::buffer(space_));
  }

  void parse() {
    if (phase_ == Phase::waiting) {
      phase_ = Phase::header;
      deadline_ = monotonic_seconds() + server_->options.header_s;
      header_bytes_ = 0;
      parser_.emplace();
      parser_->header_limit(server_->options.header_bytes_max);
      parser_->body_limit(server_->options.body_bytes_max);
    }
    while (true) {
      error_code error;
      const std::size_t used = parser_->put(asio::buffer(came_), error);
      came_.erase(0, used);
      const bool more_wanted = error == http::error::need_more;
      if (error && !more_wanted) return malformed(error);
      // The parser's own limit is of what it is given at once; headers may come in many pieces.
      if (phase_ == Phase::header && (header_bytes_ += used) > server_->options.header_bytes_max)
        return malformed(http::error::header_limit);
      if (phase_ == Phase::header && parser_->is_header_done()) {
        if (const auto fault = header_fault()) return refuse(*fault);
        begin_body();
      }
      if (parser_->is_done()) return hand_over();
      if (more_wanted || came_.empty()) {
        if (came_.size() > server_->options.header_bytes_max) return malformed(http::error::header_limit);
        return read();
      }
    }
  }

  // What the parser lets pass and this server does not.
  std::optional<ApiError> header_fault() {
    const auto& message = parser_->get();
    if (message.version() != 10 && message.version() != 11) return ApiError{400, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
    if (message.count(http::field::content_length) + message.count(http::field::transfer_encoding) > 1) {
      return ApiError{400, "the request's length is given more than once"};
    }
    if (message.count(http::field::transfer_encoding) == 1 && !same_word(to_string(message[http::field::transfer_encoding]), "chunked")) {
      return ApiError{400, "the only Transfer-Encoding that is read here is chunked"};
    }
    if (message.version() == 11 && message.count(http::field::host) != 1) return ApiError{400, "a request has one Host header"};
    if (message.count(http::field::content_encoding) != 0) return ApiError{415, "bodies are read without Content-Encoding"};
    const std::uint64_t bytes = parser_->chunked() ? server_->options.body_bytes_max : parser_->content_length().value_or(0);
    if (bytes > small_body_bytes) {
      if (server_->bodies_bytes + bytes > server_->options.bodies_bytes_max) {
        return ApiError{503, "too many large requests are being read; try again", "", "", 1};
      }
      body_bytes_ = bytes;
      server_->bodies_bytes += bytes;
    }
    return std::nullopt;
  }

  void begin_body() {
    phase_ = Phase::body;
    deadline_ = monotonic_seconds() + server_->options.body_s;
    parser_->eager(true);
    if (!parser_->is_done() && same_word(to_string(parser_->get()[http::field::expect]), "100-continue")) {
      send("HTTP/1.1 100 Continue\r\n\r\n");
    }
  }

  void release_body() {
    server_->bodies_bytes -= body_bytes_;
    body_bytes_ = 0;
  }

  void hand_over() {
    auto message = parser_->release();
    parser_.reset();
    release_body();
    request_ = {};
    request_.method = to_string(message.method_string());
    const std::string target = to_string(message.target());
    const std::size_t question = target.find('?');
    request_.path = target.substr(0, question);
    if (question != std::string::npos) request_.query = target.substr(question + 1);
    request_.content_type = to_string(message[http::field::content_type]);
    request_.authorization = to_string(message[http::field::authorization]);
    request_.origin = to_string(message[http::field::origin]);
    request_.if_none_match = to_string(message[http::field::if_none_match]);
    request_.body = std::move(message.body());
    keep_alive_ = message.keep_alive() && !server_->draining;
    begin_answer(message.version() == 10, message.method() == http::verb::head);
    read();
    server_->handler(shared_from_this());
    request_.body = std::string();  // whoever needs it longer has taken it
  }

  void begin_answer(bool old_version, bool head_only) {
    phase_ = Phase::answering;
    deadline_ = never;
    old_version_ = old_version;
    head_only_ = head_only;
    ended_ = false;
  }

  void malformed(const error_code& error) {
    ++server_->facts.malformed;
    if (error == http::error::body_limit) {
      return refuse(
          ApiError{413, fmt::format("the body is larger than {} bytes", server_->options.body_bytes_max), "", "request_too_large"});
    }
    if (error == http::error::header_limit) {
      return refuse(ApiError{431, fmt::format("the headers are larger than {} bytes", server_->options.header_bytes_max)});
    }
    refuse(ApiError{400, fmt::format("not an HTTP request: {}", error.message())});
  }

  // Answers what is not handed to the handler, and ends the connection.
  void refuse(const ApiError& fault) {
    const bool old = parser_ && parser_->is_header_done() && parser_->get().version() == 10;
    parser_.reset();
    release_body();
    came_.clear();
    keep_alive_ = false;
    begin_answer(old, false);
    HttpResponse response{.status = fault.status, .body = fault.body()};
    if (fault.retry_after_s > 0) response.headers.emplace_back("Retry-After", std::to_string(fault.retry_after_s));
    respond(response);
  }

  std::string head(const HttpResponse& response) const {
    std::string bytes = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nX-Content-Type-Options: nosniff\r\n", response.status,
                                    to_string(http::obsolete_reason(static_cast<http::status>(response.status))), response.content_type);
    for (const auto& [name, value] : response.headers) bytes += fmt::format("{}: {}\r\n", name, value);
    if (!keep_alive_) {
      bytes += "Connection: close\r\n";
    } else if (old_version_) {
      bytes += "Connection: keep-alive\r\n";
    }
    return bytes;
  }

  void send(std::string_view bytes) {
    unsent_ += bytes;
    if (!writing_) flush();
  }

  void flush() {
    sending_ = std::move(unsent_);
    unsent_ = std::string();
    sent_ = 0;
    writing_ = true;
    progress_at_ = monotonic_seconds();
    write_some(asio::buffer(sending_));
  }

  void answered() {
    if (phase_ != Phase::answering) return;  // the 100 of a body that is not there yet
    gone_ = nullptr;
    ended_ = false;
    answered_any_ = true;
    if (keep_alive_ && !server_->draining) return wait_for_request();
    phase_ = Phase::lingering;
    deadline_ = monotonic_seconds() + linger_s;
    error_code ignored;
    socket().shutdown(tcp::socket::shutdown_send, ignored);
    came_ = std::string();
    read();
  }

  void leave() {
    if (phase_ == Phase::closed) return;
    phase_ = Phase::closed;
    error_code ignored;
    socket().close(ignored);
    release_body();
    if (gone_ && !ended_) server_->loop.post(std::exchange(gone_, nullptr));
    gone_ = nullptr;
  }

  std::shared_ptr<State> server_;
  Phase phase_ = Phase::shaking;
  double deadline_ = never;
  std::vector<char> space_;  // what is being read into: nothing else touches it until that is done
  std::string came_;         // read, and not yet parsed
  std::optional<http::request_parser<http::string_body>> parser_;
  std::size_t header_bytes_ = 0;
  std::uint64_t body_bytes_ = 0;
  HttpRequest request_;
  std::function<void()> gone_;
  std::string sending_, unsent_;
  std::size_t sent_ = 0;
  double progress_at_ = 0;
  bool reading_ = false, writing_ = false, ended_ = false;
  bool keep_alive_ = true, old_version_ = false, head_only_ = false, answered_any_ = false;
};

class TcpConnection final : public Connection {
 public:
  TcpConnection(std::shared_ptr<State> state, tcp::socket socket) : Connection(std::move(state)), socket_(std::move(socket)) {}

 private:
  void handshake() override { shaken({}); }
  void read_some(asio::mutable_buffer space) override {
    socket_.async_read_some(space,
                            [self = shared_from_this(), this](const error_code& error, std::size_t count) { read_done(error, count); });
  }
  void write_some(asio::const_buffer bytes) override {
    socket_.async_write_some(bytes,
                             [self = shared_from_this(), this](const error_code& error, std::size_t count) { write_done(error, count); });
  }
  tcp::socket& socket() override { return socket_; }
  tcp::socket socket_;
};

class TlsConnection final : public Connection {
 public:
  TlsConnection(std::shared_ptr<State> state, tcp::socket socket, ssl::context& context)
      : Connection(std::move(state)), stream_(std::move(socket), context) {}

 private:
  void handshake() override {
    stream_.async_handshake(ssl::stream_base::server, [self = shared_from_this(), this](const error_code& error) { shaken(error); });
  }
  void read_some(asio::mutable_buffer space) override {
    stream_.async_read_some(space,
                            [self = shared_from_this(), this](const error_code& error, std::size_t count) { read_done(error, count); });
  }
  void write_some(asio::const_buffer bytes) override {
    stream_.async_write_some(bytes,
                             [self = shared_from_this(), this](const error_code& error, std::size_t count) { write_done(error, count); });
  }
  tcp::socket& socket() override { return stream_.next_layer(); }
  ssl::stream<tcp::socket> stream_;
};

class Server final : public HttpServer {
 public:
  Server(Loop& loop, const HttpOptions& options, Handler handler)
      : state_(std::make_shared<State>(loop, options, std::move(handler))), acceptor_(loop.context()), ticker_(loop), again_(loop) {}

  Result<void> listen() {
    const HttpOptions& options = state_->options;
    if (!options.tls_cert.empty()) TRY(load_certificate());
    error_code error;
    const auto addresses =
        tcp::resolver(state_->loop.context()).resolve(options.host, std::to_string(options.port), tcp::resolver::passive, error);
    if (error) return input_error("--host {}: {}", options.host, error.message());
    for (const auto& address : addresses) {
      if (open(address.endpoint(), error)) break;
    }
    if (error) return input_error("{}:{} cannot be listened on: {}", options.host, options.port, error.message());
    accept();
    tick();
    return {};
  }

  int port() const override { return acceptor_.local_endpoint().port(); }
  const HttpFacts& facts() const override { return state_->facts; }
  void drain() override {
    state_->draining = true;
    error_code ignored;
    acceptor_.close(ignored);
    for (const auto& connection : all()) connection->drain();
  }
  bool quiet() const override {
    return std::none_of(state_->connections.begin(), state_->connections.end(), [](const Connection* each) { return each->busy(); });
  }

 private:
  Result<void> load_certificate() {
    const HttpOptions& options = state_->options;
    tls_.emplace(ssl::context::tls_server);
    tls_->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 | ssl::context::no_sslv3 | ssl::context::no_tlsv1 |
                      ssl::context::no_tlsv1_1);
    error_code error;
    tls_->use_certificate_chain_file(options.tls_cert, error);
    if (error) return input_error("--tls-cert {}: {}", options.tls_cert, error.message());
    tls_->use_private_key_file(options.tls_key, ssl::context::pem, error);
    if (error) return input_error("--tls-key {}: {}", options.tls_key, error.message());
    return {};
  }

  bool open(const tcp::endpoint& endpoint, error_code& error) {
    acceptor_ = tcp::acceptor(state_->loop.context());
    if (acceptor_.open(endpoint.protocol(), error)) return false;
    acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (acceptor_.bind(endpoint, error)) return false;
    return !acceptor_.listen(asio::socket_base::max_listen_connections, error);
  }

  void accept() {
    acceptor_.async_accept([this](const error_code& error, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (error) return again_.start(0.1, [this] { accept(); });  // out of descriptors, perhaps: some will be given back
      take(std::move(socket));
      accept();
    });
  }

  void take(tcp::socket socket) {
    ++state_->facts.accepted;
    if (state_->connections.size() >= state_->options.connections_max) return;  // closes it
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::send_buffer_size(system_queue_bytes), ignored);
    std::shared_ptr<Connection> connection;
    if (tls_) {
      connection = std::make_shared<TlsConnection>(state_, std::move(socket), *tls_);
    } else {
      connection = std::make_shared<TcpConnection>(state_, std::move(socket));
    }
    connection->start();
  }

  std::vector<std::shared_ptr<Connection>> all() const {
    std::vector<std::shared_ptr<Connection>> list;
    for (Connection* each : state_->connections) {
      if (auto connection = each->weak_from_this().lock()) list.push_back(std::move(connection));
    }
    return list;
  }

  void tick() {
    const double now = monotonic_seconds();
    for (const auto& connection : all()) connection->tick(now);
    ticker_.start(tick_s, [this] { tick(); });
  }

  std::shared_ptr<State> state_;
  std::optional<ssl::context> tls_;
  tcp::acceptor acceptor_;
  Timer ticker_, again_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::create(Loop& loop, const HttpOptions& options, Handler handler) {
  // As many descriptors as the system lets this process have: every connection is one.
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  auto server = std::make_unique<Server>(loop, options, std::move(handler));
  TRY(server->listen());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace godwit::serve
