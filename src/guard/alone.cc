// A crew of one process.
#include <sys/mman.h>
#include <thread>
#include <utility>

#include "base/log.h"
#include "guard/crew.h"

namespace godwit::guard {

namespace {

// Zeroed memory, aligned to pages, touched when it is used.
class Anonymous {
 public:
  explicit Anonymous(std::int64_t bytes) : bytes_(static_cast<std::size_t>(bytes)) {
    data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(data_ != MAP_FAILED, "no memory for {} bytes", bytes_);
  }
  ~Anonymous() { munmap(data_, bytes_); }
  Anonymous(const Anonymous&) = delete;
  Anonymous& operator=(const Anonymous&) = delete;
  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  std::size_t bytes_;
  void* data_;
};

class Alone : public Crew {
 public:
  Alone(Task& task, const CrewOptions& options)
      : task_(task),
        options_(options),
        sizes_(task.sizes()),
        state_(sizes_.state_bytes),
        area_(sizes_.area_bytes),
        slot_(sizes_.slot_bytes),
        keeper_(task.keeper(options.threads)),
        worker_(task.worker(options.placement.workers.at(0).place, options.threads)) {}

  Result<Begun> begin(std::uint64_t before) override {
    const Memory memory{{state_.data()}, {area_.data(), area_.data()}, {{slot_.data()}}};
    TRY(worker_->prepare(memory, 0, pulse_));
    TRY(keeper_->prepare(memory, pulse_));
    if (const std::string coverage = worker_->coverage(); !coverage.empty()) log_info("the device does {}", coverage);
    Begun begun;
    TRY_ASSIGN(begun.loaded, keeper_->load(0, before));
    if (begun.loaded.loaded) checkpointed_ = begun.loaded.step;
    begun.digest = state_digest(task_.digests(state_.data()));
    changed_ = true;
    return begun;
  }

  Result<NextState> next() override {
    TRY_ASSIGN(std::string lacks, draw());
    const std::uint64_t step = task_.step(state_.data()) + 1;
    std::string why;
    double writing_s = 0;
    // Here nobody else could make the step: a doubt that comes again is the batch's.
    for (int attempt = 0; attempt < 3; ++attempt) {
      Order order;
      order.state_changed = changed_ || attempt > 0;  // packed weights may be what is wrong
      order.count = sizes_.samples;
      order.question = !lacks.empty();
      order.step = step;
      order.key[0] = step;
      TRY_ASSIGN(const Answer answer, worker_->propose(order, options_.interrupted));
      changed_ = false;
      writing_s += answer.writing_s;
      if (answer.finding_count > 0) {
        why = fmt::format("{} results in doubt", answer.finding_count);
        if (!answer.findings.empty()) why += fmt::format(", the first of {} {}", answer.findings[0].op, answer.findings[0].tensor);
        log_warning("step {}: {}", step, why);
        continue;
      }
      const Proposed proposed{0, 0, 0, sizes_.samples, answer.checksum};
      if (order.question) {
        if (options_.committed && options_.committed(step)) return world_error("{}", lost_record(lacks, step));
        TRY_ASSIGN(const Asked asked, keeper_->ask(0, 0, std::span(&proposed, 1)));
        tell_asked(step, asked, !std::exchange(asked_, true));
        TRY_ASSIGN(lacks, draw());
        attempt = -1;
        continue;
      }
      TRY_ASSIGN(Made made, keeper_->make(0, 0, 0, std::span(&proposed, 1), How::apply));
      if (made.doubts.empty()) {
        std::string note = std::move(made.note);
        return made_state(step, std::move(made), false, std::move(note), writing_s);
      }
      why = made.doubts[0].what;
      log_warning("step {}: {}", step, why);
    }
    TRY_ASSIGN(Made made, keeper_->make(0, 0, 0, {}, How::skip));
    if (made.facts.value("skipped_in_a_row", std::uint64_t{0}) > options_.skipped_in_a_row_max) {
      return world_error(
          "waiting for its owner: step {}: {} steps in a row left their batch out, the last because {}. The training has diverged, a "
          "device has lied, or the data are not what they should be: with --workers 1 or more the same command says which",
          step, options_.skipped_in_a_row_max, why);
    }
    return made_state(step, std::move(made), true, why);
  }

  void commit() override {}

  Result<Evaluation> evaluate() override {
    Evaluation evaluation;
    double sum = 0;
    for (std::int64_t first = 0; first < sizes_.validation; first += sizes_.pass) {
      if (options_.interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
      TRY_ASSIGN(const std::string repaired, keeper_->validation(first, std::min(sizes_.pass, sizes_.validation - first), 0));
      if (!repaired.empty()) log_warning("{}", repaired);
      WorkerTask::Evaluated evaluated;
      // Nobody else is there to say what a doubt is worth: what is in doubt twice is taken as it is.
      for (int attempt = 0; attempt < 2; ++attempt) {
        Order order;
        order.state_changed = changed_ || attempt > 0;
        order.step = task_.step(state_.data());
        TRY_ASSIGN(evaluated, worker_->evaluate(order));
        changed_ = false;
        if (evaluated.finding_count == 0) break;
        log_warning("step {}: {} results of an evaluation are in doubt", order.step, evaluated.finding_count);
      }
      for (const double each : evaluated.sums) sum += each;
      evaluation.predictions += evaluated.predictions;
    }
    if (evaluation.predictions > 0) evaluation.loss = sum / static_cast<double>(evaluation.predictions);
    return evaluation;
  }

  Result<bool> checkpoint(const store::Retention& retention, bool) override {
    const std::uint64_t step = task_.step(state_.data());
    if (checkpointed_ != step) {
      TRY(store::write_checkpoint(options_.checkpoints, step, task_.list(state_.data()), task_.digests(state_.data()), task_.profile()));
      checkpointed_ = step;
      TRY(store::apply_retention(options_.checkpoints, retention));
    }
    return true;
  }
  std::optional<std::uint64_t> checkpointed() const override { return checkpointed_; }

  void wait(const std::function<bool()>& done, std::chrono::milliseconds time, int) override {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!done() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  std::string description() const override { return fmt::format("this process alone on {}", worker_->device_name()); }
  std::vector<const device::Executable*> executables() const override {
    std::vector<const device::Executable*> all = worker_->executables();
    for (const device::Executable* executable : keeper_->executables()) all.push_back(executable);
    return all;
  }

 private:
  // The step's samples into their area; what it lacks from outside.
  Result<std::string> draw() {
    TRY_ASSIGN(Drawn drawn, keeper_->batch(0, 0));
    if (!drawn.repaired.empty()) log_warning("{}", drawn.repaired);
    return std::move(drawn.lacks);
  }

  NextState made_state(std::uint64_t step, Made made, bool skipped, std::string note, double writing_s = 0) {
    changed_ = true;
    return {step,     state_digest(task_.digests(state_.data())), std::move(made.facts), std::move(made.samples), skipped, std::move(note),
            writing_s};
  }

  Task& task_;
  CrewOptions options_;
  Sizes sizes_;
  Anonymous state_, area_, slot_;
  Pulse pulse_;
  std::unique_ptr<KeeperTask> keeper_;
  std::unique_ptr<WorkerTask> worker_;
  bool changed_ = true;
  bool asked_ = false;  // somebody outside, by this process
  std::optional<std::uint64_t> checkpointed_;
};

}  // namespace

std::unique_ptr<Crew> make_alone(Task& task, const CrewOptions& options) {
  return std::make_unique<Alone>(task, options);
}

}  // namespace godwit::guard
