#include "serve/engine_messages.h"

#include <utility>

#include "base/json.h"

namespace godwit::serve {

namespace {

Json pairs(const std::vector<std::pair<std::int32_t, float>>& list) {
  Json json = Json::array();
  for (const auto& [id, value] : list) json.push_back(Json::array({id, double{value}}));
  return json;
}

// Both sides are this program; a member that is missing or of another kind is a damaged frame, found before it is asked for its value.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}
  template <typename T>
  T get(const char* name, bool (Json::*kind)() const) {
    const Json* found = json_.find(name);
    if (found == nullptr || !(found->*kind)()) {
      failed_ = true;
      return T{};
    }
    return found->get<T>();
  }
  template <typename T>
  T integer(const char* name) {
    return get<T>(name, &Json::is_number_integer);
  }
  double real(const char* name) { return get<double>(name, &Json::is_number); }
  std::string text(const char* name) { return get<std::string>(name, &Json::is_string); }
  template <typename T>
  std::vector<T> integers(const char* name) {
    std::vector<T> result;
    for (const Json& item : list(name)) {
      failed_ |= !item.is_number_integer();
      if (!failed_) result.push_back(item.get<T>());
    }
    return result;
  }
  std::vector<std::string> texts(const char* name) {
    std::vector<std::string> result;
    for (const Json& item : list(name)) {
      failed_ |= !item.is_string();
      if (!failed_) result.push_back(item.string());
    }
    return result;
  }
  // Pairs of an id and a number.
  template <typename Pair>
  std::vector<Pair> id_values(const char* name) {
    std::vector<Pair> result;
    for (const Json& item : list(name)) {
      failed_ |= !item.is_array() || item.size() != 2 || !item[0].is_number_integer() || !item[1].is_number();
      if (!failed_) result.push_back(Pair{item[0].get<std::int32_t>(), static_cast<float>(item[1].get<double>())});
    }
    return result;
  }
  const Json& list(const char* name) {
    static const Json none = Json::array();
    const Json* found = json_.find(name);
    if (found != nullptr && found->is_array()) return *found;
    failed_ = true;
    return none;
  }
  template <typename T>
  std::optional<T> optional_integer(const char* name) {
    if (!json_.contains(name)) return std::nullopt;
    return integer<T>(name);
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  const Json& json_;
  bool failed_ = false;
};

Result<Json> parse(std::string_view text) {
  return parse_json(text, "engine frame");
}

Error bad_frame() {
  return world_error("a frame between server and engine is damaged");
}

Json event_json(const infer::ServedEvent& event) {
  Json json = Json::object();
  json.add("ticket", event.ticket);
  json.add("id", event.id);
  json.add("logprob", double{event.logprob});
  if (!event.top.empty()) {
    Json top = Json::array();
    for (const infer::TopLogprob& each : event.top) top.push_back(Json::array({each.id, double{each.logprob}}));
    json.add("top", std::move(top));
  }
  json.add("text", event.text);
  if (event.thinking) json.add("thinking", true);
  if (event.prompt) json.add("prompt", true);
  if (event.finish) json.add("finish", static_cast<int>(*event.finish));
  json.add("cached", event.cached);
  json.add("queued_s", event.queued_s);
  return json;
}

bool read_event(const Json& json, infer::ServedEvent& event) {
  Reader reader(json);
  event.ticket = reader.integer<std::uint64_t>("ticket");
  event.id = reader.integer<std::int32_t>("id");
  event.logprob = static_cast<float>(reader.real("logprob"));
  if (json.contains("top")) event.top = reader.id_values<infer::TopLogprob>("top");
  event.text = reader.text("text");
  event.thinking = json.contains("thinking");
  event.prompt = json.contains("prompt");
  if (const auto finish = reader.optional_integer<int>("finish")) event.finish = static_cast<infer::Finish>(*finish);
  event.cached = reader.integer<std::int64_t>("cached");
  event.queued_s = reader.real("queued_s");
  return !reader.failed();
}

Json format_json(const Format& format) {
  Json tools = Json::array();
  for (const text::Tool& tool : format.tools) tools.push_back(Json::array({tool.name, tool.description, tool.parameters}));
  Json json = Json::object();
  json.add("kind", static_cast<int>(format.kind));
  json.add("schema", format.schema);
  json.add("tools", std::move(tools));
  json.add("parallel", format.parallel ? 1 : 0);
  json.add("chat", static_cast<int>(format.chat_format));
  return json;
}

bool read_format(const Json& order, Format& format) {
  const Json* json = order.find("format");
  if (json == nullptr) return false;
  Reader reader(*json);
  format.kind = static_cast<Format::Kind>(reader.integer<int>("kind"));
  format.schema = reader.text("schema");
  for (const Json& tool : reader.list("tools")) {
    if (!tool.is_array() || tool.size() != 3 || !tool[0].is_string() || !tool[1].is_string() || !tool[2].is_string()) return false;
    format.tools.push_back({tool[0].string(), tool[1].string(), tool[2].string()});
  }
  format.parallel = reader.integer<int>("parallel") != 0;
  format.chat_format = static_cast<text::ChatFormat>(reader.integer<int>("chat"));
  return !reader.failed();
}

Json facts_json(const infer::EngineFacts& facts) {
  return {facts.waiting,       facts.running,       facts.pages,   facts.pages_used,    facts.pages_kept, facts.prompt_tokens,
          facts.cached_tokens, facts.answer_tokens, facts.guessed, facts.guessed_right, facts.steps};
}

bool read_facts(const Json& list, infer::EngineFacts& facts) {
  if (list.size() != 11) return false;
  for (const Json& item : list) {
    if (!item.is_number_integer()) return false;
  }
  std::size_t at = 0;
  for (std::int64_t* each : {&facts.waiting, &facts.running, &facts.pages, &facts.pages_used, &facts.pages_kept}) {
    *each = list[at++].get<std::int64_t>();
  }
  for (std::uint64_t* each :
       {&facts.prompt_tokens, &facts.cached_tokens, &facts.answer_tokens, &facts.guessed, &facts.guessed_right, &facts.steps}) {
    *each = list[at++].get<std::uint64_t>();
  }
  return true;
}

}  // namespace

std::string encode(const Submit& submit) {
  const infer::ServedRequest& served = submit.request.served;
  const infer::Request& request = served.request;
  Json json = Json::object();
  json.add("submit", submit.ticket);
  json.add("prompt", request.prompt);
  json.add("max_tokens", request.max_tokens);
  json.add("temperature", request.sampling.temperature);
  json.add("top_k", request.sampling.top_k);
  json.add("top_p", request.sampling.top_p);
  json.add("min_p", request.sampling.min_p);
  json.add("seed", request.seed);
  json.add("stop", request.stop);
  if (request.eos) json.add("eos", *request.eos);
  json.add("frequency_penalty", served.frequency_penalty);
  json.add("presence_penalty", served.presence_penalty);
  json.add("logit_bias", pairs(served.logit_bias));
  json.add("top_logprobs", served.top_logprobs);
  if (served.think_end) json.add("think_end", *served.think_end);
  json.add("owner", served.owner);
  json.add("given", served.given);
  if (served.tell_prompt_from) json.add("tell_prompt_from", *served.tell_prompt_from);
  json.add("format", format_json(submit.request.format));
  return write_json(json);
}

std::string encode(const Cancel& cancel) {
  Json json = Json::object();
  json.add("cancel", cancel.ticket);
  return write_json(json);
}

Result<Order> decode_order(std::string_view text) {
  TRY_ASSIGN(const Json json, parse(text));
  Reader reader(json);
  if (json.contains("cancel")) {
    const Cancel cancel{reader.integer<std::uint64_t>("cancel")};
    if (reader.failed()) return bad_frame();
    return Order(cancel);
  }
  Submit submit;
  infer::ServedRequest& served = submit.request.served;
  infer::Request& request = served.request;
  submit.ticket = reader.integer<std::uint64_t>("submit");
  request.prompt = reader.integers<std::int32_t>("prompt");
  request.max_tokens = reader.integer<std::int64_t>("max_tokens");
  request.sampling.temperature = reader.real("temperature");
  request.sampling.top_k = reader.integer<std::int64_t>("top_k");
  request.sampling.top_p = reader.real("top_p");
  request.sampling.min_p = reader.real("min_p");
  request.seed = reader.integer<std::uint64_t>("seed");
  request.stop = reader.texts("stop");
  request.eos = reader.optional_integer<std::int32_t>("eos");
  served.frequency_penalty = reader.real("frequency_penalty");
  served.presence_penalty = reader.real("presence_penalty");
  served.logit_bias = reader.id_values<std::pair<std::int32_t, float>>("logit_bias");
  served.top_logprobs = reader.integer<std::int64_t>("top_logprobs");
  served.think_end = reader.optional_integer<std::int32_t>("think_end");
  served.owner = reader.integer<std::uint64_t>("owner");
  served.given = reader.integers<std::int32_t>("given");
  served.tell_prompt_from = reader.optional_integer<std::int64_t>("tell_prompt_from");
  if (reader.failed() || !read_format(json, submit.request.format)) return bad_frame();
  return Order(std::move(submit));
}

std::string encode(const Report& report) {
  Json json = Json::object();
  if (const auto* ready = std::get_if<Ready>(&report)) {
    json.add("ready", ready->digest);
    json.add("dtype", ready->dtype);
    json.add("context", ready->context);
    json.add("unconfined", ready->unconfined);
  } else if (const auto* accepted = std::get_if<Accepted>(&report)) {
    json.add("accepted", accepted->ticket);
  } else if (const auto* refused = std::get_if<Refused>(&report)) {
    json.add("refused", refused->ticket);
    json.add("message", refused->message);
  } else if (const auto* stepped = std::get_if<Stepped>(&report)) {
    Json events = Json::array();
    for (const infer::ServedEvent& event : stepped->events) events.push_back(event_json(event));
    json.add("events", std::move(events));
    json.add("facts", facts_json(stepped->facts));
  } else {
    const Failed& failed = std::get<Failed>(report);
    json.add("failed", failed.message);
    json.add("input", failed.input ? 1 : 0);
  }
  return write_json(json);
}

Result<Report> decode_report(std::string_view text) {
  TRY_ASSIGN(const Json json, parse(text));
  Reader reader(json);
  Report report;
  if (json.contains("events")) {
    Stepped stepped;
    for (const Json& item : reader.list("events")) {
      if (!read_event(item, stepped.events.emplace_back())) return bad_frame();
    }
    if (!read_facts(reader.list("facts"), stepped.facts)) return bad_frame();
    report = std::move(stepped);
  } else if (json.contains("accepted")) {
    report = Accepted{reader.integer<std::uint64_t>("accepted")};
  } else if (json.contains("refused")) {
    report = Refused{reader.integer<std::uint64_t>("refused"), reader.text("message")};
  } else if (json.contains("ready")) {
    report = Ready{reader.text("ready"), reader.text("dtype"), reader.integer<std::int64_t>("context"), reader.texts("unconfined")};
  } else {
    report = Failed{reader.text("failed"), reader.integer<int>("input") != 0};
  }
  if (reader.failed()) return bad_frame();
  return report;
}

}  // namespace godwit::serve
