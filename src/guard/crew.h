// Those who do a run's work: one process alone, or a keeper and workers that the calling process supervises. Either way steps come out the
// same to the bit; a crew of processes goes on whatever happens to them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/json.h"
#include "guard/placement.h"
#include "guard/task.h"
#include "store/checkpoint.h"

namespace godwit::guard {

// A state that was made, and is not committed yet.
struct NextState {
  std::uint64_t step = 0;
  Digest digest;
  Json facts;
  Json samples;
  bool skipped = false;
  std::string note;      // for its line in the journal: why it was skipped, what it took from outside
  double writing_s = 0;  // the longest that a worker took for samples that the model itself writes
  // This step and all that follow were committed before, and wrongly: the digest of the state that this one follows, and why.
  struct RolledBack {
    Digest digest;
    std::string why;
  };
  std::optional<RolledBack> rolled_back = {};
};

struct Evaluation {
  double loss = 0;  // mean negative log-probability, nats per token
  std::int64_t predictions = 0;
};

class Crew {
 public:
  virtual ~Crew() = default;

  // Brings up whoever works, and the state: the newest good checkpoint not after step `before`, or the task's beginning.
  struct Begun {
    KeeperTask::Loaded loaded;
    Digest digest;
  };
  [[nodiscard]] virtual Result<Begun> begin(std::uint64_t before) = 0;
  // Makes the state that follows the committed one. ErrorKind::stopped: interrupted; nothing has changed.
  [[nodiscard]] virtual Result<NextState> next() = 0;
  // What `next` made is the committed state from here on.
  virtual void commit() = 0;
  // Of the committed state.
  [[nodiscard]] virtual Result<Evaluation> evaluate() = 0;

  // Begins to write the committed state to disk, then to apply the retention. One at a time: another one that is not finished is waited for
  // if `wait`, else this one is not begun (false).
  [[nodiscard]] virtual Result<bool> checkpoint(const store::Retention& retention, bool wait) = 0;
  // The newest step whose checkpoint is on disk as far as this crew knows.
  [[nodiscard]] virtual std::optional<std::uint64_t> checkpointed() const = 0;

  // Waits while things go on: until `done` or until the time is over. `done` is asked whenever something happens, also when the descriptor
  // (unless it is negative) becomes readable.
  virtual void wait(const std::function<bool()>& done, std::chrono::milliseconds time, int descriptor) = 0;

  // Moves since it was asked last, each told in a sentence. They were between two steps: after the committed one of their time, before the
  // next.
  [[nodiscard]] virtual std::vector<std::string> moves() { return {}; }

  [[nodiscard]] virtual std::string description() const = 0;  // "2 workers on cpu (…)"
  // The programs of a worker that lives in this process; none otherwise.
  [[nodiscard]] virtual std::vector<const device::Executable*> executables() const { return {}; }
};

struct CrewOptions {
  std::filesystem::path checkpoints;  // RUN/checkpoints
  int threads = 1;                    // in all
  std::function<bool()> interrupted;

  Placement placement;                     // where workers sit; of a crew of one process, it
  std::filesystem::path placement_record;  // RUN/placement.json
  std::filesystem::path move_request;      // RUN/move.json

  // Of a crew of processes.
  int workers = 1;
  std::vector<Place> spares;  // where workers are moved whose backend is left with no device that is believed
  enum class Verify : std::uint8_t { off, inline_checks, dual } verify = Verify::inline_checks;
  double replay_share = 1.0 / 32;          // of proposals that another device must confirm, beside the checks
  std::filesystem::path record;            // RUN/guard.json
  std::shared_ptr<Faults> faults;          // may be null
  std::uint64_t skipped_in_a_row_max = 8;  // steps that leave their batch out, before the run goes back, and then waits for its owner
  // What the journal says of a step that is made again.
  std::function<std::optional<Digest>(std::uint64_t step)> committed;
  // And how often it says that what was committed was wrong.
  std::function<std::uint64_t()> made_anew;
};

// Warnings of what a step asked outside. `first`: also of how those outside are not confined.
void tell_asked(std::uint64_t step, const Asked& asked, bool first);
// Why a run waits for a record (Drawn::lacks) that a committed step was made with.
[[nodiscard]] std::string lost_record(const std::string& record, std::uint64_t step);

// Keeper and workers in processes of their own. Call it, and its functions, from one thread.
[[nodiscard]] std::unique_ptr<Crew> make_supervisor(Task& task, const CrewOptions& options);

// Samples of the parts that so many workers are given: an aligned subtree each, as many parts as workers or a few more.
[[nodiscard]] std::int64_t part_samples(std::int64_t samples, int workers);

// Keeper and one worker in the calling process: no second process, one state that is updated in place. For debugging, and for measuring
// what the guard costs.
[[nodiscard]] std::unique_ptr<Crew> make_alone(Task& task, const CrewOptions& options);

}  // namespace godwit::guard
