#include "train/audit.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "base/log.h"
#include "store/checkpoint.h"
#include "store/journal.h"
#include "store/run_directory.h"
#include "train/beginning.h"
#include "train/engine.h"
#include "train/run.h"
#include "train/scores.h"
#include "train/setup.h"

namespace godwit::train {

namespace {

constexpr const char* profile = "exact/1";

struct Committed {
  Digest digest;
  bool skipped = false;
  std::string note;
};

// What the journal says of a step: of its latest line that commits it, or of the line that begins the run.
std::optional<Committed> find_committed(const store::Journal::Content& journal, std::uint64_t step) {
  for (auto entry = journal.entries.rbegin(); entry != journal.entries.rend(); ++entry) {
    if (entry->verdict == "rollback" && entry->step < step) return std::nullopt;
    if (entry->step != step || entry->verdict == "extend" || entry->verdict == "rollback" || entry->verdict == "move") continue;
    return Committed{entry->digest, entry->verdict == "skip", entry->note};
  }
  return std::nullopt;
}

// The run as one device makes it.
class Replica {
 public:
  // Nothing large is allocated before prepare; the device outlives the replica.
  Replica(const Setup& setup, const store::RunDirectory& run)
      : setup_(setup),
        run_(run),
        engine_(*setup.model, setup.program_settings(), setup.predictions_max(), setup.roll_outs && setup.roll_outs->ever_needs()) {}

  [[nodiscard]] Result<void> prepare(device::Device& device) {
    TRY_ASSIGN(state_, State::create(device, *setup_.model, setup_.dataset->begin().values.size(), setup_.copies()));
    TRY(engine_.prepare(device, *state_));
    if (!setup_.roll_outs) return {};
    roll_out_ = setup_.roll_outs->roll_out();
    const device::Buffer* const states[] = {&state_->buffer()};
    return roll_out_->prepare(device, states, state_->layout());
  }
  [[nodiscard]] State& state() { return *state_; }
  [[nodiscard]] const Engine& engine() const { return engine_; }
  [[nodiscard]] std::vector<std::byte> copy() const { return {state_->base(), state_->base() + state_->layout().bytes()}; }
  [[nodiscard]] Result<void> set(std::span<const std::byte> bytes) {
    std::memcpy(state_->base(), bytes.data(), bytes.size());
    TRY(engine_.state_changed());
    return roll_out_ ? roll_out_->use(0) : Result<void>();
  }
  [[nodiscard]] Digest digest(int threads) const { return store::digest_state(state_->list(), threads); }

  // The state of the next step.
  [[nodiscard]] Result<void> advance(const Committed& committed, const std::function<bool()>& interrupted) {
    const bool skip = committed.skipped;
    data::Cursor cursor = state_->cursor();
    TRY_ASSIGN(const std::vector<data::Sample> samples, next_samples(setup_, state_->scalars().step, cursor));
    for (const std::string& prefix : setup_.copies()) {
      if (setup_.roll_outs->copies_at(prefix, state_->scalars().step)) state_->copy_weights(prefix, *state_);
    }
    std::optional<Proposal> proposal;
    if (!skip && roll_out_) {
      TRY_ASSIGN(const std::optional<Scores> scores, scores_of(committed));
      const std::span<const ScoredGroup> scored = scores ? std::span<const ScoredGroup>(scores->groups) : std::span<const ScoredGroup>();
      TRY_ASSIGN(Engine::Rolled rolled,
                 engine_.propose_rolled(*setup_.roll_outs, *roll_out_, samples, scored, state_->scalars().step, interrupted));
      proposal = std::move(rolled.proposal);
      if (!rolled.step.silent) {
        TRY(engine_.gradient_norm(rolled.step.mean));
        TRY(engine_.apply());
        TRY(roll_out_->use(0));
      }
    } else if (!skip) {
      TRY_ASSIGN(proposal, engine_.propose(samples, interrupted));
      TRY(engine_.gradient_norm());
      TRY(engine_.apply());
    }
    state_->scalars() = after_step(state_->scalars(), proposal);
    state_->set_cursor(cursor);
    return {};
  }

 private:
  // What the next step took from outside, as the journal names it.
  [[nodiscard]] Result<std::optional<Scores>> scores_of(const Committed& committed) const {
    const std::uint64_t step = state_->scalars().step;
    TRY_ASSIGN(std::optional<Scores> scores, scores_for(setup_, run_, step));
    const auto noted = noted_scores(committed.note);
    if (setup_.roll_outs->asks() && !scores) {
      return differs_error("{} is missing: step {} was committed with it",
                           scores_path(run_.rewards(), setup_.roll_outs->written_at(step) + 1).string(), step + 1);
    }
    if (scores && noted && !(noted->digest == scores->digest)) {
      return differs_error("{} has SHA-256 {}, the journal committed step {} with {}", scores_path(run_.rewards(), scores->step).string(),
                           hex(scores->digest), step + 1, hex(noted->digest));
    }
    return scores;
  }

  const Setup& setup_;
  const store::RunDirectory& run_;
  std::unique_ptr<State> state_;
  Engine engine_;
  std::unique_ptr<RollOut> roll_out_;  // where the model writes its own samples
};

// The newest good checkpoint up to step `last`, or the run's beginning. Returns its step.
Result<std::uint64_t> load(const Setup& setup, const store::RunDirectory& run, std::uint64_t last, State& state) {
  std::vector<std::string> refused;
  TRY_ASSIGN(const auto loaded, store::load_newest(run.checkpoints(), state.list(), refused, last));
  for (const std::string& text : refused) log_warning("{}", text);
  if (loaded) {
    if (loaded->profile != profile) {
      return input_error("the run in '{}' was made in the profile {}, this build computes {}", run.root.string(), loaded->profile, profile);
    }
    return loaded->step;
  }
  TRY(begin_run(setup, state));
  return std::uint64_t{0};
}

std::string op_text(const device::OpDifference& op) {
  return fmt::format("op {} of program {}, {}: element {} of {} {} is {}, by the reference {}; {} of its elements differ", op.index,
                     op.program, op.op, op.element, op.tensor, op.shape, op.computed, op.expected, op.elements);
}

// What to say of a step that differs, and to do about it.
std::string differs_text(const Audit& audit, std::uint64_t asked, const std::string& device_name) {
  const bool on_the_way = audit.step != asked;
  const bool reference_holds = audit.reference == audit.committed;
  std::string text = fmt::format("step {}{} differs: the journal committed {}, the references give {}, {} gives {}.", audit.step,
                                 on_the_way ? fmt::format(", on the way to step {},", asked) : "", hex(audit.committed),
                                 reference_holds ? "the same" : hex(audit.reference), device_name, hex(*audit.device));
  if (audit.op) {
    text += fmt::format(" The first op of {} that is not its reference's: {}.", device_name, op_text(*audit.op));
    if (reference_holds) {
      text += " What was committed holds; this device does not compute correctly now: audit on another machine, or with another --isa.";
      return text;
    }
    if (*audit.device == audit.committed) {
      text += " What was committed is this device's result, and wrong.";
    } else {
      text += " What was committed is the result of neither.";
    }
  } else if (*audit.device == audit.reference) {
    text +=
        " Both agree in every op: what was committed is the result of neither. The line was altered, or the device that made the step then "
        "erred.";
  } else {
    text += " No op differs by itself while it is watched: the device errs now and then. Audit again, or on another machine.";
    if (reference_holds) return text;
  }
  text += fmt::format(
      " To have the run without it: stop it, remove the checkpoints from step {} on and the journal's lines from that step's on, and start "
      "it "
      "again.",
      audit.step);
  return text;
}

}  // namespace

Result<Audit> audit(const AuditOptions& options) {
  const store::RunDirectory run{options.directory};
  if (!fs::exists(run.config())) return input_error("'{}' is not a run: it has no config.toml", run.root.string());
  TRY_ASSIGN(const store::Journal::Content journal, store::Journal::read(run.journal()));
  if (options.step == 0) return input_error("step 0 is not made but begun with; --step takes 1 and more");
  const auto asked = find_committed(journal, options.step);
  if (!asked) {
    std::uint64_t last = 0;
    for (const store::JournalEntry& entry : journal.entries) last = std::max(last, entry.step);
    return input_error("the journal of '{}' has no step {}; its last one is {}", run.root.string(), options.step, last);
  }
  const auto keys = all_config_keys();
  const auto sections = open_config_sections();
  TRY_ASSIGN(Config config, Config::load(run.config(), {}, keys, sections));
  TRY_ASSIGN(const Setup setup, make_setup(std::move(config), run, {}, options.interrupted, options.open_roll_outs));

  TRY_ASSIGN(const auto device, device::Device::open(options.device));
  Replica replica(setup, run);
  TRY(replica.prepare(*device));
  Audit result;
  TRY_ASSIGN(result.from, load(setup, run, options.step - 1, replica.state()));
  TRY(replica.set(replica.copy()));
  const int threads = options.device.threads;
  if (const auto known = find_committed(journal, result.from); known && known->digest != replica.digest(threads)) {
    return differs_error("{} has the digest {}, the journal says {}: one of them is not this run's",
                         result.from == 0 ? "the state that the run begins with" : fmt::format("checkpoint {}", result.from),
                         hex(replica.digest(threads)), hex(known->digest));
  }

  // Every step before the one asked for, until one differs.
  const double steps = static_cast<double>(options.step - result.from);
  const auto tell = [&](double done, const std::string& text) {
    if (options.progress) options.progress(std::min(1.0, done / steps), text);
  };
  result.step = options.step;
  Committed committed = *asked;
  std::vector<std::byte> before = replica.copy();
  for (std::uint64_t step = result.from + 1; step < options.step; ++step) {
    tell(static_cast<double>(step - result.from - 1), fmt::format("step {}/{} on {}", step, options.step, device->name()));
    const auto expected = find_committed(journal, step);
    if (!expected) return differs_error("the journal of '{}' has no line that commits step {}", run.root.string(), step);
    TRY(replica.advance(*expected, options.interrupted));
    if (replica.digest(threads) != expected->digest) {
      result.step = step;
      committed = *expected;
      break;
    }
    before = replica.copy();
  }
  result.committed = committed.digest;

  // The step by the references.
  const auto& programs = replica.engine().programs();
  const std::int64_t passes = (programs.settings().run.batch + programs.micro_batch() - 1) / programs.micro_batch();
  const std::size_t ops = programs.training.nodes.size() * static_cast<std::size_t>(passes) + programs.norm.nodes.size() +
                          programs.update.nodes.size() + programs.join.nodes.size() * static_cast<std::size_t>(passes - 1);
  std::size_t done = 0;
  const auto count_op = [&](const std::string& by) {
    const double share = std::min(1.0, static_cast<double>(++done) / static_cast<double>(ops));
    tell(static_cast<double>(result.step - result.from - 1) + share, fmt::format("step {} {}", result.step, by));
  };
  {
    TRY_ASSIGN(const auto reference, device::Device::open({.backend = "reference", .threads = 1, .isa = ""}));
    reference->watch([&](std::int32_t) { count_op("by the references"); });
    Replica made(setup, run);
    TRY(made.prepare(*reference));
    TRY(made.set(before));
    TRY(made.advance(committed, options.interrupted));
    result.reference = made.digest(threads);
  }
  if (result.step == options.step && result.reference == committed.digest) {
    result.equal = true;
    result.said = fmt::format(
        "step {} is equal: replayed from {} on {} and made by the references, its state has the digest {}, as the "
        "journal says",
        result.step, result.from == 0 ? "the beginning" : fmt::format("checkpoint {}", result.from), device->name(), hex(result.reference));
    return result;
  }

  // Where do they part? The device again, each op beside its reference.
  done = 0;
  TRY_ASSIGN(const auto lockstep, device::Lockstep::open(options.device, [&] { count_op("op by op"); }));
  Replica made(setup, run);
  TRY(made.prepare(lockstep->device()));
  TRY(made.set(before));
  TRY(made.advance(committed, options.interrupted));
  result.device = made.digest(threads);
  result.op = lockstep->difference();
  result.said = differs_text(result, options.step, device->name());
  return result;
}

}  // namespace godwit::train
