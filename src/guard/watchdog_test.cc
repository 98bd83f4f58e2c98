// A hang could go unseen; a process that only waits for a core, or was not looked at for a while, could be given up.
#include "guard/watchdog.h"

#include <gtest/gtest.h>

namespace godwit::guard {
namespace {

constexpr double step_s = 0.05;

// Looks at a process every 50 ms until it is given up or the time is over; when, in seconds.
struct Watched {
  Gaps gaps;
  Watchdog dog;
  double now = 100;
  double cpu = 0;
  std::uint64_t beats = 0;

  std::optional<double> until_given_up(double seconds, Phase phase, bool stopped, bool runnable, double cpu_share,
                                       double looks_apart = step_s) {
    const double began = now;
    while (now - began < seconds) {
      now += looks_apart;
      cpu += looks_apart * cpu_share;
      if (dog.look(beats, phase, {cpu, stopped, runnable}, now, gaps)) return now - began;
    }
    return std::nullopt;
  }
  // A while of ordinary work, so that the gaps of the phase are known.
  void work(Phase phase) {
    for (int i = 0; i < 50; ++i) {
      now += step_s;
      cpu += step_s;
      beats += 20;
      EXPECT_FALSE(dog.look(beats, phase, {cpu, false, true}, now, gaps));
    }
  }
};

TEST(Watchdog, ALivelockIsSeenByTheCpuTimeItUses) {
  Watched w;
  w.work(Phase::forward);
  const auto given_up = w.until_given_up(10, Phase::forward, false, true, 1.0);
  ASSERT_TRUE(given_up);
  EXPECT_NEAR(*given_up, 2.0, 0.2);
}

TEST(Watchdog, WaitingForACoreIsNoFault) {
  Watched w;
  w.work(Phase::forward);
  EXPECT_FALSE(w.until_given_up(60, Phase::forward, false, true, 0.02));  // runnable, hardly ever runs
}

TEST(Watchdog, SleepingAndStoppedProcessesAreGivenUp) {
  for (const bool stopped : {false, true}) {
    Watched w;
    w.work(Phase::backward);
    const auto given_up = w.until_given_up(10, Phase::backward, stopped, false, 0.0);
    ASSERT_TRUE(given_up);
    EXPECT_NEAR(*given_up, 2.0, 0.2);
  }
}

TEST(Watchdog, AnIdleProcessMayBeIdleForEverButNotStopped) {
  Watched w;
  EXPECT_FALSE(w.until_given_up(100, Phase::idle, false, false, 0.0));
  const auto given_up = w.until_given_up(10, Phase::idle, true, false, 0.0);
  ASSERT_TRUE(given_up);
  EXPECT_LT(*given_up, 2.5);
}

TEST(Watchdog, TimeInWhichNobodyLookedDoesNotCount) {
  Watched w;
  w.work(Phase::forward);
  EXPECT_FALSE(w.until_given_up(3600, Phase::forward, false, false, 0.0, 30));  // the machine slept, the clock jumped
}

TEST(Watchdog, APhaseThatIsSlowByNatureGetsItsTime) {
  Watched w;
  for (int i = 0; i < 40; ++i) w.gaps.add(Phase::forward, 1.0, 1);
  EXPECT_GE(w.gaps.limit(Phase::forward), 5.0);
  EXPECT_FALSE(w.until_given_up(4.5, Phase::forward, false, true, 1.0));
  EXPECT_TRUE(w.until_given_up(10, Phase::forward, false, true, 1.0));
}

TEST(Watchdog, ItIsArmedFromTheStartButPatientThere) {
  Watched w;
  EXPECT_FALSE(w.until_given_up(30, Phase::preparing, false, true, 1.0));
  EXPECT_TRUE(w.until_given_up(60, Phase::preparing, false, true, 1.0));
}

}  // namespace
}  // namespace godwit::guard
