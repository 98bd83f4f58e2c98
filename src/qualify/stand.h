// A test stand: the process that holds a device (qualify/subject.h), as seen by whoever gives it orders. It may crash or hang; then it is
// said in which call, and another one can be begun.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "guard/child.h"
#include "guard/link.h"
#include "guard/memory.h"
#include "qualify/subject.h"

namespace godwit::qualify {

struct StandOptions {
  std::string name;  // of the process
  SubjectOptions subject;
  double patience_s = 60;  // that one call may take
  std::function<bool()> interrupted = [] { return false; };
};

// How the process ended, or was ended.
struct Trouble {
  std::string what;  // "crashed (Segmentation fault)", "did not return within 60 s"
  Call call = Call::none;
  std::int32_t trial = -1;
};

// Call it from the only thread of a process: it forks.
class Stand {
 public:
  // `trials` outlives it.
  [[nodiscard]] static Result<std::unique_ptr<Stand>> begin(std::span<const Trial> trials, const StandOptions& options);
  ~Stand();

  // One order at a time: give() it, then take() its answer. An error is the device's own, if trouble() is empty; otherwise the process is
  // gone, and the next order begins another. ErrorKind::stopped: interrupted.
  [[nodiscard]] Result<void> give(const Json& order);
  [[nodiscard]] Result<Json> take();
  [[nodiscard]] Result<Json> order(const Json& order) {
    TRY(give(order));
    return take();
  }
  [[nodiscard]] const std::optional<Trouble>& trouble() const { return trouble_; }
  // A result as the last answer left it.
  [[nodiscard]] std::span<const std::byte> result(std::size_t region, const Trial& trial, std::size_t which) const;

 private:
  Stand(std::span<const Trial> trials, const StandOptions& options) : trials_(trials), options_(options) {}
  [[nodiscard]] Result<void> fork();
  [[nodiscard]] Error give_up(std::string what);

  std::span<const Trial> trials_;
  StandOptions options_;
  guard::SharedMemory regions_;
  std::int64_t region_bytes_ = 0;
  SubjectCell* cell_ = nullptr;
  std::optional<guard::Child> child_;
  guard::Link link_;
  std::uint64_t order_ = 0;
  std::optional<Trouble> trouble_;
};

}  // namespace godwit::qualify
