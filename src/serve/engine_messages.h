// What the server and the engine's process say to each other, one JSON document a frame.
//
//   server → engine   {"submit": ticket, …}   {"cancel": ticket}
//   engine → server   {"ready": …}  once, when it can answer
//                     {"accepted": ticket}   {"refused": ticket, "message"}
//                     {"events": […], "facts": …}  after every step
//                     {"failed": message}  the last
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "infer/engine.h"
#include "serve/preparation.h"

namespace godwit::serve {

struct Submit {
  std::uint64_t ticket = 0;
  EngineRequest request;
};
struct Cancel {
  std::uint64_t ticket = 0;
};
using Order = std::variant<Submit, Cancel>;

struct Ready {
  std::string digest;  // as godwit digest prints it
  std::string dtype;
  std::int64_t context = 0;
  std::vector<std::string> unconfined;  // what the system would not take from the process
};
struct Accepted {
  std::uint64_t ticket = 0;
};
struct Refused {
  std::uint64_t ticket = 0;
  std::string message;
};
struct Stepped {
  std::vector<infer::ServedEvent> events;
  infer::EngineFacts facts;
};
struct Failed {
  std::string message;
  bool input = false;  // what the user gave is at fault: trying again is of no use
};
using Report = std::variant<Ready, Accepted, Refused, Stepped, Failed>;

[[nodiscard]] std::string encode(const Submit& submit);
[[nodiscard]] std::string encode(const Cancel& cancel);
[[nodiscard]] std::string encode(const Report& report);
// An error where the other side is not what it should be.
[[nodiscard]] Result<Order> decode_order(std::string_view text);
[[nodiscard]] Result<Report> decode_report(std::string_view text);

}  // namespace godwit::serve
