// A run that diverges: what was committed before the trouble, made again on the trusted CPU (guard/roll_back.h).
#include "guard/supervisor.h"

#include <fmt/format.h>

#include "base/log.h"

namespace godwit::guard {

Result<std::optional<NextState>> Supervisor::made_by_trusted(std::uint64_t step, const Digest& committed) {
  constexpr int others_max = 4;
  std::optional<Digest> other;
  CHECK(trusted_alone_, "other devices may not take part in step {}", step);
  for (int others = 0; others < others_max; ++others) {
    TRY_ASSIGN(std::optional<NextState> made, make(step));
    if (!made || made->digest == committed) return made;
    // Before what was committed is given up, the trusted CPU says the same twice.
    if (other == made->digest) {
      made->rolled_back = {state_digest(task_.digests(staff_.state(committed_))),
                           fmt::format("step {} was committed with the digest {}, the trusted CPU gives {}, twice: a device had lied, and "
                                       "nothing had noticed",
                                       step, hex(committed), hex(made->digest))};
      return made;
    }
    other = made->digest;
  }
  return world_error("the trusted CPU gives step {} other bits each of {} times", step, others_max);
}

Result<std::optional<NextState>> Supervisor::settle_difference(const NextState& made, const Digest& committed) {
  const std::string what =
      fmt::format("step {} was made again with the digest {}, the journal committed {}", made.step, hex(made.digest), hex(committed));
  if (options_.made_anew && options_.made_anew() >= made_anew_max) {
    return differs_error(
        "{}. The run was made anew {} times because a device had lied unnoticed: move it to another machine, or go on with [guard] verify "
        "= \"dual\"",
        what, made_anew_max);
  }
  ++counters_["findings"];
  fault(fmt::format("{}: the trusted CPU says which is right", what));
  options_.verify = CrewOptions::Verify::dual;  // who lied is not known, and may still be there
  trusted_alone_ = true;
  Result<std::optional<NextState>> settled = made_by_trusted(made.step, committed);
  trusted_alone_ = false;
  TRY_ASSIGN(std::optional<NextState> right, std::move(settled));
  if (!right || !right->rolled_back) return right;
  ++counters_["rollbacks"];
  while (writer_) {
    if (options_.interrupted()) return stopped();
    attend(wait_ms);
  }
  // Those of later steps go with what was committed.
  TRY_ASSIGN(const std::vector<std::uint64_t> checkpoints, store::list_checkpoints(options_.checkpoints));
  checkpointed_.reset();
  for (const std::uint64_t each : checkpoints) {
    if (each < made.step) checkpointed_ = std::max(checkpointed_.value_or(0), each);
  }
  return right;
}

Result<std::optional<NextState>> Supervisor::reproduce(Stretch& stretch) {
  KeeperTask::Loaded loaded;
  TRY(load(stretch.from, loaded));
  stretch.from = loaded.step;
  while (task_.step(staff_.state(committed_)) < stretch.to) {
    if (options_.interrupted()) return stopped();
    const std::uint64_t step = task_.step(staff_.state(committed_)) + 1;
    const auto committed = options_.committed(step);
    CHECK(committed, "step {} of those up to {} was not committed", step, stretch.to);
    TRY_ASSIGN(std::optional<NextState> made, made_by_trusted(step, *committed));
    if (!made) continue;
    if (made->rolled_back) return made;
    commit();
  }
  return std::optional<NextState>();
}

Result<NextState> Supervisor::roll_back(const NextState& diverged) {
  const std::uint64_t head = diverged.step - 1, good = diverged.step - diverged.facts.value("skipped_in_a_row", std::uint64_t{0});
  const std::string trouble =
      fmt::format("step {}: {} steps in a row left their batch out, the last because {}, and the trusted CPU finds the same", diverged.step,
                  options_.skipped_in_a_row_max, diverged.note);
  log_warning("{}", trouble);
  while (writer_) {
    if (options_.interrupted()) return stopped();
    attend(wait_ms);
  }
  const std::uint64_t made_anew = options_.made_anew ? options_.made_anew() : 0;
  std::vector<Stretch> reproduced;
  while (options_.committed) {
    TRY_ASSIGN(const std::vector<std::uint64_t> checkpoints, store::list_checkpoints(options_.checkpoints));
    std::optional<Stretch> stretch = next_stretch(checkpoints, good, head, reproduced, made_anew);
    if (!stretch) break;
    ++counters_["rollbacks"];
    rung_ = "roll back";
    log_warning("going back to step {}: on the trusted CPU, are steps {} to {} what was committed?", stretch->from, stretch->from + 1,
                stretch->to);
    trusted_alone_ = true;
    Result<std::optional<NextState>> other = reproduce(*stretch);
    trusted_alone_ = false;
    TRY(other);
    if (*other) {
      checkpointed_ = stretch->from;
      options_.verify = CrewOptions::Verify::dual;  // who lied is not known, and is still there
      return **std::move(other);
    }
    reproduced.push_back(*stretch);
  }
  if (reproduced.empty()) {
    waiting_ = fmt::format(
        "{}. The run was made anew {} times because a device had lied unnoticed: move it to another machine, or go on with [guard] verify "
        "= "
        "\"dual\"",
        trouble, made_anew);
  } else {
    waiting_ = fmt::format(
        "{}. Going back changes nothing: steps {} to {}, made again there, are what was committed. The training has diverged, or the data "
        "are "
        "not what they should be: begin another run with a lower [optimizer] lr or a longer warmup, from the beginning or with [model] "
        "init = "
        "\"RUN@{}\", or look at the data",
        trouble, reproduced.back().from + 1, head, reproduced.front().from);
  }
  record(true);
  return world_error("waiting for its owner: {}", waiting_);
}

}  // namespace godwit::guard
