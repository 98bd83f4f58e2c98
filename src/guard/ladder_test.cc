// A history could lead nowhere, or in a circle; a healthy device could be blamed for a death from outside, for another's error or for the
// samples'; a broken one could go on; an unproved answer could be accepted.
#include "guard/ladder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace godwit::guard {
namespace {

BlockHash bits(int value) {
  BlockHash hash;
  hash.bytes[0] = static_cast<std::byte>(value);
  return hash;
}

constexpr int trusted_worker = 9;

// What a device does with a part, each time it is asked: an outcome, and bits if it answers.
struct Answer {
  Outcome outcome = Outcome::clean;
  int bits = 1;
  bool judged = false;
};
using Behaviour = std::function<Answer(int time)>;

struct Story {
  Decision end;
  std::vector<Attempt> attempts;
  int tries = 0;
};

// Plays a part until the ladder ends it.
Story play(const std::vector<Behaviour>& workers, const Behaviour& trusted, Proof proof) {
  Story story;
  std::vector<Device> devices;
  for (int w = 0; w < static_cast<int>(workers.size()); ++w) devices.push_back({w, false, true});
  devices.push_back({trusted_worker, true, true});
  std::vector<int> asked(workers.size(), 0);
  int asked_trusted = 0;
  for (int i = 0; i < 100; ++i) {
    story.end = decide(story.attempts, devices, proof);
    if (story.end.rung == Rung::accept || story.end.rung == Rung::poison) return story;
    int worker = 0;
    switch (story.end.rung) {
      case Rung::run_here:
        worker = story.end.here;
        break;
      case Rung::run_elsewhere:
        while (std::ranges::find(story.end.not_there, worker) != story.end.not_there.end()) ++worker;
        EXPECT_LT(worker, static_cast<int>(workers.size())) << "there is no such worker";
        break;
      case Rung::run_trusted:
        worker = trusted_worker;
        break;
      default:
        break;
    }
    const bool is_trusted = worker == trusted_worker;
    const Answer answer =
        is_trusted ? trusted(asked_trusted++) : workers[static_cast<std::size_t>(worker)](asked[static_cast<std::size_t>(worker)]++);
    Attempt attempt{worker, is_trusted, answer.outcome, answer.judged, bits(answer.bits), "why"};
    story.tries += attempt.outcome != Outcome::killed;
    story.attempts.push_back(attempt);
  }
  ADD_FAILURE() << "the ladder never ends";
  return story;
}

Answer good(int) {
  return {};
}
Behaviour always(Answer answer) {
  return [answer](int) { return answer; };
}
Behaviour first(Answer answer) {
  return [answer](int time) { return time == 0 ? answer : Answer{}; };
}

TEST(Ladder, EveryHistoryEndsAndWhatIsAcceptedIsRight) {
  // Every combination of what two workers and the trusted CPU may do, each for ever or once.
  const std::vector<Answer> answers = {{Outcome::clean, 1},  {Outcome::clean, 2},  {Outcome::doubtful, 3},
                                       {Outcome::broken, 0}, {Outcome::killed, 0}, {Outcome::doubtful, 1, true}};
  std::vector<Behaviour> behaviours;
  for (const Answer& answer : answers) {
    if (answer.outcome != Outcome::killed) behaviours.push_back(always(answer));
    behaviours.push_back(first(answer));
  }
  const std::vector<Behaviour> trusted = {good, first({Outcome::killed, 0}), first({Outcome::broken, 0})};
  int stories = 0;
  for (const Proof proof : {Proof::none, Proof::again}) {
    for (const Behaviour& a : behaviours) {
      for (const Behaviour& b : behaviours) {
        for (const Behaviour& t : trusted) {
          for (const auto& workers : {std::vector<Behaviour>{a}, std::vector<Behaviour>{a, b}, std::vector<Behaviour>{a, b, good}}) {
            const Story story = play(workers, t, proof);
            ++stories;
            EXPECT_LE(story.tries, tries_max);
            // The trusted CPU can do the part, so it is never the samples' fault.
            ASSERT_EQ(story.end.rung, Rung::accept);
            const Attempt& standing = story.attempts[story.end.attempt];
            EXPECT_EQ(standing.outcome, Outcome::clean);
            if (proof == Proof::again) {
              int agree = 0;
              for (const Attempt& attempt : story.attempts)
                agree += attempt.outcome == Outcome::clean && attempt.checksum == standing.checksum &&
                         (attempt.worker != standing.worker || attempt.trusted);
              EXPECT_GE(agree, 1) << "accepted without proof";
            }
          }
        }
      }
    }
  }
  EXPECT_GT(stories, 500);
}

TEST(Ladder, APassingErrorIsReplayedHereAndBlamesNobody) {
  const Story story = play({first({Outcome::doubtful, 3}), good}, good, Proof::none);
  EXPECT_EQ(story.end.rung, Rung::accept);
  EXPECT_EQ(story.attempts.size(), 2u);
  EXPECT_EQ(story.attempts[1].worker, 0);
  EXPECT_TRUE(story.end.quarantine.empty());
}

TEST(Ladder, AnErrorThatComesAgainAndNowhereElseConvictsItsDevice) {
  for (const Outcome outcome : {Outcome::doubtful, Outcome::broken}) {
    const Story two = play({always({outcome, 3}), good}, good, Proof::none);
    EXPECT_EQ(two.end.quarantine, std::vector<int>{0});
    EXPECT_EQ(two.attempts.size(), 3u);
    const Story one = play({always({outcome, 3})}, good, Proof::none);
    EXPECT_EQ(one.end.quarantine, std::vector<int>{0});
    EXPECT_TRUE(one.attempts.back().trusted);
  }
}

TEST(Ladder, ADeathFromOutsideIsNoEvidence) {
  int deaths = 0;
  const Behaviour killed_often = [&](int) { return ++deaths < 50 ? Answer{Outcome::killed, 0} : Answer{}; };
  const Story story = play({killed_often, killed_often}, good, Proof::none);
  EXPECT_EQ(story.end.rung, Rung::accept);
  EXPECT_EQ(story.tries, 1);
  EXPECT_TRUE(story.end.quarantine.empty());
}

TEST(Ladder, WhatAllDevicesFindIsTheSamples) {
  for (const Answer& answer : {Answer{Outcome::doubtful, 1, true}, Answer{Outcome::broken, 0}}) {
    const Story story = play({always(answer), always(answer), always(answer)}, always(answer), Proof::none);
    EXPECT_EQ(story.end.rung, Rung::poison);
    EXPECT_TRUE(story.end.quarantine.empty());
    EXPECT_LE(story.attempts.size(), 5u);
  }
}

TEST(Ladder, ACheckThatTheTrustedCpuFailsTwiceWithTheSameBitsIsAtFaultItself) {
  const Answer answer{Outcome::doubtful, 1};
  const Story story = play({always(answer)}, always(answer), Proof::none);
  EXPECT_EQ(story.end.rung, Rung::accept);
  EXPECT_TRUE(story.end.quarantine.empty());
  EXPECT_NE(story.end.why.find("check is at fault"), std::string::npos);
}

TEST(Ladder, AnErrorThatDevicesShareIsTheSoftwares) {
  const Story story = play({always({Outcome::broken, 0}), always({Outcome::broken, 0})}, good, Proof::none);
  EXPECT_EQ(story.end.rung, Rung::accept);
  EXPECT_TRUE(story.end.quarantine.empty());
}

TEST(Ladder, ALiarThatPassesItsChecksIsFoundByProofAndConvictedWhenItLiesAgain) {
  const Story always_lying = play({always({Outcome::clean, 7}), good}, good, Proof::again);
  EXPECT_EQ(always_lying.end.quarantine, std::vector<int>{0});
  EXPECT_EQ(always_lying.attempts[always_lying.end.attempt].checksum, bits(1));
  const Story once = play({first({Outcome::clean, 7}), good}, good, Proof::again);
  EXPECT_TRUE(once.end.quarantine.empty());
  const Story alone = play({always({Outcome::clean, 7})}, good, Proof::again);
  EXPECT_EQ(alone.end.quarantine, std::vector<int>{0});
}

TEST(Ladder, WithoutUsableDevicesTheTrustedCpuDoesIt) {
  const std::vector<Device> devices = {{0, false, false}, {1, false, false}, {trusted_worker, true, true}};
  EXPECT_EQ(decide({}, devices, Proof::none).rung, Rung::run_trusted);
}

}  // namespace
}  // namespace godwit::guard
