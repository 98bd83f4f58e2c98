// A crew of processes, and the one that decides: proposes, judges, commits or discards, and climbs the ladder when something went wrong.
#pragma once

#include <deque>
#include <map>
#include <utility>

#include "guard/crew.h"
#include "guard/ladder.h"
#include "guard/move.h"
#include "guard/roll_back.h"
#include "guard/staff.h"

namespace godwit::guard {

class Supervisor : public Crew {
 public:
  Supervisor(Task& task, const CrewOptions& options);
  ~Supervisor() override;

  Result<Begun> begin(std::uint64_t before) override;
  Result<NextState> next() override;
  void commit() override;
  Result<Evaluation> evaluate() override;
  Result<bool> checkpoint(const store::Retention& retention, bool wait) override;
  std::optional<std::uint64_t> checkpointed() const override { return checkpointed_; }
  std::vector<std::string> moves() override { return std::exchange(told_moves_, {}); }
  void wait(const std::function<bool()>& done, std::chrono::milliseconds time, int descriptor) override;
  std::string description() const override;

 private:
  static constexpr int wait_ms = 20;  // between two looks at everything
  static constexpr int killed_in_a_row_max = 5;
  // Of state buffers: the fourth is used while a move keeps one for its candidates.
  static constexpr std::size_t states_usual = 3, states_moving = 4;
  [[nodiscard]] static Error stopped() { return {ErrorKind::stopped, "stopped on request"}; }

  // A part of the step's samples on its way to a proposal that stands.
  struct Part {
    std::int64_t first = 0, count = 0;
    Proof proof = Proof::none;
    std::vector<Attempt> attempts;
    std::optional<Proposed> standing;
    Post* running = nullptr;  // whoever computes it now
    double began_at = 0;
    double writing_s = 0;  // of the answer that came last
  };

  // ---- One after the other ----
  [[nodiscard]] Result<Json> keep(Json order);  // the keeper carries it out, whoever is keeper by then
  [[nodiscard]] Result<Json> keep_on(const Json& order, const std::string& what);
  // Nothing: the committed state is another one now.
  [[nodiscard]] Result<std::optional<NextState>> make(std::uint64_t step);
  // The step's samples into their area; what it lacks from outside.
  [[nodiscard]] Result<Drawn> draw(std::uint64_t step);
  // Lets workers write what is asked outside, and has it asked, until nothing is lacking; or until the step is poisoned.
  [[nodiscard]] Result<void> ask(std::uint64_t step, std::string lacks);
  // Too many steps in a row leave their batch out. The step to go on with, if what was committed was wrong; else an error that says why the
  // run waits.
  [[nodiscard]] Result<NextState> roll_back(const NextState& diverged);
  [[nodiscard]] Result<std::optional<NextState>> reproduce(Stretch& stretch);
  // What the trusted CPU makes of a step that was committed before: the same, or, twice the same, something else: then it is to be taken in
  // its place. Nothing: the committed state is another one now.
  [[nodiscard]] Result<std::optional<NextState>> made_by_trusted(std::uint64_t step, const Digest& committed);
  // The same for a step that came out otherwise than it was committed.
  [[nodiscard]] Result<std::optional<NextState>> settle_difference(const NextState& made, const Digest& committed);
  [[nodiscard]] Result<void> propose(std::uint64_t step);  // until every part stands, or the step is poisoned
  [[nodiscard]] Result<void> restore();                    // the committed state is damaged: an earlier one takes its place
  [[nodiscard]] Result<void> load(std::uint64_t before, KeeperTask::Loaded& loaded);

  // ---- Parts ----
  void begin_parts(std::uint64_t step, bool question);
  [[nodiscard]] std::vector<Proposed> standing() const;
  [[nodiscard]] double longest_writing() const;
  void advance(std::size_t part, std::uint64_t step);
  void quarantine(int worker, std::span<const Attempt> attempts);
  void give(Post& post, std::size_t part, std::uint64_t step);
  // The committed state's samples first … first + count in that area, with a key of their own to be checked with.
  [[nodiscard]] Order order_of(std::size_t area, std::int64_t first, std::int64_t count, std::uint64_t step);
  [[nodiscard]] Post* taker(const Decision& decision);  // who can do it now
  [[nodiscard]] std::vector<Device> devices() const;
  [[nodiscard]] bool all_stand() const;
  void doubt(const Doubt& doubt);
  void answered(Post& post, const Json& content);

  // ---- Everything that happens ----
  void attend(int milliseconds);
  void happened(const Event& event);
  // For the log, the counters, the time to the next commit; it began so many seconds ago.
  void fault(const std::string& what, double ago_s = 0);
  // An answer came so many seconds after its order.
  void note_slow(int worker, double seconds, std::int64_t samples);
  void note_late(int worker, double seconds, bool late);
  void leave_aside(int worker, double seconds, const std::string& why);
  void name(int worker);
  // What happened says something about a device: the one place that all of it comes through.
  enum class Noted : std::uint8_t { finding, quarantined, moved_from, moved_to, refused };
  void note(const Post& post, Noted what, const std::string& why);
  [[nodiscard]] Json worker_json(int number);
  void record(bool now = false);
  void recall();  // what an earlier supervisor of the run counted

  // ---- Moves (supervisor_moves.cc) ----
  [[nodiscard]] bool may_begin_move() const;
  void look_for_request();
  void begin_move(MoveRequest request);
  // Where all workers of a backend are lost and another one was named for that.
  void move_to_spare();
  // The next thing that a move needs from the run, between two steps.
  [[nodiscard]] Result<void> go_on_moving();
  // Candidates make a part of this step that others make now.
  [[nodiscard]] Result<void> prove_candidates(std::uint64_t step);
  // The step came out: what candidates must have made.
  void note_parts();
  void candidate_happened(const Event& event);
  void compare_parts();
  [[nodiscard]] Result<void> hand_over();
  void abort_move(bool differs, std::string why);
  void close_request();
  void pass(Phase phase, std::uint64_t step);  // faults on purpose
  [[nodiscard]] Json move_json() const;
  [[nodiscard]] std::vector<Place> places() const;

  // ---- Checkpoints ----
  [[nodiscard]] Result<void> begin_writing(std::uint64_t step, const store::Retention& retention);
  void writer_ended(const Ending& ending);
  [[nodiscard]] std::size_t free_state() const;

  Task& task_;
  CrewOptions options_;
  Sizes sizes_;
  std::int64_t part_samples_;  // with all workers
  Staff staff_;

  std::size_t committed_ = 0;
  std::optional<std::size_t> previous_;  // the state before it, as far as it is still there
  std::optional<std::size_t> made_;
  std::uint64_t version_ = 1;  // of the committed state, as workers follow it
  std::uint64_t secret_[2] = {};

  std::vector<Part> parts_;
  bool question_ = false;       // parts are of what is asked outside
  bool asked_ = false;          // somebody outside, by this process
  double writing_s_ = 0;        // of this step's question
  std::string poisoned_;        // why the step leaves its batch out
  bool trusted_alone_ = false;  // no other device is asked
  std::optional<Json> kept_;    // the keeper's answer
  bool keeper_gone_ = false;

  struct Chunk {  // of the validation samples
    Chunk(std::int64_t first_sample, std::int64_t samples) : first(first_sample), count(samples) {}
    std::int64_t first = 0, count = 0;
    std::vector<double> sums;
    std::int64_t predictions = 0;
    bool doubted = false;  // the sums are the trusted CPU's, and a check dislikes them
    bool done = false;
    int failures = 0;
    Post* running = nullptr;
  };
  void evaluated(Chunk& chunk, const Json& content);
  std::vector<Chunk> chunks_;

  struct Worker {
    std::uint64_t followed = 0;  // version
    int part = -1;               // that it computes; -1: none, or one that nobody waits for any more
    bool distrust = false;       // makes what depends on weights anew before its next part
    bool aside = false;          // too slow to wait for
    std::uint64_t aside_until = 0;
    double aside_until_s = 0;               // and of the clock
    bool returned = false;                  // from being aside, and has not shown yet that it has recovered
    int late_in_a_row = 0;                  // answers
    std::string quarantined;                // why
    std::optional<std::uint64_t> named_at;  // the step at which it was first found bad or slow
    std::int64_t samples = 0, checked = 0;
    std::deque<double> seconds;  // a sample, of late
  };
  std::vector<Worker> workers_;  // by number, the trusted one behind

  std::optional<Move> move_;
  std::string closed_request_;  // its id: what is still on the disk of it counts no more
  std::vector<Place> tried_spares_;
  std::vector<std::string> told_moves_;
  double step_s_ = 0;  // a step, of late
  double committed_at_ = 0;
  bool fourth_used_ = false;  // of the states
  struct DeviceRecord {
    std::uint64_t findings = 0, quarantined = 0, moved_from = 0, moved_to = 0, refused = 0;
    std::string last;
  };
  std::map<std::string, DeviceRecord> device_records_;
  std::uint64_t attempts_ = 0;  // in all, for keys

  std::optional<Child> writer_;
  Link writer_link_;
  std::size_t writing_state_ = 0;
  std::uint64_t writing_step_ = 0;
  std::string write_error_;
  ErrorKind write_error_kind_ = ErrorKind::world;  // stopped: the writer ended without a word
  std::optional<std::uint64_t> checkpointed_;

  // What guard.json says.
  struct Recovery {
    std::uint64_t step;
    std::string what;
    double seconds;
  };
  std::map<std::string, std::uint64_t> counters_;
  std::deque<Recovery> recoveries_;
  std::vector<std::pair<double, std::string>> open_faults_;
  std::string rung_, waiting_;
  int waited_for_ = -1;  // a descriptor that ends a wait
  std::uint64_t resends_counted_ = 0;
  double recorded_at_ = 0, began_at_ = 0, lost_s_ = 0;
};

}  // namespace godwit::guard
