// A bench measures how far from a ceiling something is: one file in benches/ each, and nothing else to edit.
//
// src/bench/benches/NAME.cc defines `extern const Bench NAME; const Bench NAME{…}` in namespace godwit::bench; the build collects the
// folder into all_benches(). A bench returns plain rows; the command line makes of them a table for people and a JSON document.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "device/ceilings.h"
#include "bench/report.h"
#include "device/device.h"
#include "model/model.h"

namespace godwit::bench {

using device::Ceilings;

struct Options {
  device::DeviceOptions device;
  std::string job;                                           // of a bench's `jobs`; empty: all of them
  std::string dtype;                                         // "f32", "bf16"; empty: what the bench is stated for
  model::WeightFormat weights = model::WeightFormat::dtype;  // of the bench decode
  int rounds = 1;  // of whole jobs, which take turns; the best counts, as it does for the ceilings: whatever else runs only takes away
  std::string verify = "off";  // "off", "inline": whether the ops of the bench ops are checked while they are timed
  int minutes = 0;             // of faults, for the bench storm; 0: what its job is stated for
  std::function<void(const std::string&)> say = [](const std::string&) {};  // one line of progress
  std::function<bool()> interrupted = [] { return false; };                 // true: give up with ErrorKind::stopped
};

// What the benches of one run share. The ceilings are measured when they are first asked for, once.
class Context {
 public:
  explicit Context(Options options) : options_(std::move(options)) {}

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] const Ceilings& ceilings();
  // Whether the user wants this job, in this dtype.
  [[nodiscard]] bool wants(std::string_view job, std::string_view dtype = {}) const;
  // An error of kind stopped if the user has asked for it.
  [[nodiscard]] Result<void> check_interrupted() const;

 private:
  Options options_;
  std::optional<Ceilings> ceilings_;
};

// ", best of 3 rounds"; nothing for one.
[[nodiscard]] std::string rounds_text(const Context& context);

struct Bench {
  std::string_view name;
  std::string_view summary;                 // one sentence
  std::vector<std::string_view> jobs = {};  // what --job may choose from
  Result<Report> (*run)(Context& context) = nullptr;
  bool by_name_only = false;  // what is measured is the guard, not speed against ceilings: no part of a run of all benches
};

[[nodiscard]] std::span<const Bench* const> all_benches();

}  // namespace godwit::bench
