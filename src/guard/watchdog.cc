#include "guard/watchdog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace godwit::guard {

namespace {

constexpr double least_limit_s = 2;
constexpr double first_time_s = 10;
constexpr double preparing_s = 60;  // reading a model, compiling for a device
constexpr std::uint64_t known_gaps = 32;

}  // namespace

void Gaps::add(Phase phase, double seconds, std::uint64_t count) {
  Histogram& histogram = by_phase_[static_cast<std::size_t>(phase)];
  const int bucket = seconds <= 1e-3 ? 0 : static_cast<int>(2 * std::log2(seconds * 1e3));
  ++histogram.counts[static_cast<std::size_t>(std::clamp(bucket, 0, buckets - 1))];
  histogram.counts[0] += count - 1;
  histogram.total += count;
  histogram.longest = std::max(histogram.longest, seconds);
}

double Gaps::percentile99(Phase phase) const {
  const Histogram& histogram = by_phase_[static_cast<std::size_t>(phase)];
  std::uint64_t above = histogram.total / 100;
  for (int bucket = buckets - 1; bucket >= 0; --bucket) {
    const std::uint64_t count = histogram.counts[static_cast<std::size_t>(bucket)];
    if (count > above) return std::min(histogram.longest, 1e-3 * std::exp2((bucket + 1) / 2.0));
    above -= count;
  }
  return 0;
}

double Gaps::limit(Phase phase) const {
  const Histogram& histogram = by_phase_[static_cast<std::size_t>(phase)];
  const double known = std::max({least_limit_s, 5 * percentile99(phase), 2 * histogram.longest});
  if (phase == Phase::starting || phase == Phase::preparing || phase == Phase::loading) return std::max(preparing_s, known);
  return histogram.total < known_gaps ? std::max(first_time_s, known) : known;
}

std::optional<std::string> Watchdog::look(std::uint64_t beats, Phase phase, const Look& seen, double now, Gaps& gaps) {
  const double passed = began_ ? now - last_look_ : 0;
  last_look_ = now;
  if (!began_ || beats != beats_ || phase != phase_ || phase == Phase::idle) {
    if (began_ && phase_ != Phase::idle && beats != beats_) gaps.add(phase_, since_beat_, beats - beats_);
    began_ = true;
    beats_ = beats;
    phase_ = phase;
    cpu_at_beat_ = seen.cpu_s;
    since_beat_ = asleep_ = 0;
    // An idle process has no work to be late with, but one that was stopped would never take any up.
    stopped_ = phase == Phase::idle && seen.stopped ? stopped_ : 0;
    if (phase != Phase::idle || !seen.stopped) return std::nullopt;
  }
  if (passed <= 0 || passed > look_apart_max_s) return std::nullopt;
  since_beat_ += passed;
  if (seen.stopped) {
    stopped_ += passed;
  } else if (!seen.runnable) {
    asleep_ += passed;
  }
  const double limit = gaps.limit(phase);
  const double cpu = seen.cpu_s - cpu_at_beat_;
  if (stopped_ > std::min(limit, least_limit_s)) return fmt::format("it is stopped for {:.1f} s", stopped_);
  if (since_beat_ < limit) return std::nullopt;
  if (asleep_ > limit) return fmt::format("it sleeps for {:.1f} s in {}", asleep_, phase_name(phase));
  if (cpu > limit) return fmt::format("it used {:.1f} s of CPU without getting on in {}", cpu, phase_name(phase));
  return std::nullopt;
}

}  // namespace godwit::guard
