// What the server answers: routes, keys, admission; and what it owns beside sockets: the engine's process, the requests under way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "serve/answering.h"
#include "serve/engine_process.h"
#include "serve/figures.h"
#include "serve/http.h"
#include "serve/http_server.h"
#include "serve/keys.h"
#include "serve/loop.h"
#include "serve/preparation.h"

namespace godwit::serve {

struct ServiceOptions {
  Keys keys;
  std::vector<std::string> cors_origins;  // pages of these may ask from a browser
  std::int64_t streams = 32;
  std::int64_t max_queue = 256;  // answers that wait, beyond those under way
};

class Service {
 public:
  // `ended` is called when the engine cannot be had at all. `model` and `loop` must outlive it.
  Service(Loop& loop, const ServedModel& model, ServiceOptions options, std::vector<std::string> engine_arguments,
          std::function<void()> ready, std::function<void(const Error&)> ended);
  ~Service();
  void start();
  void handle(const std::shared_ptr<Exchange>& exchange);
  // The connections' figures, for /metrics.
  void set_http(const HttpServer* http) { http_ = http; }

  // Nothing new is begun; /health says so.
  void stop() { stopping_ = true; }
  // Ends whatever is under way, with an error to each.
  void end_all(const std::string& why);
  [[nodiscard]] bool idle() const { return answerings_.empty() && preparing_ == 0; }

 private:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  using Route = void (Service::*)(const std::shared_ptr<Exchange>&);
  struct Entry {
    std::string_view method, path;
    Route route;
    bool open = false;  // needs no key
  };
  static const std::vector<Entry>& routes();

  void health(const std::shared_ptr<Exchange>& exchange);
  void metrics(const std::shared_ptr<Exchange>& exchange);
  void models(const std::shared_ptr<Exchange>& exchange);
  void chat(const std::shared_ptr<Exchange>& exchange);
  void completions(const std::shared_ptr<Exchange>& exchange);
  void tokenize_text(const std::shared_ptr<Exchange>& exchange);
  void detokenize_ids(const std::shared_ptr<Exchange>& exchange);
  void preflight(const std::shared_ptr<Exchange>& exchange);
  [[nodiscard]] Json model_json() const;

  // Parses and prepares beside the loop, then admits.
  template <typename Request>
  void generate(const std::shared_ptr<Exchange>& exchange);
  template <typename Request>
  void admit(const std::shared_ptr<Exchange>& exchange, Request& request, Preparation& preparation, double arrived);
  template <typename Request>
  void convert(const std::shared_ptr<Exchange>& exchange,
               std::optional<ApiError> (*function)(const Request&, const ServedModel&, std::string&));
  // Runs `job` beside the loop; its outcome is answered, or handed to `then`.
  void beside(const std::shared_ptr<Exchange>& exchange, std::function<std::optional<ApiError>()> job, std::function<void()> then);
  // Why nothing can be begun now.
  [[nodiscard]] std::optional<ApiError> unavailable() const;
  [[nodiscard]] int retry_after_s() const;
  [[nodiscard]] std::size_t places() const { return static_cast<std::size_t>(options_.streams + options_.max_queue); }

  void answer(const std::shared_ptr<Exchange>& exchange, HttpResponse response);
  void answer(const std::shared_ptr<Exchange>& exchange, const ApiError& error);
  [[nodiscard]] Headers common_headers(const HttpRequest& request) const;
  void engine_ready(const Ready& ready);
  void engine_stepped(const Stepped& stepped);
  void tick();

  Loop& loop_;
  const ServedModel& model_;
  ServiceOptions options_;
  std::function<void()> ready_;
  std::function<void(const Error&)> ended_;
  Figures figures_;
  std::unique_ptr<EngineProcess> engine_;
  const HttpServer* http_ = nullptr;
  std::string digest_, dtype_;  // of the engine; empty until it was ready once
  std::set<std::shared_ptr<Answering>> answerings_;
  std::size_t preparing_ = 0;
  bool stopping_ = false, warned_of_guesses_ = false;
  Timer ticker_;
};

}  // namespace godwit::serve
