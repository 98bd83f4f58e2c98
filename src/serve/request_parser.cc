#include "serve/request_parser.h"

#include <fmt/format.h>

#include <array>
#include <limits>

#include "base/json.h"
#include "serve/fields.h"

namespace godwit::serve {

namespace {

using Fault = std::optional<ApiError>;

constexpr std::int64_t int32_max = std::numeric_limits<std::int32_t>::max();

// OpenAI's own that do nothing here.
constexpr std::array unsupported_chat{
    Unsupported{"audio"},
    Unsupported{"function_call", "\"none\"", "use tools"},
    Unsupported{"functions", "[]", "use tools"},
    Unsupported{"metadata", "{}"},
    Unsupported{"modalities", "[\"text\"]"},
    Unsupported{"prediction"},
    Unsupported{"prompt_cache_key", "null", "the cache is kept apart by API key and user"},
    Unsupported{"reasoning_effort", "null", "use thinking: {\"type\": \"enabled\" or \"disabled\"}"},
    Unsupported{"safety_identifier", "null", "use user"},
    Unsupported{"service_tier", "\"auto\""},
    Unsupported{"store", "false"},
    Unsupported{"verbosity"},
    Unsupported{"web_search_options"},
};
constexpr std::array unsupported_completion{
    Unsupported{"best_of", "1", "use n"},
    Unsupported{"suffix", "\"\""},
    Unsupported{"response_format", "{\"type\":\"text\"}", "use /v1/chat/completions"},
};
constexpr std::array unsupported_message{
    Unsupported{"annotations", "[]"},
    Unsupported{"audio"},
    Unsupported{"function_call", "null", "use tools"},
    Unsupported{"name", "null", "the chat template has no place for it"},
    Unsupported{"prefix", "false", "use /v1/completions to continue an answer"},
    Unsupported{"refusal"},
};

Fault read_json(std::string_view body, Json& json) {
  Result<Json> parsed = parse_json(body, "body");
  if (!parsed.ok()) return ApiError{400, parsed.error().message, "", "invalid_json"};
  json = std::move(*parsed);
  return std::nullopt;
}

void read_stop(Fields& fields, std::vector<std::string>& stops) {
  const Json* value = fields.any("stop");
  if (value == nullptr) return;
  const auto add = [&](const Json& stop) {
    if (!stop.is_string() || stop.string().empty() || stop.string().size() > stop_bytes_max) {
      fields.refuse("stop", fmt::format("must hold strings of 1 to {} bytes, not {}", stop_bytes_max, shown(stop)));
      return false;
    }
    stops.push_back(stop.string());
    return true;
  };
  if (!value->is_array()) {
    add(*value);
    return;
  }
  if (value->size() > stops_max) {
    fields.refuse("stop", fmt::format("has {} strings; at most {} are taken", value->size(), stops_max));
    return;
  }
  for (const Json& stop : *value) {
    if (!add(stop)) return;
  }
}

void read_logit_bias(Fields& fields, std::vector<std::pair<std::int32_t, float>>& biases) {
  const Json* value = fields.any("logit_bias");
  if (value == nullptr) return;
  if (!value->is_object())
    return fields.refuse("logit_bias", fmt::format("must be an object of token ids and biases, not {}", shown(*value)));
  for (const auto& [key, bias] : value->items()) {
    std::int64_t id = -1;
    // Ids as this server writes them: other spellings ("+5", "05") could name one id twice.
    for (std::size_t i = 0; i < key.size() && key.size() <= 10; ++i) {
      if (key[i] < '0' || key[i] > '9' || (key[0] == '0' && key.size() > 1)) {
        id = -1;
        break;
      }
      id = (i == 0 ? 0 : id * 10) + (key[i] - '0');
    }
    const double number = bias.is_number() ? bias.get<double>() : 1e300;
    if (id < 0 || id > int32_max) return fields.refuse("logit_bias", fmt::format("has the key {}, which is no token id", shown(key)));
    if (!(number >= -100 && number <= 100)) {
      return fields.refuse("logit_bias", fmt::format("of token {} must be a number from -100 to 100, not {}", id, shown(bias)));
    }
    biases.emplace_back(static_cast<std::int32_t>(id), static_cast<float>(number));
  }
}

void read_seed(Fields& fields, std::optional<std::uint64_t>& seed) {
  const Json* value = fields.any("seed");
  if (value == nullptr) return;
  if (value->is_number_unsigned()) {
    seed = value->get<std::uint64_t>();
  } else if (const auto number = whole_number(*value)) {
    seed = static_cast<std::uint64_t>(*number);
  } else {
    fields.refuse("seed", fmt::format("must be a whole number of 64 bits, not {}", shown(*value)));
  }
}

void read_stream_options(Fields& fields, Generation& generation, Fault& fault) {
  generation.stream = fields.boolean("stream").value_or(false);
  const Json* value = fields.any("stream_options");
  if (value == nullptr) return;
  if (!generation.stream) return fields.refuse("stream_options", "is for streams only: set stream");
  Fields options(*value, "stream_options.", fault);
  generation.include_usage = options.boolean("include_usage").value_or(false);
  constexpr std::array unsupported{Unsupported{"include_obfuscation", "false"}};
  options.finish(unsupported);
}

void read_user(Fields& fields, std::string& user) {
  const auto one = fields.text("user");
  const auto other = fields.text("user_id");
  if (one && other && *one != *other) return fields.refuse("user_id", "and user differ; give one of them");
  user = one ? *one : other.value_or("");
}

// Everything of Generation but logprobs, which the two ways spell differently.
void read_generation(Fields& fields, Generation& generation, Fault& fault) {
  generation.model = fields.text("model").value_or("");
  generation.sampling.temperature = fields.number("temperature", 0, 2).value_or(1);
  // Below binary32's normal numbers a temperature would be another one or none.
  if (generation.sampling.temperature > 0 && generation.sampling.temperature < 0x1p-126)
    fields.refuse("temperature", "is too small; 0 is greedy");
  generation.sampling.top_p = fields.number("top_p", 0, 1).value_or(1);
  if (generation.sampling.top_p == 0)
    generation.sampling.top_p = std::numeric_limits<double>::min();  // the likeliest alone, as OpenAI has it
  // vLLM says -1 where all are meant, others 0.
  generation.sampling.top_k = std::max<std::int64_t>(0, fields.integer("top_k", -1, int32_max).value_or(0));
  generation.sampling.min_p = fields.number("min_p", 0, 1).value_or(0);
  generation.frequency_penalty = fields.number("frequency_penalty", -2, 2).value_or(0);
  generation.presence_penalty = fields.number("presence_penalty", -2, 2).value_or(0);
  read_logit_bias(fields, generation.logit_bias);
  read_stop(fields, generation.stop);
  generation.max_tokens = fields.integer("max_tokens", 1, int32_max);
  read_seed(fields, generation.seed);
  generation.n = fields.integer("n", 1, choices_max).value_or(1);
  read_stream_options(fields, generation, fault);
  generation.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  generation.return_token_ids = fields.boolean("return_token_ids").value_or(false);
  read_user(fields, generation.user);
}

// A message's content: a string, or an array of {"type": "text", "text": …}.
std::string read_content(Fields& fields, bool may_be_missing, Fault& fault) {
  const Json* value = fields.any("content");
  if (value == nullptr) {
    if (!may_be_missing) fields.refuse("content", "is missing; it must be a string");
    return "";
  }
  if (value->is_string()) return value->string();
  if (!value->is_array()) {
    fields.refuse("content", fmt::format("must be a string or an array of parts, not {}", shown(*value)));
    return "";
  }
  std::string content;
  for (std::size_t i = 0; i < value->size() && !fault; ++i) {
    Fields part((*value)[i], fields.full_name(fmt::format("content[{}].", i)), fault);
    const auto type = part.text("type");
    if (!fault && type != "text") {
      part.refuse("type", fmt::format("must be \"text\", not {}: this model reads text alone", type ? shown(*type) : "missing"));
    }
    const auto text = part.text("text");
    if (!text) part.refuse("text", "is missing");
    content += text.value_or("");
    part.finish();
  }
  return content;
}

text::ChatMessage read_message(const Json& json, std::size_t index, Fault& fault) {
  Fields fields(json, fmt::format("messages[{}].", index), fault);
  text::ChatMessage message;
  const auto role = fields.text("role");
  if (!role) fields.refuse("role", "is missing; it must be system, user, assistant or tool");
  message.role = role.value_or("");
  if (message.role == "developer") message.role = "system";  // OpenAI's later name for it
  if (message.role != "system" && message.role != "user" && message.role != "assistant" && message.role != "tool") {
    fields.refuse("role", fmt::format("must be system, developer, user, assistant or tool, not {}", shown(message.role)));
  }
  if (message.role == "assistant") message.tool_calls = read_tool_calls(fields, fault);
  // Which call it answers is said by its place.
  if (message.role == "tool") (void)fields.text("tool_call_id");
  const bool may_be_empty = !message.tool_calls.empty();
  message.content = read_content(fields, may_be_empty, fault);
  // What earlier answers thought is left out of the context, as DeepSeek does: taken so that a message can be sent back as it came.
  if (message.role == "assistant") (void)fields.text("reasoning_content");
  fields.finish(unsupported_message);
  return message;
}

std::vector<text::ChatMessage> read_messages(Fields& fields, Fault& fault) {
  const Json* value = fields.any("messages");
  if (value == nullptr || !value->is_array() || value->empty()) {
    fields.refuse("messages", value == nullptr ? "is missing" : "must be an array of at least one message");
    return {};
  }
  std::vector<text::ChatMessage> messages;
  for (std::size_t i = 0; i < value->size() && !fault; ++i) messages.push_back(read_message((*value)[i], i, fault));
  if (!fault && messages.back().role != "user" && messages.back().role != "tool") {
    fields.refuse("messages", fmt::format("must end with a message of the user or of a tool, not of the {}", messages.back().role));
  }
  return messages;
}

// DeepSeek's thinking: {"type": "enabled"}, or the template's own argument.
bool read_thinking(Fields& fields, Fault& fault) {
  std::optional<bool> thinking;
  if (const Json* value = fields.any("thinking")) {
    Fields options(*value, "thinking.", fault);
    const auto type = options.text("type");
    if (type != "enabled" && type != "disabled") {
      options.refuse("type", fmt::format("must be \"enabled\" or \"disabled\", not {}", type ? shown(*type) : "missing"));
    }
    thinking = type == "enabled";
    options.finish();
  }
  if (const Json* value = fields.any("chat_template_kwargs")) {
    Fields options(*value, "chat_template_kwargs.", fault);
    for (const char* name : {"thinking", "enable_thinking"}) {
      const auto wanted = options.boolean(name);
      if (!wanted) continue;
      if (thinking && *thinking != *wanted) options.refuse(name, "says otherwise than another parameter; give one of them");
      thinking = wanted;
    }
    options.finish();
  }
  return thinking.value_or(true);
}

Format read_format(Fields& fields, Fault& fault) {
  Format format;
  const Json* value = fields.any("response_format");
  if (value == nullptr) return format;
  Fields options(*value, "response_format.", fault);
  const std::string type = options.text("type").value_or("");
  if (type == "json_object") {
    format.kind = Format::Kind::json_object;
  } else if (type == "json_schema") {
    format.kind = Format::Kind::json_schema;
    const Json* schema = options.any("json_schema");
    if (schema == nullptr) {
      options.refuse("json_schema", "is missing");
      return format;
    }
    Fields inner(*schema, "response_format.json_schema.", fault);
    (void)inner.text("name");         // for people
    (void)inner.text("description");  // for people
    (void)inner.boolean("strict");    // it always is
    const Json* body = inner.any("schema");
    if (body == nullptr || !body->is_object()) {
      inner.refuse("schema", "must be a JSON Schema, an object");
    } else {
      format.schema = write_json(*body);
    }
    inner.finish();
  } else if (type != "text") {
    options.refuse("type", fmt::format("must be \"text\", \"json_object\" or \"json_schema\", not {}", shown(type)));
  }
  options.finish();
  return format;
}

// An array of ids, all of them whole and of 32 bits; that they are the model's is checked where the model is known.
bool read_ids(const Json& value, std::vector<std::int32_t>& ids) {
  ids.reserve(value.size());
  for (const Json& item : value) {
    const auto id = whole_number(item);
    if (!id || *id < 0 || *id > int32_max) return false;
    ids.push_back(static_cast<std::int32_t>(*id));
  }
  return true;
}

void read_prompts(Fields& fields, std::vector<Prompt>& prompts) {
  const Json* value = fields.any("prompt");
  if (value == nullptr) return fields.refuse("prompt", "is missing");
  const auto add_ids = [&](const Json& array) {
    std::vector<std::int32_t> ids;
    if (array.empty() || !read_ids(array, ids)) {
      fields.refuse("prompt", "must hold token ids (whole numbers that are not negative), at least one");
      return false;
    }
    prompts.emplace_back(std::move(ids));
    return true;
  };
  if (value->is_string()) {
    prompts.emplace_back(value->string());
    return;
  }
  if (!value->is_array() || value->empty()) {
    return fields.refuse("prompt", fmt::format("must be a string, token ids, or an array of either, not {}",
                                               value->is_array() ? "an empty array" : shown(*value)));
  }
  if (value->front().is_number()) {
    add_ids(*value);
    return;
  }
  if (value->size() > prompts_max)
    return fields.refuse("prompt", fmt::format("has {} prompts; at most {} are taken", value->size(), prompts_max));
  for (const Json& item : *value) {
    if (item.is_string()) {
      prompts.emplace_back(item.string());
    } else if (!item.is_array()) {
      return fields.refuse("prompt", fmt::format("must be a string, token ids, or an array of either; it holds {}", shown(item)));
    } else if (!add_ids(item)) {
      return;
    }
  }
}

void read_max_completion_tokens(Fields& fields, Generation& generation) {
  const auto tokens = fields.integer("max_completion_tokens", 1, int32_max);
  if (!tokens) return;
  if (generation.max_tokens && *generation.max_tokens != *tokens) {
    return fields.refuse("max_completion_tokens", "and max_tokens differ; give one of them");
  }
  generation.max_tokens = tokens;
}

void read_chat_logprobs(Fields& fields, Generation& generation) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, top_logprobs_max);
  if (wanted) generation.logprobs = top.value_or(0);
  if (top && *top > 0 && !wanted) fields.refuse("top_logprobs", "needs logprobs: true");
}

// A call that must be made is a format of the answer.
void read_tools(Fields& fields, ChatRequest& request, Fault& fault) {
  request.tool_use = read_tool_use(fields, fault);
  if (request.tool_use.choice != ToolUse::Choice::required) return;
  if (request.format.kind != Format::Kind::text) fields.refuse("response_format", "and a tool_choice that must be called cannot both be");
  request.format = {.kind = Format::Kind::tool_calls, .tools = request.tool_use.tools, .parallel = request.tool_use.parallel};
}

}  // namespace

Fault parse_request(std::string_view body, ChatRequest& request) {
  Json json;
  if (Fault fault = read_json(body, json)) return fault;
  Fault fault;
  Fields fields(json, "", fault);
  read_generation(fields, request.generation, fault);
  read_max_completion_tokens(fields, request.generation);
  read_chat_logprobs(fields, request.generation);
  request.thinking = read_thinking(fields, fault);
  request.format = read_format(fields, fault);
  read_tools(fields, request, fault);
  request.messages = read_messages(fields, fault);
  fields.finish(unsupported_chat);
  return fault;
}

Fault parse_request(std::string_view body, CompletionRequest& request) {
  Json json;
  if (Fault fault = read_json(body, json)) return fault;
  Fault fault;
  Fields fields(json, "", fault);
  read_generation(fields, request.generation, fault);
  request.generation.logprobs = fields.integer("logprobs", 0, top_logprobs_max);
  request.echo = fields.boolean("echo").value_or(false);
  read_prompts(fields, request.prompts);
  fields.finish(unsupported_completion);
  return fault;
}

Fault parse_request(std::string_view body, TokenizeRequest& request) {
  Json json;
  if (Fault fault = read_json(body, json)) return fault;
  Fault fault;
  Fields fields(json, "", fault);
  request.model = fields.text("model").value_or("");
  // vLLM's names and llama-server's; only the former's default adds the BOS.
  const auto prompt = fields.text("prompt");
  const auto content = fields.text("content");
  const Json* messages = fields.any("messages");
  const auto add = fields.boolean("add_special_tokens");
  const auto add_other = fields.boolean("add_special");
  request.add_special = add.value_or(add_other.value_or(prompt.has_value()));
  if (!fault && (prompt ? 1 : 0) + (content ? 1 : 0) + (messages != nullptr ? 1 : 0) != 1) {
    fields.refuse("prompt", "or content or messages must be given, and only one of them");
  }
  request.thinking = read_thinking(fields, fault);
  if (messages != nullptr && !fault) {
    request.content = read_messages(fields, fault);
  } else {
    request.content = prompt ? *prompt : content.value_or("");
  }
  fields.finish();
  return fault;
}

Fault parse_request(std::string_view body, DetokenizeRequest& request) {
  Json json;
  if (Fault fault = read_json(body, json)) return fault;
  Fault fault;
  Fields fields(json, "", fault);
  request.model = fields.text("model").value_or("");
  const Json* tokens = fields.any("tokens");
  if (tokens == nullptr || !tokens->is_array() || !read_ids(*tokens, request.tokens)) {
    fields.refuse("tokens", "must be an array of token ids");
  }
  fields.finish();
  return fault;
}

}  // namespace godwit::serve
