// A qualification under way: a stand with the device, one with the trusted CPU, and what was found so far.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "qualify/qualify.h"
#include "qualify/stand.h"

namespace godwit::qualify {

class Session {
 public:
  // `trials`: ops first, then whole programs, then the yardsticks. They, and the options, outlive the session.
  Session(const Options& options, std::span<const Trial> trials, std::size_t ops, std::size_t wholes)
      : options_(options), trials_(trials), ops_(ops), wholes_(wholes) {}

  // Everything that is tried; `found` has what was found, whatever ends it.
  [[nodiscard]] Result<void> go(Qualification& found);

 private:
  // Values to try, and whether the device keeps the state it has.
  struct Values {
    program::Values values = program::Values::ordinary;
    std::uint64_t seed = record_seed;
    bool keep_state = false;
    auto operator<=>(const Values&) const = default;
  };

  [[nodiscard]] Result<void> open();
  [[nodiscard]] Result<void> measure_ceilings();
  // All that is tried of one op or program while the device has it prepared.
  [[nodiscard]] Result<void> try_values(std::size_t trial);
  [[nodiscard]] Result<void> measure(std::size_t trial);
  [[nodiscard]] Result<void> try_pairs(std::size_t trial);
  [[nodiscard]] Result<void> try_pair(std::size_t one, std::size_t other);
  [[nodiscard]] Result<void> warm();
  [[nodiscard]] Result<void> sweep();  // every op once more

  // Does it as a part of that phase, whose time grows. Nothing is done where the device is given up.
  template <typename Run>
  [[nodiscard]] Result<void> within(const std::string& phase, Run run);
  void progress(double share, const std::string& text) const;

  // The device's answer. Nothing: it failed, which is noted.
  [[nodiscard]] Result<std::optional<Json>> ask(const Json& order, std::optional<std::size_t> trial);
  [[nodiscard]] Result<std::optional<Json>> heed(Result<Json> answer, std::optional<std::size_t> trial);
  // Runs the trial on the device, and on who says what is right where that is not known yet, and compares. False: something was found.
  [[nodiscard]] Result<bool> compare(std::size_t trial, const Values& values, int repeats);
  // What a result of ordinary values should hash to.
  [[nodiscard]] Result<std::string> expected(std::size_t trial);
  [[nodiscard]] Json run_order(std::size_t device, std::size_t trial, const Values& values, int repeats) const;
  [[nodiscard]] std::size_t count() const { return ops_ + wholes_; }  // without the yardsticks
  // After a stretch of pairs or of warming: hashes that are not the expected ones, and results that changed. False: something was found.
  [[nodiscard]] Result<bool> check_stretch(const Json& answer);
  // The first result in which the two differ becomes a failure.
  void note_difference(std::size_t trial, Failure::Kind kind, std::size_t region, const Values& values);
  void note(Failure failure, std::optional<std::size_t> trial);
  // Whether there is something to be tried: a kernel that has not failed yet, of an op that has cost no process.
  [[nodiscard]] bool tries(std::size_t trial) const;
  [[nodiscard]] std::size_t judge_device(std::size_t trial) const;

  const Options& options_;
  std::span<const Trial> trials_;
  std::size_t ops_, wholes_;
  Qualification* found_ = nullptr;
  std::unique_ptr<Stand> subject_, judge_;
  std::map<std::size_t, std::string> expected_;  // of ordinary values of record_seed
  bool host_memory_ = true;
  int troubles_ = 0;                  // processes that the device has cost
  std::set<std::string> in_trouble_;  // ops that cost one
  std::optional<std::size_t> beside_;  // the trial before, for the next to be tried beside
  std::string phase_;
};

}  // namespace godwit::qualify
