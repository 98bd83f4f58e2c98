// Faults on purpose: what a story orders (guard/story.h), when it strikes, and the record of what struck.
//
// A process of a run passes *points*: it says which of them it is at, and a fault that is due there strikes: it kills the process, stops
// it, or is handed back to be carried out (a tensor to flip, a frame to lose). Without a story a point costs one comparison.
//
// The board lies in memory shared by all processes of a run, so that a fault that has struck strikes no more in the process that comes
// after. Every fault is in the log (RUN/faults.jsonl: a JSON object a line: fault's number, its text, point, process, what exactly)
// *before* it strikes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "godwit/backend.h"

namespace godwit::guard {

enum class Role : std::uint8_t { supervisor, keeper, worker };

// What a process is doing. Also what the watchdogs know a process by (guard/pulse.h).
enum class Phase : std::uint8_t {
  starting,    // any: until it has its memory
  preparing,   // keeper, worker: programs, weights' layouts
  idle,        // keeper, worker: nothing to do
  loading,     // keeper: the newest good checkpoint
  batch,       // keeper: the samples of a step
  forward,     // worker
  backward,    // worker
  sending,     // worker: the proposal is made, its checksums are taken, the answer is not sent
  evaluating,  // worker
  joining,     // keeper: proposals into one gradient
  judging,     // keeper: norm
  applying,    // keeper: optimizer into the other buffer
  digesting,   // keeper
  committing,  // supervisor: the state is made, its line is not in the journal
  committed,   // supervisor: the line is in the journal
  writing,     // the checkpoint writer
};
[[nodiscard]] std::string_view phase_name(Phase phase);

// Where a process is.
struct Point {
  Role role = Role::worker;
  int worker = -1;         // number of the worker
  std::uint64_t step = 0;  // the step being made: the first is 1
  Phase phase = Phase::idle;
  std::string_view op = {};  // worker: name of the op that begins, "" at the phase's own begin
  bool trusted = false;      // a worker on the trusted CPU: faults of devices do not strike it unless they say so
};

enum class Act : std::uint8_t {
  // What happens to a process: carried out by Faults::pass itself.
  kill,       // SIGKILL
  crash,      // SIGSEGV
  abandon,    // abort()
  leave,      // exit(0)
  exhaust,    // memory until RLIMIT_AS refuses
  stop,       // SIGSTOP; with `seconds`, continued by a helper process after that time
  livelock,   // a loop that never ends, with every thread it has
  sleep,      // sleeps `seconds`
  slow,       // from now on each op takes `factor` times as long
  terminate,  // SIGTERM to the supervisor
  // What happens to numbers and messages: handed back.
  spoil,        // sums of products: `spoil`
  flip_tensor,  // a stored result of an op, after the op: `op`, `bits`
  drop_tensor,  // a stored result is left as it was before the op
  flip_state,   // committed state at rest: `tensor` (part of a name, "" any), `bits`
  flip_proposal,
  swap_proposal,
  cut_proposal,  // a finished gradient in transit: bits, two chunks exchanged, the last 8 elements unprocessed
  poison,        // the loss becomes NaN, on every device
  lose_frame,
  repeat_frame,
  delay_frame,
  flip_frame,
  reset_link,      // the next answer of a worker
  rot_checkpoint,  // the newest checkpoint: `how` flip, truncate, remove
  disk,            // `error_number` for every call that changes the disk, for `seconds` or `count` calls
};

struct Fault {
  std::string text;  // as the story says it
  Act act = Act::kill;
  Point at;  // worker -1: any
  bool any_phase = false;
  bool trusted_too = false;
  std::uint64_t last_step = 0;  // strikes at steps at.step … last_step
  std::uint64_t count = 1;      // times at most; 0: without end
  double rate = 1;              // probability at each point that fits
  std::uint64_t seed = 0;
  // Parameters, by act.
  std::string op, tensor, how;
  int bits = 1;
  double seconds = 0, factor = 1;
  int error_number = 0;
  godwit_spoil spoil{};  // `op` points into this->op
};

class Faults {
 public:
  // None: every point passes. Shared by fork; make it before the first.
  Faults() = default;
  [[nodiscard]] static Result<std::shared_ptr<Faults>> create(std::vector<Fault> faults, const std::string& log_path);

  // Passes a point: faults due there that concern a process strike. Others are handed back, logged, as struck.
  std::vector<const Fault*> pass(const Point& point);
  // Writes to the log what a handed-back fault does, before it is done ("bit 30 of element 17 of grad.lm_head").
  void tell(const Fault& fault, const Point& point, std::string_view what);
  [[nodiscard]] std::uint64_t struck(std::size_t index) const;  // times, by number
  [[nodiscard]] const std::vector<Fault>& all() const { return faults_; }
  [[nodiscard]] bool any() const { return !faults_.empty(); }

 private:
  std::vector<Fault> faults_;
  struct Board;
  std::shared_ptr<Board> board_;
};

}  // namespace godwit::guard
