#include "serve/server.h"

#include <fmt/format.h>

#include <optional>

#include "base/clock.h"
#include "base/log.h"
#include "serve/loop.h"
#include "serve/service.h"

namespace godwit::serve {

namespace {

// How often a stopping server looks whether everything is done.
constexpr double look_s = 0.05;
// What was ended early still has to reach its clients.
constexpr double farewell_s = 2;

class Running {
 public:
  Running(const ServedModel& model, const ServeOptions& options) : model_(model), options_(options), stop_timer_(loop_) {}

  Result<void> run() {
    ServiceOptions settings{
        .keys = {}, .cors_origins = options_.cors_origins, .streams = options_.streams, .max_queue = options_.max_queue};
    if (!options_.api_key_file.empty()) {
      TRY_ASSIGN(settings.keys, Keys::load(options_.api_key_file));
    }
    service_.emplace(
        loop_, model_, std::move(settings), options_.engine_arguments, [this] { options_.ready(address()); },
        [this](const Error& error) {
          error_ = error;
          loop_.stop();
        });
    TRY_ASSIGN(http_,
               HttpServer::create(loop_, options_.http, [this](const std::shared_ptr<Exchange>& exchange) { service_->handle(exchange); }));
    service_->set_http(http_.get());
    loop_.on_signal([this] { stop(); });
    options_.listening(address());
    service_->start();
    loop_.run();
    if (error_) return *error_;
    return {};
  }

 private:
  std::string address() const {
    const HttpOptions& http = options_.http;
    const std::string host = http.host.find(':') == std::string::npos ? http.host : "[" + http.host + "]";
    return fmt::format("{}://{}:{}", http.tls_cert.empty() ? "http" : "https", host, http_->port());
  }

  void stop() {
    log_info("stopping: what is under way has {} s to finish", options_.stop_s);
    service_->stop();
    http_->drain();
    stop_until(monotonic_seconds() + static_cast<double>(options_.stop_s), false);
  }

  void stop_until(double limit, bool last) {
    const bool done = service_->idle() && http_->quiet();
    const bool late = monotonic_seconds() > limit;
    if (done || (late && last)) return loop_.stop();
    if (late) {
      service_->end_all("the server is stopping");
      limit = monotonic_seconds() + farewell_s;
      last = true;
    }
    stop_timer_.start(look_s, [this, limit, last] { stop_until(limit, last); });
  }

  const ServedModel& model_;
  const ServeOptions& options_;
  std::optional<Error> error_;
  // What is destroyed last is what the others' last words need.
  Loop loop_;
  std::unique_ptr<HttpServer> http_;
  std::optional<Service> service_;
  Timer stop_timer_;
};

}  // namespace

Result<void> serve(const ServedModel& model, const ServeOptions& options) {
  return Running(model, options).run();
}

}  // namespace godwit::serve
