#include "serve/service.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "serve/page.h"

namespace godwit::serve {

namespace {

constexpr double tick_s = 0.5;
constexpr int retry_after_s_max = 120;
// Guesses after which none that came true says that the guessing is broken.
constexpr std::uint64_t guesses_enough = 500;

std::uint64_t random_bits() {
  std::uint64_t bits = 0;
  while (getrandom(&bits, sizeof bits, 0) != sizeof bits) {
  }
  return bits;
}

// Whole in every JSON reader's double.
std::uint64_t random_seed() {
  return random_bits() >> 11;
}

// "/v1/models" and DeepSeek's "/models" are one.
std::string_view without_version(std::string_view path) {
  return path.starts_with("/v1/") ? path.substr(3) : path;
}

bool is_json(std::string_view content_type) {
  constexpr std::string_view json = "application/json";
  std::string lower(content_type.substr(0, content_type.find_first_of("; \t")));
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return lower == json;
}

std::unique_ptr<AnswerForm> make_form(const ServedModel& model, AnswerHead head, const ChatRequest& request, Preparation& preparation) {
  head.id = "chatcmpl-" + head.id;
  return chat_form(model, std::move(head), request.generation, preparation.requests.front().served.request.prompt,
                   !request.tool_use.tools.empty());
}

std::unique_ptr<AnswerForm> make_form(const ServedModel& model, AnswerHead head, const CompletionRequest& request,
                                      Preparation& preparation) {
  head.id = "cmpl-" + head.id;
  std::vector<std::vector<std::int32_t>> ids;
  for (std::size_t i = 0; i < preparation.requests.size(); i += static_cast<std::size_t>(request.generation.n)) {
    ids.push_back(preparation.requests[i].served.request.prompt);
  }
  return completion_form(model, std::move(head), request.generation, std::move(preparation.prompts), std::move(ids));
}

}  // namespace

Service::Service(Loop& loop, const ServedModel& model, ServiceOptions options, std::vector<std::string> engine_arguments,
                 std::function<void()> ready, std::function<void(const Error&)> ended)
    : loop_(loop), model_(model), options_(std::move(options)), ready_(std::move(ready)), ended_(std::move(ended)), ticker_(loop) {
  engine_ = std::make_unique<EngineProcess>(loop, std::move(engine_arguments),
                                            EngineProcess::Calls{.ready = [this](const Ready& now) { engine_ready(now); },
                                                                 .stepped = [this](const Stepped& stepped) { engine_stepped(stepped); },
                                                                 .hopeless = [this](const Error& error) { ended_(error); }});
}

Service::~Service() = default;

void Service::start() {
  engine_->start();
  tick();
}

void Service::tick() {
  const double now = monotonic_seconds();
  // A tick may end any of them.
  for (const std::shared_ptr<Answering>& each : std::vector(answerings_.begin(), answerings_.end())) each->tick(now);
  ticker_.start(tick_s, [this] { tick(); });
}

void Service::end_all(const std::string& why) {
  for (const std::shared_ptr<Answering>& each : std::vector(answerings_.begin(), answerings_.end())) {
    each->fail({503, why, "", "stopping", 5}, "failed");
  }
}

void Service::engine_ready(const Ready& ready) {
  figures_.engine_began();
  if (digest_.empty()) {
    digest_ = ready.digest;
    dtype_ = ready.dtype;
    return ready_();
  }
  // Half an answer of one model and half of another would be nobody's.
  if (digest_ != ready.digest) {
    ended_(world_error("the model's files have changed: their digest is {}, and was {} when the server began; start it anew", ready.digest,
                       digest_));
  }
}

void Service::engine_stepped(const Stepped& stepped) {
  figures_.engine_stepped(stepped.facts);
  if (!stepped.events.empty()) figures_.batch.observe(static_cast<double>(stepped.events.size()));
  if (!warned_of_guesses_ && stepped.facts.guessed >= guesses_enough && stepped.facts.guessed_right == 0) {
    warned_of_guesses_ = true;
    log_warning("none of {} guessed tokens came true: answers are right, and slower than without --guesses", stepped.facts.guessed);
  }
}

// ---- Routes ----

const std::vector<Service::Entry>& Service::routes() {
  static const std::vector<Entry> table = {
      {"GET", "/health", &Service::health, true},
      {"GET", "/metrics", &Service::metrics},
      {"GET", "/models", &Service::models},
      {"POST", "/chat/completions", &Service::chat},
      {"POST", "/completions", &Service::completions},
      {"POST", "/tokenize", &Service::tokenize_text},
      {"POST", "/detokenize", &Service::detokenize_ids},
  };
  return table;
}

void Service::handle(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  if (method == "OPTIONS" && !options_.cors_origins.empty()) return preflight(exchange);
  // A model by its name is asked of the same place as the list.
  const std::string_view path = without_version(request.path);
  const std::string_view place = path.starts_with("/models/") ? path.substr(0, 7) : path;
  const Entry* other_method = nullptr;
  for (const Entry& entry : routes()) {
    if (entry.path != place) continue;
    if (entry.method != method) {
      other_method = &entry;
      continue;
    }
    if (!entry.open && !options_.keys.key_of(request.authorization)) {
      return answer(exchange,
                    ApiError{401, "the API key is missing or wrong; send one as Authorization: Bearer KEY", "", "invalid_api_key"});
    }
    // Browsers send other types to any server without asking it first.
    if (method == "POST" && !is_json(request.content_type)) {
      return answer(exchange, ApiError{415, "the body must be JSON, and said to be: Content-Type: application/json"});
    }
    return (this->*entry.route)(exchange);
  }
  HttpResponse response;
  if (other_method == nullptr && method == "GET" && page_response(request.path, request.if_none_match, response)) {
    return answer(exchange, std::move(response));
  }
  if (other_method != nullptr) {
    response = {.status = 405, .body = ApiError{405, fmt::format("{} takes {}", other_method->path, other_method->method)}.body()};
    response.headers.emplace_back("Allow", other_method->method);
    return answer(exchange, std::move(response));
  }
  answer(exchange, ApiError{404, "there is nothing at this path"});
}

Service::Headers Service::common_headers(const HttpRequest& request) const {
  if (options_.cors_origins.empty()) return {};
  Headers headers{{"Vary", "Origin"}};
  if (std::ranges::find(options_.cors_origins, request.origin) != options_.cors_origins.end()) {
    headers.emplace_back("Access-Control-Allow-Origin", request.origin);
  }
  return headers;
}

void Service::answer(const std::shared_ptr<Exchange>& exchange, HttpResponse response) {
  for (auto& header : common_headers(exchange->request())) response.headers.push_back(std::move(header));
  ++figures_.statuses[response.status];
  exchange->respond(response);
}

void Service::answer(const std::shared_ptr<Exchange>& exchange, const ApiError& error) {
  HttpResponse response{.status = error.status, .body = error.body()};
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.retry_after_s > 0) response.headers.emplace_back("Retry-After", std::to_string(error.retry_after_s));
  answer(exchange, std::move(response));
}

void Service::preflight(const std::shared_ptr<Exchange>& exchange) {
  HttpResponse response{.status = 204};
  response.headers = {{"Access-Control-Allow-Methods", "GET, POST"},
                      {"Access-Control-Allow-Headers", "Authorization, Content-Type"},
                      {"Access-Control-Max-Age", "600"}};
  answer(exchange, std::move(response));
}

void Service::health(const std::shared_ptr<Exchange>& exchange) {
  const char* status = stopping_ ? "stopping" : engine_->ready() ? "ok" : digest_.empty() ? "loading" : "restarting";
  Json json = Json::object();
  json["status"] = status;
  answer(exchange, HttpResponse{.status = engine_->ready() && !stopping_ ? 200 : 503, .body = write_json(json)});
}

void Service::metrics(const std::shared_ptr<Exchange>& exchange) {
  const Figures::Now now{.engine_ready = engine_->ready(), .engine_failures = engine_->failures(), .live = engine_->live()};
  answer(exchange, HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                                .body = figures_.text(now, http_ != nullptr ? http_->facts() : HttpFacts{})});
}

Json Service::model_json() const {
  Json json = Json::object();
  json["id"] = model_.name;
  json["object"] = "model";
  json["created"] = model_.created;
  json["owned_by"] = "godwit";
  json["max_model_len"] = model_.context;
  return json;
}

void Service::models(const std::shared_ptr<Exchange>& exchange) {
  const std::string_view name = without_version(exchange->request().path).substr(std::string_view("/models").size());
  if (name.empty()) {
    Json json = Json::object();
    json["object"] = "list";
    json["data"] = Json::array({model_json()});
    return answer(exchange, HttpResponse{.body = write_json(json)});
  }
  if (name.substr(1) == model_.name) return answer(exchange, HttpResponse{.body = write_json(model_json())});
  answer(exchange, ApiError{404, fmt::format("that model is not served here; '{}' is", model_.name), "model", "model_not_found"});
}

// ---- Work beside the loop ----

void Service::beside(const std::shared_ptr<Exchange>& exchange, std::function<std::optional<ApiError>()> job, std::function<void()> then) {
  if (preparing_ >= places()) return answer(exchange, ApiError{429, "too many requests are being read", "", "queue_full", retry_after_s()});
  ++preparing_;
  auto gone = std::make_shared<bool>(false);
  exchange->on_gone([gone] { *gone = true; });
  loop_.work([this, exchange, gone, job = std::move(job), then = std::move(then)] {
    auto fault = job();
    loop_.post([this, exchange, gone, fault = std::move(fault), then] {
      --preparing_;
      if (*gone) return;
      if (fault) return answer(exchange, *fault);
      then();
    });
  });
}

template <typename Request>
void Service::convert(const std::shared_ptr<Exchange>& exchange,
                      std::optional<ApiError> (*function)(const Request&, const ServedModel&, std::string&)) {
  auto body = std::make_shared<std::string>();
  auto job = [this, text = exchange->request().body, body, function]() -> std::optional<ApiError> {
    Request request;
    if (auto fault = parse_request(text, request)) return fault;
    return function(request, model_, *body);
  };
  beside(exchange, std::move(job), [this, exchange, body] { answer(exchange, HttpResponse{.body = std::move(*body)}); });
}

void Service::tokenize_text(const std::shared_ptr<Exchange>& exchange) {
  convert<TokenizeRequest>(exchange, tokenize);
}

void Service::detokenize_ids(const std::shared_ptr<Exchange>& exchange) {
  convert<DetokenizeRequest>(exchange, detokenize);
}

void Service::chat(const std::shared_ptr<Exchange>& exchange) {
  generate<ChatRequest>(exchange);
}

void Service::completions(const std::shared_ptr<Exchange>& exchange) {
  generate<CompletionRequest>(exchange);
}

std::optional<ApiError> Service::unavailable() const {
  if (stopping_) return ApiError{503, "the server is stopping", "", "stopping", 5};
  if (digest_.empty()) return ApiError{503, "the model is being loaded", "", "loading", 2};
  if (engine_->down()) return ApiError{503, "the engine fails again and again; see the server's log", "", "engine_failed", 10};
  return std::nullopt;
}

template <typename Request>
void Service::generate(const std::shared_ptr<Exchange>& exchange) {
  struct Job {
    Request request;
    Preparation preparation;
  };
  const double arrived = monotonic_seconds();
  auto job = std::make_shared<Job>();
  const std::string key = options_.keys.key_of(exchange->request().authorization).value_or("");
  auto prepare_it = [this, job, key, text = exchange->request().body]() -> std::optional<ApiError> {
    if (auto fault = parse_request(text, job->request)) return fault;
    return prepare(job->request, model_, random_seed(), owner_of(key, job->request.generation.user), job->preparation);
  };
  beside(exchange, std::move(prepare_it), [this, exchange, job, arrived] { admit(exchange, job->request, job->preparation, arrived); });
}

int Service::retry_after_s() const {
  // The queue's length in rounds of all streams, each as long as an answer takes on average.
  const double rounds = 1 + static_cast<double>(engine_->live()) / static_cast<double>(options_.streams);
  return static_cast<int>(std::clamp(std::ceil(rounds * figures_.request_s.mean()), 1.0, double{retry_after_s_max}));
}

template <typename Request>
void Service::admit(const std::shared_ptr<Exchange>& exchange, Request& request, Preparation& preparation, double arrived) {
  if (const auto fault = unavailable()) {
    ++figures_.outcomes["rejected"];
    return answer(exchange, *fault);
  }
  const std::size_t count = preparation.requests.size();
  if (count > places()) {
    return answer(exchange,
                  ApiError{400, fmt::format("n and prompts ask for {} answers at once; this server takes {}", count, places()), "n"});
  }
  if (engine_->live() + count > places()) {
    ++figures_.outcomes["rejected"];
    return answer(exchange, ApiError{429, fmt::format("{} answers are asked for already; try again later", engine_->live()), "",
                                     "queue_full", retry_after_s()});
  }
  const std::uint64_t number = random_bits();
  AnswerHead head{.id = fmt::format("{:016x}", number),
                  .number = number,
                  .created = unix_time(),
                  .model = model_.name,
                  .fingerprint = fingerprint_of(dtype_, digest_, preparation.seed),
                  .seed = preparation.seed};
  auto form = make_form(model_, std::move(head), request, preparation);
  Answering::Setting setting{.exchange = exchange,
                             .headers = common_headers(exchange->request()),
                             .generation = request.generation,
                             .prompt_tokens = preparation.prompt_tokens,
                             .form = std::move(form),
                             .arrived = arrived};
  auto done = [this](Answering& answering) { answerings_.erase(answering.shared_from_this()); };
  const auto answering = std::make_shared<Answering>(std::move(setting), model_, *engine_, figures_, std::move(done));
  answerings_.insert(answering);
  answering->start(std::move(preparation.requests));
}

}  // namespace godwit::serve
