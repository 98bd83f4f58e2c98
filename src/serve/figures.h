// What the server counts and measures of its requests, beside what the engine says of itself.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "infer/engine.h"
#include "serve/http_server.h"
#include "serve/metrics.h"

namespace godwit::serve {

struct Figures {
  Histogram first_token_s{latency_bounds};  // from the request's last byte to its first token
  Histogram inter_token_s{latency_bounds};
  Histogram request_s{latency_bounds};
  Histogram accepted_s{latency_bounds};  // until the engine had it: parsed, made ids, and the step then under way over
  Histogram queue_s{latency_bounds};     // an answer in the engine's queue, until it was taken up
  Histogram batch{batch_bounds};         // tokens of one step
  Histogram cached{prompt_bounds};       // tokens of an answer's prompt that were found in the cache
  std::map<std::string, std::uint64_t> outcomes;
  std::map<int, std::uint64_t> statuses;

  void engine_began();
  void engine_stepped(const infer::EngineFacts& facts);
  // Of all processes of the engine there were: each counts from 0.
  [[nodiscard]] infer::EngineFacts engine() const;

  struct Now {
    bool engine_ready = false;
    std::uint64_t engine_failures = 0;
    std::uint64_t live = 0;
  };
  [[nodiscard]] std::string text(const Now& now, const HttpFacts& http) const;

 private:
  infer::EngineFacts before_, current_;
};

}  // namespace godwit::serve
