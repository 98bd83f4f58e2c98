// A run that diverges: what was committed before the trouble, made again on the trusted CPU (guard/roll_back.h).
#include "guard/supervisor.h"

#include <fmt/format.h>

#include "base/log.h"

namespace godwit::guard {

Result<std::optional<NextState>> Supervisor::reproduce(Stretch& stretch) {
  KeeperTask::Loaded loaded;
  TRY(load(stretch.from, loaded));
  stretch.from = loaded.step;
  constexpr int others_max = 4;
  int others = 0;
  std::optional<NextState> other;
  while (task_.step(staff_.state(committed_)) < stretch.to) {
    if (options_.interrupted()) return stopped();
    const std::uint64_t step = task_.step(staff_.state(committed_)) + 1;
    TRY_ASSIGN(std::optional<NextState> made, make(step));
    if (!made) continue;
    const auto expected = options_.committed(step);
    if (!expected || made->digest == *expected) {
      commit();
      other.reset();
      continue;
    }
    // Before what was committed is given up, the trusted CPU says the same twice.
    if (other && other->step == step && other->digest == made->digest) {
      made->rolled_back = {state_digest(task_.digests(staff_.state(committed_))),
                           fmt::format("step {} was committed with the digest {}, the trusted CPU gives {}, twice: a device had lied, and "
                                       "nothing had noticed",
                                       step, hex(*expected), hex(made->digest))};
      return made;
    }
    if (++others == others_max) return world_error("the trusted CPU gives step {} other bits each of {} times", step, others);
    other = std::move(made);
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
