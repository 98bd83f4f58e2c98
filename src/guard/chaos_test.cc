// A case could pass though its fault never happened, though the bits are others, or though the run never ended.
#include "guard/chaos.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/file.h"
#include "store/journal.h"

namespace godwit::guard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int finished = 0;
constexpr int stopped = 75 << 8;
constexpr int trouble = 1 << 8;
constexpr int refusal = 2 << 8;

// Stands for `godwit train`: commits steps, passes points, keeps a record, ends as it is told.
struct PretendedRun {
  std::uint64_t steps = 12;
  int flavour = 0;                                    // of the digests
  std::vector<std::pair<std::uint64_t, int>> starts;  // up to which step each start comes, and how it ends; the last one is taken for ever
  std::string guard;                                  // guard.json
  bool pass_points = true, tells = false;
  Phase phase = Phase::sending;

  std::size_t started = 0;

  Result<int> operator()(const Start& start) {
    TRY(create_directories_durably(start.run / "journal"));
    TRY_ASSIGN(store::Journal journal, store::Journal::open(start.run / "journal"));
    const bool disturbed = start.workers > 0;
    const auto [to, status] = disturbed ? starts.at(std::min(started++, starts.size() - 1)) : std::pair{steps, finished};
    Faults none;
    auto faults = std::make_shared<Faults>();
    if (disturbed) {
      EXPECT_EQ(start.verify, "inline");
      TRY_ASSIGN(const Story story, load_story(start.faults));
      TRY_ASSIGN(faults, Faults::create(story.faults, start.run / "faults.jsonl"));
      TRY(write_file_durably(start.run / "guard.json", guard));
    }
    const std::uint64_t from = journal.entries().empty() ? 0 : journal.entries().back().step;
    for (std::uint64_t step = from + 1; step <= to; ++step) {
      const Point point{.role = Role::supervisor, .worker = 1, .step = step, .phase = phase};
      for (const Fault* fault : pass_points ? faults->pass(point) : std::vector<const Fault*>()) {
        if (tells) faults->tell(*fault, point, "something");
      }
      Digest digest{};
      digest.bytes[0] = static_cast<std::byte>(step);
      digest.bytes[1] = static_cast<std::byte>(disturbed ? flavour : 0);
      TRY(journal.append({step, digest, "commit", ""}));
    }
    if (start.go_on) start.go_on();
    return status;
  }
};

class ChaosTest : public testing::Test {
 protected:
  ChaosTest() { fs::create_directories(directory_); }
  ~ChaosTest() override { fs::remove_all(directory_); }

  CaseResult run(PretendedRun& pretended, const std::string& expect, const std::string& fault = "lose the answer of worker 1") {
    write_file_durably(directory_ / "a.story", "train nano 12 steps on 2 workers\nat step 5: " + fault + "\nexpect " + expect).value();
    fs::remove_all(directory_ / "runs");
    fs::create_directories(directory_ / "runs");
    Chaos chaos({.launch = std::ref(pretended), .directory = directory_ / "runs", .text = {}, .say = {}, .interrupted = {}});
    const auto result = chaos.run(load_story(directory_ / "a.story").value());
    EXPECT_TRUE(result.ok()) << result.error().message;
    return result.ok() ? *result : CaseResult{};
  }

  fs::path directory_ = fs::path(testing::TempDir()) / fmt::format("godwit_chaos_test_{}", ::getpid());
};

TEST_F(ChaosTest, PassesWhereEverythingHolds) {
  PretendedRun run;
  run.starts = {{4, SIGKILL}, {8, stopped}, {12, finished}};
  run.guard = R"({"state":"finished","replays":2,"workers":[{"number":0,"state":"idle"},{"number":1,"state":"quarantined","named_at":8}]})";
  const CaseResult result = this->run(run,
                                      "finished, digest = undisturbed, replays >= 2, restarts = 1, stops = 1, worker 1 quarantined, "
                                      "named worker 1 within 3 steps");
  EXPECT_THAT(result.reasons, ElementsAre());
  EXPECT_EQ(result.verdict, Verdict::passed);
  EXPECT_EQ(result.state, "finished");
  EXPECT_EQ(result.struck, 1u);
  EXPECT_EQ(result.counters.at("replays"), 2u);
  EXPECT_EQ(run.started, 3u);
}

TEST_F(ChaosTest, ACaseWhoseFaultDidNotHappenIsInvalidHoweverWellItEnds) {
  PretendedRun run;
  run.starts = {{12, finished}};
  run.pass_points = false;
  const CaseResult result = this->run(run, "finished, digest = undisturbed");
  EXPECT_EQ(result.verdict, Verdict::invalid);
  EXPECT_THAT(result.reasons, ElementsAre("\"at step 5: lose the answer of worker 1\" has not struck"));
}

TEST_F(ChaosTest, ACaseWhoseFaultWasHandedOutAndForgottenIsInvalid) {
  PretendedRun run;
  run.starts = {{12, finished}};
  run.phase = Phase::committed;
  const std::string fault = "truncate the newest checkpoint";
  EXPECT_THAT(this->run(run, "finished", fault).reasons,
              ElementsAre("\"at step 5: truncate the newest checkpoint\" was due, and nothing was done"));
  run.started = 0;
  run.tells = true;
  EXPECT_EQ(this->run(run, "finished", fault).verdict, Verdict::passed);
}

TEST_F(ChaosTest, OtherBitsFail) {
  PretendedRun run;
  run.starts = {{12, finished}};
  run.flavour = 1;
  EXPECT_EQ(this->run(run, "finished").verdict, Verdict::passed);
  const CaseResult result = this->run(run, "finished, digest = undisturbed");
  EXPECT_EQ(result.verdict, Verdict::failed);
  EXPECT_EQ(result.digest_equal, false);
  EXPECT_THAT(result.reasons, ElementsAre("\"digest = undisturbed\": it is another one"));
}

TEST_F(ChaosTest, CountersThatDoNotHoldOrAreNotThereFail) {
  PretendedRun run;
  run.starts = {{12, finished}};
  run.guard = R"({"replays":0,"workers":[{"number":1,"state":"idle","named_at":9}]})";
  const CaseResult result =
      this->run(run, "finished, replays >= 1, findings = 0, worker 1 quarantined, worker 0 quarantined, named worker 1 within 3 steps");
  EXPECT_EQ(result.verdict, Verdict::failed);
  EXPECT_THAT(result.reasons,
              ElementsAre("\"replays >= 1\": it is 0", "\"findings = 0\": RUN/guard.json does not say",
                          "\"worker 1 quarantined\": it is idle", "\"worker 0 quarantined\": RUN/guard.json does not know it",
                          "\"named worker 1 within 3 steps\": struck at step 5, named at step 9"));
}

TEST_F(ChaosTest, ARunWithoutProgressIsGivenUp) {
  PretendedRun run;
  run.starts = {{6, SIGKILL}};
  const CaseResult result = this->run(run, "finished");
  EXPECT_EQ(result.verdict, Verdict::failed);
  EXPECT_EQ(run.started, 21u);
  EXPECT_THAT(result.reasons, ElementsAre("20 starts without a new step", "\"finished\": at step 6 of 12"));
}

TEST_F(ChaosTest, AnErrorOfTheRunFailsAtOnce) {
  PretendedRun run;
  run.starts = {{6, trouble}};
  const CaseResult result = this->run(run, "finished");
  EXPECT_EQ(result.verdict, Verdict::failed);
  EXPECT_EQ(run.started, 1u);
  EXPECT_THAT(result.reasons.at(0), HasSubstr("exit code 1"));
}

TEST_F(ChaosTest, WaitingIsAnEnd) {
  PretendedRun run;
  run.starts = {{6, trouble}};
  run.guard = R"({"state":"waiting"})";
  EXPECT_EQ(this->run(run, "waiting").verdict, Verdict::passed);
  EXPECT_EQ(this->run(run, "finished").verdict, Verdict::failed);
}

TEST_F(ChaosTest, ToBeRefusedIsAnEndOfARunThatWasStartedBefore) {
  PretendedRun run;
  run.starts = {{6, SIGKILL}, {6, refusal}};
  const CaseResult result = this->run(run, "refused, restarts = 1");
  EXPECT_THAT(result.reasons, ElementsAre());
  EXPECT_EQ(result.state, "refused");
  EXPECT_EQ(run.started, 2u);
  run.started = 0;
  EXPECT_EQ(this->run(run, "finished").verdict, Verdict::failed);
  run.started = 1;
  EXPECT_THAT(this->run(run, "refused").reasons.at(0), HasSubstr("exit code 2")) << "a story that cannot even begin shows nothing";
  run.starts = {{12, finished}};
  EXPECT_THAT(this->run(run, "refused").reasons, ElementsAre("\"refused\": finished"));
}

TEST_F(ChaosTest, RunsAreProcessesThatEndWhenTheyAreToldTo) {
  Start start;
  start.output = directory_ / "output.txt";
  start.config = "c.toml";
  start.run = "r";
  start.sets = {"a=1"};
  start.workers = 2;
  EXPECT_EQ(process_launcher("/bin/true")(start).value(), 0);
  EXPECT_EQ(process_launcher("/bin/false")(start).value(), 1 << 8);
  EXPECT_EQ(process_launcher("/bin/echo", {"--quiet"})(start).value(), 0);
  EXPECT_EQ(read_file(start.output).value(), "train c.toml --run r --workers 2 --set a=1 --quiet\n");
  EXPECT_FALSE(process_launcher(directory_ / "nothing")(start).ok());
  write_file_durably(directory_ / "sleeper", std::string_view("#!/bin/sh\nsleep 1000\n")).value();
  ::chmod((directory_ / "sleeper").c_str(), 0755);
  start.go_on = [] { return false; };
  const int status = process_launcher(directory_ / "sleeper")(start).value();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

}  // namespace
}  // namespace godwit::guard
