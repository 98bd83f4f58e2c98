#include "serve/api_error.h"

#include "base/json.h"

namespace godwit::serve {

namespace {

const char* type_of(int status) {
  if (status == 401) return "authentication_error";
  if (status == 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

}  // namespace

std::string ApiError::body() const {
  Json error = Json::object();
  error["message"] = message;
  error["type"] = type_of(status);
  error["param"] = text_or_null(param);
  error["code"] = text_or_null(code);
  Json document = Json::object();
  document["error"] = std::move(error);
  return write_json(document);
}

}  // namespace godwit::serve
