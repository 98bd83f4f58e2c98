// What a client did wrong, or what the server cannot do now, in the form OpenAI's clients read.
#pragma once

#include <string>

namespace godwit::serve {

struct ApiError {
  int status = 400;
  std::string message;
  std::string param = {};  // the parameter at fault; empty: none
  std::string code = {};   // for programs; empty: none
  int retry_after_s = 0;   // 0: no advice
  // {"error": {"message", "type", "param", "code"}}
  [[nodiscard]] std::string body() const;
};

}  // namespace godwit::serve
