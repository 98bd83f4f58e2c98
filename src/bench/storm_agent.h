// Somebody outside who does a run harm: sends signals to its processes, and watches how it recovers.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/random.h"
#include "store/run_directory.h"

namespace godwit::bench {

struct Recovery {
  std::string fault;   // what guard.json calls it; "supervisor": of the process itself, seen from outside
  double seconds = 0;  // to the next commit
  [[nodiscard]] bool hang() const;
};

// Of a run that was started by this process. Not thread-safe.
class StormAgent {
 public:
  struct Options {
    store::RunDirectory run;
    std::uint64_t seed = 1;
    double steps_between = 40;  // on average, from one signal to the next
    bool only_kills = false;    // SIGKILL; otherwise SIGSTOP and SIGCONT as well
  };
  explicit StormAgent(Options options);

  // To be called several times a second while the run goes on: looks, and strikes when it is time.
  void look();
  // The run's own process has ended, and is about to be started again.
  void supervisor_ended();
  // From now on it only looks.
  void rest();

  [[nodiscard]] std::uint64_t step() const { return step_; }  // committed
  [[nodiscard]] double committed_at() const { return committed_at_; }
  [[nodiscard]] const std::vector<Recovery>& recoveries() const { return recoveries_; }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& struck() const { return struck_; }  // "SIGKILL to a worker": times

 private:
  struct Stopped {
    pid_t process;
    double until;
  };
  void read_guard();
  void strike();
  void send(pid_t process, int signal);
  [[nodiscard]] std::optional<pid_t> supervisor() const;
  // A process of the run, whatever was written down about it before: numbers of processes are used again.
  [[nodiscard]] bool of_run(pid_t process) const;

  Options options_;
  RandomSequence random_;
  bool resting_ = false;
  std::uint64_t step_ = 0, strike_at_ = 0;
  std::uint64_t journal_bytes_ = 0;
  double committed_at_ = 0, read_at_ = 0;
  std::optional<double> gone_at_;  // the supervisor, and nothing is committed since
  Json guard_;
  std::size_t recoveries_read_ = 0;  // of the supervisor there is
  std::string stale_;                // what its predecessor left
  std::vector<Stopped> stopped_;
  std::vector<Recovery> recoveries_;
  std::map<std::string, std::uint64_t> struck_;
};

}  // namespace godwit::bench
