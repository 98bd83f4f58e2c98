// What the guard runs: a task cut in two, the keeper's part and the worker's. The guard knows nothing else of it.
//
// A step's state is a pure function of (committed state, step): the keeper draws the step's samples from the state's cursor into an *area*,
// workers make *proposals* of aligned subtrees of the samples, the keeper joins them, judges the whole and makes the next state. All of
// that lies in memory that the guard allocates before there is a second process: states, areas, and a *slot* for each proposal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "device/device.h"
#include "guard/identity.h"
#include "guard/placement.h"
#include "guard/pulse.h"
#include "store/state.h"

namespace godwit::guard {

struct Sizes {
  std::int64_t state_bytes = 0;
  std::int64_t slot_bytes = 0;
  std::int64_t area_bytes = 0;
  std::int64_t samples = 0;     // of a step
  std::int64_t pass = 0;        // samples that a worker computes at once: a power of two, or all
  std::int64_t validation = 0;  // samples kept for validation; 0: the task does not evaluate
};

// All of a run's shared memory, as the process at hand may use it: a worker writes its own slots only.
struct Memory {
  std::vector<std::byte*> states;
  std::vector<std::byte*> areas;  // the step's samples, one for each worker's validation samples, one for those who are to take a seat
  std::vector<std::vector<std::byte*>> slots;  // by who may sit on a worker's seat, then by slot
};

// Why a step's proposal must not become state.
struct Doubt {
  std::string what;            // "loss is not finite"
  bool samples = false;        // the numbers themselves are in doubt, not how they came here: the samples may be why
  std::vector<int> proposals;  // indices of those it concerns; empty: of the state it was made from
};

// A part of the step's samples as a worker proposed it.
struct Proposed {
  int worker = 0;  // as Memory::slots counts
  int slot = 0;
  std::int64_t first = 0, count = 0;  // samples of the area
  BlockHash checksum;                 // of the slot, as the worker took it
};

struct Made {
  std::vector<Doubt> doubts;  // if there are any, nothing was made
  Json facts;                 // for the metrics: loss, lr …
  Json samples;               // a list of objects for people: some of what the step was made of; null: nothing
  std::string mended;         // what the keeper's own device got wrong before it was made again and came out right; empty: nothing
  std::string note;           // for the step's line in the journal: what it took from outside; empty: nothing
};

// A step's samples in their area.
struct Drawn {
  std::string repaired;  // what was found damaged on the way and made again; empty: nothing
  // What the step takes from outside and is not there yet: the durable record it will be read from ("rewards/12.json"). Empty: nothing.
  std::string lacks;
};

// What was obtained from outside, and is durable.
struct Asked {
  std::vector<Doubt> doubts;            // about what workers wrote; if there are any, nobody was asked
  std::vector<std::string> warnings;    // what those outside did not do
  std::vector<std::string> unconfined;  // what the kernel did not give to confine them
};

enum class How : std::uint8_t {
  apply,  // if it stands up to judgement
  skip,   // the step leaves its batch out: weights stay
};

// Used in the keeper's process by one thread.
class KeeperTask {
 public:
  virtual ~KeeperTask() = default;
  [[nodiscard]] virtual Result<void> prepare(const Memory& memory, Pulse& pulse) = 0;

  // The newest good checkpoint into a state; without any, the task's beginning.
  struct Loaded {
    bool loaded = false;
    std::uint64_t step = 0;
    std::string profile;
    std::vector<std::string> refused;  // checkpoints that were not good, newest first
  };
  // `before`: only checkpoints of that step or earlier.
  [[nodiscard]] virtual Result<Loaded> load(std::size_t state, std::uint64_t before) = 0;
  // Takes the hashes of a state and compares with those it came with. Blocks that differ, named; empty: none.
  [[nodiscard]] virtual Result<std::string> check(std::size_t state) = 0;
  // Fills the step's area with the samples that follow the state, and with what the step takes from outside, if that is there.
  [[nodiscard]] virtual Result<Drawn> batch(std::size_t state, std::size_t area) = 0;
  // Asks outside about what workers wrote (Order::question), of all samples in their order, and makes the answer durable: from here on it
  // is what batch() finds, and part of the step's input.
  [[nodiscard]] virtual Result<Asked> ask(std::size_t state, std::size_t area, std::span<const Proposed> written) = 0;
  [[nodiscard]] virtual Result<std::string> validation(std::int64_t first, std::int64_t count, std::size_t area) = 0;
  // The state `to` from the state `from` and what was proposed, in the order of the samples. Takes its hashes.
  [[nodiscard]] virtual Result<Made> make(std::size_t from, std::size_t to, std::size_t area, std::span<const Proposed> proposals,
                                          How how) = 0;
  [[nodiscard]] virtual std::vector<const device::Executable*> executables() const = 0;
};

struct Order {
  std::size_t state = 0;
  bool state_changed = true;  // since the last order: what depends on weights must be made anew
  std::size_t area = 0;
  std::int64_t first = 0, count = 0;
  int slot = 0;
  bool question = false;  // the slot gets what is to be asked outside about the samples, not yet the proposal
  std::uint64_t step = 0;
  std::uint64_t key[2] = {};  // what results are checked with
};

struct Answer {
  BlockHash checksum;  // of the slot
  std::vector<device::Finding> findings;
  std::int64_t finding_count = 0;
  std::int64_t checked = 0;  // results checked since the worker began
  double writing_s = 0;      // of the time it took, what samples took that the model itself writes
};

// Used in a worker's process by one thread.
class WorkerTask {
 public:
  virtual ~WorkerTask() = default;
  // `slots`: which of the memory's are its own.
  [[nodiscard]] virtual Result<void> prepare(const Memory& memory, int slots, Pulse& pulse) = 0;
  // `interrupted`: asked between passes; true gives the work up with ErrorKind::stopped.
  [[nodiscard]] virtual Result<Answer> propose(const Order& order, const std::function<bool()>& interrupted) = 0;
  // The sum of negative log-probabilities of each sample in the area, and how many predictions they are.
  struct Evaluated {
    std::vector<double> sums;
    std::int64_t predictions = 0;
    std::int64_t finding_count = 0;  // results in doubt
  };
  [[nodiscard]] virtual Result<Evaluated> evaluate(const Order& order) = 0;
  // The digest of the order's state, every byte of it as its device gives it back.
  [[nodiscard]] virtual Result<Digest> read_back(const Order& order) = 0;

  [[nodiscard]] virtual std::string device_name() const = 0;
  // Its device is gone: the process ends, and the next one opens it anew.
  [[nodiscard]] virtual bool lost() const = 0;
  // What of the programs' ops a device that lacks some does itself, and who does the rest; empty: it lacks none.
  [[nodiscard]] virtual std::string coverage() const = 0;
  // Of a device whose backend is loaded at run time, once prepared: what is noted of it outlives the run (guard/trust.h).
  [[nodiscard]] virtual std::optional<DeviceIdentity> identity() const { return std::nullopt; }
  [[nodiscard]] virtual std::vector<const device::Executable*> executables() const = 0;
};

// Made before any process is forked, and never used by two of them together.
class Task {
 public:
  virtual ~Task() = default;
  [[nodiscard]] virtual Sizes sizes() const = 0;
  [[nodiscard]] virtual const std::string& profile() const = 0;
  [[nodiscard]] virtual store::StateList list(std::byte* state) const = 0;
  [[nodiscard]] virtual std::vector<TensorDigest> digests(std::byte* state) const = 0;  // by the hashes it came with
  [[nodiscard]] virtual std::uint64_t step(std::byte* state) const = 0;
  [[nodiscard]] virtual std::unique_ptr<KeeperTask> keeper(int threads) = 0;
  [[nodiscard]] virtual std::unique_ptr<WorkerTask> worker(const Place& place, int threads) = 0;
};

}  // namespace godwit::guard
