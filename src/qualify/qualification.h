// What a qualification found.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "guard/identity.h"

namespace godwit::qualify {

// Why a device is refused.
struct Failure {
  enum class Kind : std::uint8_t {
    differs,   // a result is not the expected one
    unstable,  // a result is not what it was before, from the same inputs
    error,     // the device said that it could not
    crashed,   // its process ended
    hung,      // a call did not return
  };
  Kind kind = Kind::differs;
  std::string phase;   // "ops", "two at once" …
  std::string op;      // name, or that of a whole program
  std::string trial;   // with shapes and dtypes
  std::string values;  // "ordinary", "boundary", "non-finite"
  std::string kernel;  // as the device names it
  std::string result;  // of the op
  std::string shape;   // of the result
  std::int64_t element = 0, elements = 0;
  std::string expected, computed;
  std::string call;     // of crashed, hung: which call of backend.h
  std::string message;  // of error, crashed, hung

  [[nodiscard]] std::string text() const;
};
[[nodiscard]] std::string_view kind_name(Failure::Kind kind);

// One op of the run's programs, or a whole program.
struct Tried {
  std::string op, text;
  bool whole = false;
  std::string kernel;   // empty: the device has none, another one does the op
  std::string held_to;  // "reference", "cpu", "cpu, scalar"
  std::int64_t uses = 0;
  std::int64_t compared = 0;  // results, each of all its elements
  std::optional<double> ms, cpu_ms;
  double flops = 0, bytes = 0;       // of a run
  std::optional<double> of_ceiling;  // the least time the device's ceilings allow, over ms
  bool failed = false;
};

struct Qualification {
  guard::DeviceIdentity device;
  std::string device_name;  // as it says once it is open
  std::string program;      // digest of the run's programs
  std::string config;
  std::int64_t at = 0;  // seconds since 1970
  bool brief = false;
  int workers = 1, threads = 1;
  std::string lie;  // what it was made to lie about; empty: nothing
  std::vector<Tried> tried;
  std::vector<Failure> failures;  // in the order they were found; none: qualified
  struct {
    double flops = 0, bf16_flops = 0, bytes = 0;  // per second; 0: not measured
    std::string from;                             // "the machine's", "its own large products and sums"
  } ceilings;
  struct {
    double seconds = 0, busy_s = 0;
    std::int64_t runs = 0;
    std::vector<double> speed;  // by order, each of other ops: 1 where each ran as fast as it ever did
  } warm;
  std::int64_t pairs = 0, pair_runs = 0;
  std::int64_t compared = 0;  // results in all
  struct Phase {
    std::string name;
    double seconds = 0;
  };
  std::vector<Phase> phases;
  double seconds = 0;

  [[nodiscard]] bool qualified() const { return failures.empty(); }
  [[nodiscard]] std::int64_t fell_back() const;  // ops without a kernel
};

[[nodiscard]] Json to_json(const Qualification& qualification);

// A stretch of running one op while the device is warmed.
struct Visit {
  std::size_t trial = 0;
  std::int64_t runs = 0;
  double busy_s = 0;
};
// Of each order: the time its runs would have taken, each as short as its op's fastest visit's, over the time they took. 0 for none.
[[nodiscard]] std::vector<double> speeds(const std::vector<std::vector<Visit>>& orders);

}  // namespace godwit::qualify
