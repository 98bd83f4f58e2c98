// A fault could strike without a record, twice, in the wrong process, or another time in the next run of the same story.
#include "guard/fault.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <new>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

#if defined(__SANITIZE_ADDRESS__)
#define GODWIT_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GODWIT_ADDRESS_SANITIZER
#endif
#endif

namespace godwit::guard {
namespace {

Point at_worker(int worker, std::uint64_t step, Phase phase = Phase::forward, std::string_view op = {}) {
  return {.role = Role::worker, .worker = worker, .step = step, .phase = phase, .op = op};
}

class FaultTest : public testing::Test {
 protected:
  FaultTest() { fs::create_directories(directory_); }
  ~FaultTest() override { fs::remove_all(directory_); }

  std::shared_ptr<Faults> board(std::vector<Fault> faults) { return Faults::create(std::move(faults), log()).value(); }
  [[nodiscard]] std::string log() const { return (directory_ / "faults.jsonl").string(); }
  [[nodiscard]] std::vector<Json> lines() const {
    std::vector<Json> parsed;
    const std::string text = read_file(log()).value();
    for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1)
      parsed.push_back(parse_json(text.substr(begin, text.find('\n', begin) - begin), "log").value());
    return parsed;
  }

  fs::path directory_ = fs::path(testing::TempDir()) / fmt::format("godwit_fault_test_{}", ::getpid());
};

// How a process ends that does `body` and then leaves with code 7.
int status_of(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(7);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

bool survives(const std::function<void()>& body) {
  const int status = status_of(body);
  return WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

Fault kill_worker(int worker, std::uint64_t step) {
  Fault fault{.text = fmt::format("kill worker {}", worker), .act = Act::kill, .at = at_worker(worker, step)};
  fault.last_step = step;
  return fault;
}

TEST_F(FaultTest, WithoutAStoryEveryPointPasses) {
  Faults none;
  EXPECT_TRUE(none.pass(at_worker(0, 1)).empty());
  EXPECT_FALSE(none.any());
  none.attend();
}

TEST_F(FaultTest, ADeathIsInTheLogAndHappensOnceWhateverProcessComesNext) {
  const auto faults = board({kill_worker(1, 7)});
  EXPECT_TRUE(survives([&] { faults->pass(at_worker(0, 7)); }));
  EXPECT_TRUE(survives([&] { faults->pass(at_worker(1, 6)); }));
  EXPECT_TRUE(survives([&] { faults->pass(at_worker(1, 7, Phase::backward)); }));
  EXPECT_TRUE(survives([&] { faults->pass(at_worker(1, 7, Phase::forward, "linear")); }));
  EXPECT_TRUE(lines().empty());
  const int status = status_of([&] { faults->pass(at_worker(1, 7)); });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_EQ(faults->struck(0), 1u);
  ASSERT_EQ(lines().size(), 1u);
  const Json line = lines()[0];
  EXPECT_EQ(line["fault"], 0);
  EXPECT_EQ(line["text"], "kill worker 1");
  EXPECT_EQ(line["role"], "worker");
  EXPECT_EQ(line["worker"], 1);
  EXPECT_EQ(line["step"], 7);
  EXPECT_EQ(line["phase"], "forward");
  EXPECT_EQ(line["times"], 1);
  EXPECT_TRUE(survives([&] { faults->pass(at_worker(1, 7)); }));
  EXPECT_EQ(lines().size(), 1u);
}

TEST_F(FaultTest, WhatCannotBeLoggedDoesNotStrike) {
  const auto faults = board({kill_worker(1, 7)});
  EXPECT_TRUE(survives([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit none{0, 0};
    setrlimit(RLIMIT_FSIZE, &none);
    faults->pass(at_worker(1, 7));
  }));
}

TEST_F(FaultTest, ProcessesEndAsTheStorySays) {
  const auto ends = [&](Act act) {
    Fault fault = kill_worker(0, 1);
    fault.act = act;
    fs::remove(log());
    const auto faults = board({fault});
    return status_of([&] {
      try {
        faults->pass(at_worker(0, 1));
      } catch (const std::bad_alloc&) {
        _exit(9);
      }
    });
  };
  EXPECT_EQ(WTERMSIG(ends(Act::kill)), SIGKILL);
  EXPECT_EQ(WTERMSIG(ends(Act::crash)), SIGSEGV);
  EXPECT_EQ(WTERMSIG(ends(Act::abandon)), SIGABRT);
  const int left = ends(Act::leave);
  EXPECT_TRUE(WIFEXITED(left) && WEXITSTATUS(left) == 0);
#if !defined(GODWIT_ADDRESS_SANITIZER)  // which needs addresses itself, and ends the process another way
  const int exhausted = ends(Act::exhaust);
  EXPECT_TRUE(WIFEXITED(exhausted) && WEXITSTATUS(exhausted) == 9);
#endif
}

TEST_F(FaultTest, ALivelockEndsByASignalAlone) {
  Fault fault = kill_worker(0, 1);
  fault.act = Act::livelock;
  fault.threads = 2;
  const auto faults = board({fault});
  const pid_t child = fork();
  if (child == 0) {
    faults->pass(at_worker(0, 1));
    _exit(7);
  }
  while (faults->struck(0) == 0) usleep(1000);
  EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0);
  ::kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(FaultTest, TheSupervisorContinuesWhoWasStopped) {
  Fault fault = kill_worker(0, 1);
  fault.act = Act::stop;
  fault.seconds = 0.05;
  const auto faults = board({fault});
  const pid_t child = fork();
  if (child == 0) {
    faults->pass(at_worker(0, 1));
    _exit(7);
  }
  int status = 0;
  waitpid(child, &status, WUNTRACED);
  EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  while (waitpid(child, &status, WNOHANG) == 0) faults->attend();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

TEST_F(FaultTest, AStoppedSupervisorIsContinuedByAHelper) {
  Fault fault = kill_worker(-1, 1);
  fault.act = Act::stop;
  fault.seconds = 0.05;
  fault.at.role = Role::supervisor;
  const auto faults = board({fault});
  EXPECT_TRUE(survives([&] { faults->pass({.role = Role::supervisor, .step = 1, .phase = Phase::forward}); }));
  EXPECT_EQ(faults->struck(0), 1u);
}

TEST_F(FaultTest, EverythingEndsAtOnce) {
  Fault fault = kill_worker(-1, 1);
  fault.how = "everything";
  fault.at.role = Role::supervisor;
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const int status = status_of([&] {
    const auto faults = board({fault});
    for (int i = 0; i < 2; ++i) {
      if (fork() == 0) {
        for (;;) pause();
      }
    }
    faults->pass({.role = Role::supervisor, .step = 1, .phase = Phase::forward});
  });
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  ::close(pipe[1]);  // the last writers were they
  char byte = 0;
  EXPECT_EQ(::read(pipe[0], &byte, 1), 0);
  ::close(pipe[0]);
}

TEST_F(FaultTest, TheSupervisorIsAskedToStop) {
  Fault fault = kill_worker(0, 1);
  fault.act = Act::terminate;
  static volatile std::sig_atomic_t asked;
  asked = 0;
  const auto before = std::signal(SIGTERM, [](int) { asked = 1; });
  const auto faults = board({fault});
  EXPECT_TRUE(survives([&] { faults->pass(at_worker(0, 1)); }));
  EXPECT_EQ(asked, 1);
  std::signal(SIGTERM, before);
}

TEST_F(FaultTest, CountsHoldOverAllProcesses) {
  Fault fault = kill_worker(-1, 1);
  fault.last_step = 100;
  fault.count = 3;
  const auto faults = board({fault});
  int deaths = 0;
  for (std::uint64_t step = 1; step <= 5; ++step)
    deaths += survives([&] { faults->pass(at_worker(static_cast<int>(step), step)); }) ? 0 : 1;
  EXPECT_EQ(deaths, 3);
  EXPECT_EQ(faults->struck(0), 3u);
}

TEST_F(FaultTest, EachWorkerHasACountOfItsOwnWhereTheStorySaysEvery) {
  Fault fault = kill_worker(-1, 1);
  fault.each_worker = true;
  const auto faults = board({fault});
  EXPECT_FALSE(survives([&] { faults->pass(at_worker(0, 1)); }));
  EXPECT_FALSE(survives([&] { faults->pass(at_worker(1, 1)); }));
  EXPECT_TRUE(survives([&] { faults->pass(at_worker(0, 1)); }));
  EXPECT_EQ(faults->struck(0), 2u);
}

TEST_F(FaultTest, OnceAStepIsNotAgainWhenTheStepIsMadeAgain) {
  Fault fault{.text = "lose", .act = Act::lose_frame, .at = at_worker(0, 3)};
  fault.last_step = 5;
  fault.count = 0;
  fault.once_a_step = true;
  const auto faults = board({fault});
  std::vector<std::size_t> handed;
  for (const std::uint64_t step : {2, 3, 3, 4, 3, 4, 5, 5, 6}) handed.push_back(faults->pass(at_worker(0, step)).size());
  EXPECT_THAT(handed, testing::ElementsAre(0, 1, 0, 1, 0, 0, 1, 0, 0));
}

TEST_F(FaultTest, TheTrustedCpuIsSparedUnlessTheStorySaysSo) {
  Fault spared = kill_worker(-1, 1), named = kill_worker(-1, 2);
  named.trusted_too = true;
  Fault poison = kill_worker(-1, 3);
  poison.act = Act::poison;
  const auto faults = board({spared, named, poison});
  Point point = at_worker(4, 1);
  point.trusted = true;
  EXPECT_TRUE(survives([&] { faults->pass(point); }));
  point.step = 2;
  EXPECT_FALSE(survives([&] { faults->pass(point); }));
  point.step = 3;
  EXPECT_EQ(faults->pass(point).size(), 1u);
}

TEST_F(FaultTest, FaultsOfNumbersAreHandedBackAndToldOf) {
  Fault fault{.text = "flip", .act = Act::spoil, .at = at_worker(0, 2)};
  fault.op = "linear";
  const auto faults = board({fault});
  const Point point = at_worker(0, 2);
  const auto handed = faults->pass(point);
  ASSERT_EQ(handed.size(), 1u);
  EXPECT_STREQ(handed[0]->spoil.op, "linear");
  faults->tell(*handed[0], point, "row 3, column 4: 1 to 2");
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_EQ(lines()[0]["times"], 1);
  EXPECT_EQ(lines()[1]["what"], "row 3, column 4: 1 to 2");
  EXPECT_FALSE(lines()[1].contains("times"));
  EXPECT_TRUE(faults->pass(point).empty());
}

TEST_F(FaultTest, OpsAreNamedOrAny) {
  Fault named{.text = "named", .act = Act::lose_frame, .at = at_worker(-1, 1)};
  named.in_op = "rope";
  Fault any{.text = "any", .act = Act::lose_frame, .at = at_worker(-1, 1)};
  any.in_op = "*";
  any.any_phase = true;
  any.count = 0;
  const auto faults = board({named, any});
  EXPECT_EQ(faults->pass(at_worker(0, 1, Phase::forward, "linear")).size(), 1u);
  EXPECT_EQ(faults->pass(at_worker(0, 1, Phase::backward, "rope")).size(), 1u);
  EXPECT_EQ(faults->pass(at_worker(0, 1, Phase::forward, "rope")).size(), 2u);
  EXPECT_EQ(faults->pass(at_worker(0, 1, Phase::idle)).size(), 1u);
}

std::vector<bool> draws(Faults& faults) {
  std::vector<bool> struck;
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t step = 1; step <= 200; ++step) struck.push_back(!faults.pass(at_worker(0, step)).empty());
  }
  return struck;
}

TEST_F(FaultTest, AProbabilityIsAFunctionOfSeedPointAndHowOftenItWasPassed) {
  Fault fault{.text = "maybe", .act = Act::lose_frame, .at = at_worker(-1, 0)};
  fault.last_step = 1000;
  fault.count = 0;
  fault.rate = 0.25;
  fault.seed = 5;
  const std::vector<bool> first = draws(*board({fault}));
  fs::remove(log());
  const std::vector<bool> again = draws(*board({fault}));
  EXPECT_EQ(first, again);
  const auto count = std::ranges::count(first, true);
  EXPECT_GT(count, 100);
  EXPECT_LT(count, 200);
  EXPECT_FALSE(std::equal(first.begin(), first.begin() + 200, first.begin() + 200)) << "a step made again draws again";
  fs::remove(log());
  fault.seed = 6;
  EXPECT_NE(draws(*board({fault})), first);
}

TEST_F(FaultTest, AProbabilityOfAPhaseIsDrawnOnceEachTimeItIsEntered) {
  Fault fault{.text = "maybe", .act = Act::flip_proposal, .at = at_worker(-1, 1)};
  fault.count = 0;
  fault.rate = 0.5;
  const auto faults = board({fault});
  for (int round = 0; round < 40; ++round) {
    faults->pass(at_worker(0, 1, Phase::idle));
    (void)faults->pass(at_worker(0, 1));
    for (int again = 0; again < 5; ++again) EXPECT_TRUE(faults->pass(at_worker(0, 1)).empty());
  }
  EXPECT_GT(faults->struck(0), 8u);
  EXPECT_LT(faults->struck(0), 32u);
}

TEST_F(FaultTest, ARunStartedAgainKnowsWhatHasStruck) {
  Fault maybe{.text = "maybe", .act = Act::kill, .at = at_worker(0, 1)};
  maybe.count = 0;
  maybe.rate = 0.5;
  const std::vector<Fault> story = {kill_worker(1, 7), maybe};
  std::vector<bool> died;
  for (int run = 0; run < 20; ++run) {
    const auto faults = board(story);
    died.push_back(!survives([&] { faults->pass(at_worker(0, 1)); }));
    if (!died.back()) break;  // a run that gets past the point does not come to it again
  }
  EXPECT_FALSE(died.back()) << "the same point draws the same for ever";
  EXPECT_FALSE(survives([&] { board(story)->pass(at_worker(1, 7)); }));
  EXPECT_TRUE(survives([&] { board(story)->pass(at_worker(1, 7)); }));
  EXPECT_EQ(board(story)->struck(0), 1u);
  // Another story's log is not about this one.
  EXPECT_EQ(board({kill_worker(2, 7)})->struck(0), 0u);
}

TEST_F(FaultTest, ATornLineOfTheLogIsPassedOver) {
  write_file_durably(log(), std::string_view("{\"fault\":0,\"text\":\"kill wor")).value();
  const auto faults = board({kill_worker(1, 7)});
  EXPECT_EQ(faults->struck(0), 0u);
  EXPECT_FALSE(survives([&] { faults->pass(at_worker(1, 7)); }));
  EXPECT_THAT(read_file(log()).value(), testing::HasSubstr("kill wor\n{"));
}

TEST_F(FaultTest, WhoIsSlowTakesLongerBetweenPoints) {
  Fault fault{.text = "slow", .act = Act::slow, .at = at_worker(0, 2)};
  fault.last_step = 3;
  fault.count = 0;
  fault.factor = 10;
  const auto faults = board({fault});
  const auto work = [&](int worker, std::uint64_t step) {
    faults->pass(at_worker(worker, step));
    usleep(10000);
    const double before = monotonic_seconds();
    faults->pass(at_worker(worker, step, Phase::forward, "linear"));
    return monotonic_seconds() - before;
  };
  EXPECT_GT(work(0, 2), 0.08);
  EXPECT_LT(work(1, 2), 0.08);
  EXPECT_LT(work(0, 4), 0.08);
  EXPECT_EQ(lines().size(), 1u);
}

}  // namespace
}  // namespace godwit::guard
