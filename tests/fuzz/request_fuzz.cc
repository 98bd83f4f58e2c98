// First byte modulo 4: which request. The rest is a body: any bytes are refused by name, or become a request that the engine's checks pass.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "serve/preparation.h"
#include "serve/request_parser.h"

using namespace godwit;
using namespace godwit::serve;

namespace {

const ServedModel& served() {
  static const ServedModel model = [] {
    ServedModel made{.name = "bird", .vocab_size = 320, .context = 128};
    made.tokenizer = text::Tokenizer::bytes();
    made.chat_format = text::ChatFormat::v3_1;
    made.vocabulary.emplace(*made.tokenizer);
    return made;
  }();
  return model;
}

void check_fault(const ApiError& fault) {
  CHECK(fault.status >= 400 && fault.status < 500, "status {}", fault.status);
  CHECK(!fault.message.empty(), "a fault without a message");
  CHECK(parse_json(fault.body(), "body").ok(), "a fault's body is no JSON: {}", fault.body());
}

template <typename Request>
void generate(std::string_view body) {
  Request request;
  if (const auto fault = parse_request(body, request)) return check_fault(*fault);
  Preparation made;
  if (const auto fault = prepare(request, served(), 1, 1, made)) return check_fault(*fault);
  for (const EngineRequest& each : made.requests) {
    const infer::Request& inner = each.served.request;
    CHECK(!inner.prompt.empty() && inner.max_tokens >= 1, "an empty request was let through");
    CHECK(static_cast<std::int64_t>(inner.prompt.size()) + inner.max_tokens <= served().context, "beyond the context");
    CHECK(infer::check(inner.sampling).ok(), "sampling that the engine refuses");
  }
}

template <typename Request>
void convert(std::string_view body, std::optional<ApiError> (*function)(const Request&, const ServedModel&, std::string&)) {
  Request request;
  std::string answer;
  if (const auto fault = parse_request(body, request)) return check_fault(*fault);
  if (const auto fault = function(request, served(), answer)) return check_fault(*fault);
  CHECK(parse_json(answer, "answer").ok(), "an answer that is no JSON: {}", answer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      generate<ChatRequest>(body);
      break;
    case 1:
      generate<CompletionRequest>(body);
      break;
    case 2:
      convert<TokenizeRequest>(body, tokenize);
      break;
    default:
      convert<DetokenizeRequest>(body, detokenize);
  }
  return 0;
}
