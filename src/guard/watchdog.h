// When a process hangs: no beat of its pulse for longer than its phase explains, seen by what the system says of it, not by the clock
// alone.
//
// A process is given up only for what is its own: CPU time it used without a beat (a livelock), or time in which none of its threads wanted
// a core (asleep, stopped). Waiting for a core on a busy machine counts as nothing, nor does time in which nobody looked: a supervisor that
// was stopped itself, a machine that slept, a clock that was set.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "guard/child.h"
#include "guard/fault.h"

namespace godwit::guard {

// How long processes of a kind go without a beat, by phase. Shared by all workers, kept when one is replaced.
class Gaps {
 public:
  // `count` gaps, the longest of which was so long.
  void add(Phase phase, double seconds, std::uint64_t count);
  // Seconds without a beat after which a process hangs: the largest of 2 s, 5 × the 99th percentile of that phase, and twice the longest
  // gap seen; where hardly any gap of the phase is known, `first_time_s`.
  [[nodiscard]] double limit(Phase phase) const;
  [[nodiscard]] double percentile99(Phase phase) const;

 private:
  static constexpr int buckets = 40;  // of powers of √2 from 1 ms
  struct Histogram {
    std::array<std::uint64_t, buckets> counts{};
    std::uint64_t total = 0;
    double longest = 0;
  };
  std::array<Histogram, phase_count> by_phase_{};
};

class Watchdog {
 public:
  // Time passes only between two looks that are less than this apart.
  static constexpr double look_apart_max_s = 0.25;

  // A look at the process; `now` in seconds of a clock that only goes forward. Says why the process hangs, or nothing.
  [[nodiscard]] std::optional<std::string> look(std::uint64_t beats, Phase phase, const Look& seen, double now, Gaps& gaps);

  // Seconds since the last beat, as looked at.
  [[nodiscard]] double silent_s() const { return since_beat_ > stopped_ ? since_beat_ : stopped_; }

 private:
  bool began_ = false;
  std::uint64_t beats_ = 0;
  Phase phase_ = Phase::starting;
  double last_look_ = 0;
  double cpu_at_beat_ = 0;
  double since_beat_ = 0;  // as looked at
  double asleep_ = 0;
  double stopped_ = 0;
};

}  // namespace godwit::guard
