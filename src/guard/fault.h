// Faults on purpose: what a story orders (guard/story.h), when it strikes, and the record of what struck.
//
// A process of a run passes *points*: it says which of them it is at, and a fault that is due there strikes: it kills the process, stops
// it, or is handed back to be carried out (a tensor to flip, a frame to lose). Without a story a point costs one comparison.
//
// The board lies in memory shared by all processes of a run, so that a fault that has struck strikes no more in the process that comes
// after. Every fault is in the log (RUN/faults.jsonl) *before* it strikes, and a run that is started again reads there what has struck
// already. A line of the log is a JSON object: "fault" its number in the story, from 0, "text", the point ("role", "worker", "step",
// "phase", "op"), "process", "seconds" (the monotonic clock of the machine); and either "times", how often it has struck with this, and
// "pass", how often the point was passed where that decides, or "what", what exactly it does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "device/device.h"

namespace godwit::guard {

enum class Role : std::uint8_t { supervisor, keeper, worker };

// What a process is doing. Also what the watchdogs know a process by (guard/pulse.h).
enum class Phase : std::uint8_t {
  starting,    // any: until it has its memory
  preparing,   // keeper, worker: programs, weights' layouts
  idle,        // keeper, worker: nothing to do
  loading,     // keeper: the newest good checkpoint
  batch,       // keeper: the samples of a step
  asking,      // keeper: what a step takes from outside
  forward,     // worker
  backward,    // worker
  sending,     // worker: the proposal is made, its checksums are taken, the answer is not sent; supervisor: a worker's answer has come
  evaluating,  // worker
  comparing,   // worker that is to take a seat: the committed state, read back from its device
  joining,     // keeper: proposals into one gradient
  judging,     // keeper: norm
  applying,    // keeper: optimizer into the other buffer
  digesting,   // keeper
  committing,  // supervisor: the state is made, its line is not in the journal
  committed,   // supervisor: the line is in the journal
  moving,      // supervisor: workers are to sit elsewhere, and everything that was asked of them there came out; it is not recorded
  moved,       // supervisor: it is recorded, and they do not sit there yet
  writing,     // the checkpoint writer, as supervisor
};
inline constexpr int phase_count = static_cast<int>(Phase::writing) + 1;
[[nodiscard]] std::string_view phase_name(Phase phase);
[[nodiscard]] std::string_view role_name(Role role);

// Where a process is.
struct Point {
  Role role = Role::worker;
  int worker = -1;         // number of the worker
  std::uint64_t step = 0;  // the step being made: the first is 1
  Phase phase = Phase::idle;
  std::string_view op = {};  // worker: name of the op that begins, "" at the phase's own begin
  bool trusted = false;      // a worker on the trusted CPU: faults of devices do not strike it unless they say so
  bool candidate = false;    // a worker that is to take another's seat: faults of workers do not strike it, nor the other way round
};

enum class Act : std::uint8_t {
  // What happens to a process: carried out by Faults::pass itself.
  kill,       // SIGKILL; `how` "everything": the supervisor and all its children at once
  crash,      // SIGSEGV
  abandon,    // abort()
  leave,      // the process ends with exit code 0
  exhaust,    // memory is refused (RLIMIT_AS): std::bad_alloc leaves pass
  stop,       // SIGSTOP; with `seconds`, continued after that time
  livelock,   // a loop that never ends, in `threads` threads
  sleep,      // `seconds`
  slow,       // while its steps last, what lies between two points takes `factor` times as long
  terminate,  // SIGTERM to the supervisor
  // What happens to numbers and messages: handed back.
  spoil,        // sums of products: `spoil`
  flip_tensor,  // stored results of ops, after the op: `bits` in each of `results` results of `op` ("" any)
  drop_tensor,  // `results` stored results of `op` are left as they were before the op
  flip_state,   // committed state at rest: `tensor` (part of a name, "" any), `bits`
  flip_copy,    // a candidate's device does not hold the state it was given
  flip_proposal,
  swap_proposal,
  cut_proposal,  // a finished gradient in transit: bits, two chunks exchanged, the last 8 elements unprocessed
  poison,        // the loss becomes NaN, on every device
  lose_frame,
  repeat_frame,
  delay_frame,     // by `seconds`
  flip_frame,      // `bits`
  reset_link,      // the next answer of a worker: handed back to the supervisor, in sending, with the worker's number
  rot_checkpoint,  // the newest checkpoint: `how` flip, truncate, remove
  rot_data,        // the files the data are in: the same
  rot_tokens,      // the ids the run made of them: the same
  disk,            // calls that change the disk, for `seconds`, for `calls` calls, or (both 0) until the process ends; see `how`
  move,            // a request to move workers (at.worker -1: all) to the place `how`, as godwit move makes it
};

struct Fault {
  std::string text = {};  // as the story says it
  Act act = Act::kill;
  Point at = {};  // worker -1: any; `op` is not looked at, see in_op
  bool any_phase = false;
  std::string in_op = {};    // "": at the begin of the phase itself; a name: wherever such an op begins; "*": at both, whatever the op
  bool each_worker = false;  // count and once_a_step hold for each worker by itself
  bool trusted_too = false;
  std::uint64_t last_step = 0;  // strikes at steps at.step … last_step
  std::uint64_t count = 1;      // times at most; 0: without end
  bool once_a_step = false;     // not again when a step is made again
  double rate = 1;              // probability at each point that fits
  std::uint64_t seed = 0;       // of `rate`, and of where numbers are flipped
  // Parameters, by act.
  std::string op = {}, tensor = {};
  std::string how = {};      // of disk: "full", "error", "read-only" (error_number is ENOSPC, EIO, EROFS), "sync" (EIO, of syncs alone),
                             // "short" (writes of half the bytes), "slow" (`factor` MB/s)
  int bits = 1;              // flipped
  int bit = -1;              // which of its number, where `bits` is 1; -1: a random one
  std::int64_t results = 1;  // 0: every one
  int threads = 1;
  std::uint64_t calls = 0;
  double seconds = 0, factor = 1;
  int error_number = 0;
  godwit_spoil spoil{};  // its `op` is set by Faults::create
};

// Thread-safe. A process that dies at any moment leaves it whole.
class Faults {
 public:
  // None: every point passes.
  Faults() = default;
  // Shared by fork: make it in the supervisor, before the first. The log is made if it is not there; otherwise what it tells has struck
  // already, as far as it is about the same story.
  [[nodiscard]] static Result<std::shared_ptr<Faults>> create(std::vector<Fault> faults, const std::string& log_path);

  // Passes a point: faults due there that concern a process strike. Others are handed back, logged, as struck; they are this object's.
  // Whatever cannot be logged does not strike. Needs no file, no fork but that of a supervisor that is to be stopped for a time.
  std::vector<const Fault*> pass(const Point& point);
  // Writes to the log what a handed-back fault does, before it is done ("bit 30 of element 17 of grad.lm_head").
  void tell(const Fault& fault, const Point& point, std::string_view what);
  // To be called by the supervisor now and then (every 10 ms or so): sends the signals that processes which may send none have asked for,
  // and continues those whose time of being stopped is over.
  void attend();
  [[nodiscard]] std::uint64_t struck(std::size_t index) const;  // times, by number
  [[nodiscard]] const std::vector<Fault>& all() const { return faults_; }
  [[nodiscard]] bool any() const { return !faults_.empty(); }

 private:
  struct Board;
  struct Strike;
  bool due(std::size_t index, const Point& point, Strike& strike);
  bool log(const Strike& strike, std::string_view what);
  void carry_out(const Fault& fault, const Point& point);
  void signal_self(int signal);
  void slow_down(const Point& point, double factor);

  std::vector<Fault> faults_;
  std::vector<int> slowed_;  // by fault: the process that is slow
  std::shared_ptr<Board> board_;
};

}  // namespace godwit::guard
