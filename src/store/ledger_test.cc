// What could go wrong: a disk that fails or hangs holds up the run; a line is lost, doubled or out of order when it is well again; a sync
// that failed is taken for done; another process's line is overwritten; a child that is forked meanwhile inherits a lock.
#include "store/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <mutex>

#include "base/log.h"
#include "store/test_directory.h"

namespace godwit::store {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr Patience quick{.pause_min = 1ms, .pause_max = 4ms, .slow = 20ms, .close = 20000ms};
constexpr auto long_time = 60s;

JournalEntry entry(std::uint64_t step) {
  return {step, sha256(as_bytes(fmt::format("state {}", step))), "commit", step % 3 == 0 ? fmt::format("note {}", step) : ""};
}

// Steps 1 to `last`, each once, in order, the chain whole.
void expect_steps(const fs::path& directory, std::uint64_t last) {
  const auto content = Journal::read(directory);
  ASSERT_TRUE(content.ok()) << content.error().message;
  EXPECT_FALSE(content->torn);
  ASSERT_EQ(content->entries.size(), last);
  for (std::uint64_t i = 0; i < last; ++i) {
    EXPECT_EQ(content->entries[i].step, i + 1);
    EXPECT_EQ(content->entries[i].digest, entry(i + 1).digest);
  }
}

bool readable(int descriptor, int timeout_ms) {
  pollfd asked{descriptor, POLLIN, 0};
  return ::poll(&asked, 1, timeout_ms) == 1;
}

TEST(Ledger, WhatIsPostedBecomesDurableInOrder) {
  const TestDirectory directory;
  {
    auto ledger = Ledger::open(directory.path(), quick).value();
    EXPECT_FALSE(readable(ledger->descriptor(), 0));
    for (std::uint64_t step = 1; step <= 300; ++step) ledger->post(entry(step));
    EXPECT_EQ(ledger->posted(), 300u);
    EXPECT_EQ(ledger->entries().size(), 300u);
    EXPECT_EQ(ledger->committed(300), entry(300).digest) << "known at once, durable or not";
    EXPECT_EQ(ledger->committed(301), std::nullopt);
    EXPECT_TRUE(readable(ledger->descriptor(), 60000));
    EXPECT_TRUE(ledger->wait_durable(300, long_time));
    EXPECT_EQ(ledger->durable(), 300u);
    EXPECT_EQ(ledger->trouble(), std::nullopt);
    ledger->acknowledge();
    EXPECT_FALSE(readable(ledger->descriptor(), 0));
    EXPECT_FALSE(ledger->wait_durable(301, 0ms));
    ledger->post(entry(301));  // left to the destructor
  }
  expect_steps(directory.path(), 301);
  auto again = Ledger::open(directory.path(), quick).value();
  EXPECT_EQ(again->entries().size(), 301u);
  EXPECT_EQ(again->posted(), 0u);
  again->post(entry(302));
  again.reset();
  expect_steps(directory.path(), 302);
}

// Everything that changes the disk fails for a while, in all ways, and is well again; then the disk is read as after a crash.
TEST(Ledger, ADiskThatFailsForAWhileLosesNothing) {
  for (const int code : {ENOSPC, EIO, EROFS}) {
    for (const auto failing : {DiskOperation::write, DiskOperation::sync, DiskOperation::create, DiskOperation::truncate}) {
      for (const int times : {1, 2, 7}) {
        const TestDirectory directory;
        auto ledger = Ledger::open(directory.path(), quick).value();
        std::uint64_t step = 0;
        for (; step < 3; ++step) ledger->post(entry(step + 1));
        ASSERT_TRUE(ledger->wait_durable(3, long_time));
        std::atomic<int> failed = 0;
        bool first_sync = false;  // opening and cutting come only after another failure
        const ScopedDiskFault fault([&](DiskCall& call) {
          if (call.operation == DiskOperation::sync && !std::exchange(first_sync, true)) return EIO;
          return call.operation == failing && failed++ < times ? code : 0;
        });
        for (; step < 20; ++step) ledger->post(entry(step + 1));
        ASSERT_TRUE(ledger->wait_durable(20, long_time));
        EXPECT_GE(failed, times);
        EXPECT_EQ(ledger->trouble(), std::nullopt);
        EXPECT_FALSE(ledger->fatal().has_value());
        expect_steps(directory.path(), 20);
      }
    }
  }
}

TEST(Ledger, EveryCallMayFailOnce) {
  int failing = 0;
  for (bool more = true; more; ++failing) {
    const TestDirectory directory;
    auto ledger = Ledger::open(directory.path(), quick).value();
    std::atomic<int> calls = 0;
    {
      const ScopedDiskFault fault([&](DiskCall&) { return calls++ == failing ? EIO : 0; });
      for (std::uint64_t step = 1; step <= 4; ++step) {
        ledger->post(entry(step));
        ASSERT_TRUE(ledger->wait_durable(step, long_time)) << failing;
      }
    }
    expect_steps(directory.path(), 4);
    more = calls > failing;
  }
  EXPECT_GE(failing, 8);
}

TEST(Ledger, ShortWritesAreContinuedAndTornLinesCutOff) {
  const TestDirectory directory;
  auto ledger = Ledger::open(directory.path(), quick).value();
  std::atomic<int> calls = 0;
  {
    const ScopedDiskFault fault([&](DiskCall& call) {
      if (call.operation != DiskOperation::write) return 0;
      call.bytes = std::min<std::size_t>(call.bytes, 100);
      return calls++ < 40 && calls % 4 == 0 ? ENOSPC : 0;  // three pieces, then full
    });
    for (std::uint64_t step = 1; step <= 10; ++step) ledger->post(entry(step));
    ASSERT_TRUE(ledger->wait_durable(10, long_time));
  }
  EXPECT_GT(calls, 40);
  expect_steps(directory.path(), 10);
}

// Linux forgets a failed sync: the next one succeeds though the bytes never arrived. Only bytes written again count.
TEST(Ledger, AfterAFailedSyncTheLinesAreWrittenAgain) {
  const TestDirectory directory;
  auto ledger = Ledger::open(directory.path(), quick).value();
  const std::size_t line_bytes = JournalChain().line(entry(1)).size();
  std::vector<std::string> order;
  std::mutex mutex;
  {
    const ScopedDiskFault fault([&](DiskCall& call) {
      const std::lock_guard lock(mutex);
      if (call.operation == DiskOperation::write) order.push_back(fmt::format("write {}", call.bytes));
      if (call.operation == DiskOperation::truncate) order.push_back("cut");
      if (call.operation != DiskOperation::sync) return 0;
      order.push_back("sync");
      return order.size() == 2 ? EIO : 0;
    });
    ledger->post(entry(1));
    ASSERT_TRUE(ledger->wait_durable(1, long_time));
  }
  const std::string write = fmt::format("write {}", line_bytes);
  EXPECT_THAT(order, testing::ElementsAre(write, "sync", "cut", "sync", write, "sync"));
}

TEST(Ledger, AFullDiskIsToldAndItsEndToo) {
  const TestDirectory directory;
  auto ledger = Ledger::open(directory.path(), quick).value();
  {
    const ScopedDiskFault fault([&](DiskCall& call) { return call.operation == DiskOperation::write ? ENOSPC : 0; });
    ledger->post(entry(1));
    ledger->post(entry(2));
    ASSERT_TRUE(readable(ledger->descriptor(), 60000));
    ledger->acknowledge();
    ASSERT_TRUE(ledger->trouble().has_value());
    EXPECT_THAT(*ledger->trouble(), HasSubstr("journal.jsonl: cannot write: No space left on device; 2 lines wait in memory"));
    EXPECT_FALSE(ledger->wait_durable(1, 10ms));
    EXPECT_FALSE(readable(ledger->descriptor(), 0)) << "the same error again is no news";
    EXPECT_EQ(ledger->durable(), 0u);
  }
  ASSERT_TRUE(readable(ledger->descriptor(), 60000));
  ASSERT_TRUE(ledger->wait_durable(2, long_time));
  EXPECT_EQ(ledger->trouble(), std::nullopt);
  expect_steps(directory.path(), 2);
}

// A disk whose calls do not return until the test lets them.
class Hung {
 public:
  Hung() : fault_([this](DiskCall&) { return hold(); }) {}
  ~Hung() { release(); }
  void release() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  int hold() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
    return 0;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  ScopedDiskFault fault_;
};

TEST(Ledger, ADiskThatHangsHoldsUpNeitherPostNorTheEnd) {
  const TestDirectory directory;
  Patience patience = quick;
  patience.close = 30ms;
  auto ledger = Ledger::open(directory.path(), patience).value();
  testing::internal::CaptureStderr();
  {
    Hung disk;
    for (std::uint64_t step = 1; step <= 5; ++step) ledger->post(entry(step));
    EXPECT_FALSE(ledger->wait_durable(1, 40ms));
    ASSERT_TRUE(ledger->trouble().has_value());
    EXPECT_THAT(*ledger->trouble(), HasSubstr("journal.jsonl: the disk does not answer; 5 lines wait in memory, for 0."));
    ledger.reset();
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("the last 5 lines are not durable: the disk does not answer"));
}

TEST(Ledger, ASlowDiskCatchesUp) {
  const TestDirectory directory;
  auto ledger = Ledger::open(directory.path(), quick).value();
  {
    const ScopedDiskFault fault(slow_disk(1e6, 5ms));
    for (std::uint64_t step = 1; step <= 200; ++step) ledger->post(entry(step));
    EXPECT_TRUE(ledger->wait_durable(200, long_time));
  }
  expect_steps(directory.path(), 200);
}

TEST(Ledger, WhatSomebodyElseWroteIsFatalAndLeftAsItIs) {
  const auto message = [](const auto& change) {
    const TestDirectory directory;
    const fs::path path = directory / "journal.jsonl";
    auto ledger = Ledger::open(directory.path(), quick).value();
    ledger->post(entry(1));
    EXPECT_TRUE(ledger->wait_durable(1, long_time));
    change(*ledger, path);
    EXPECT_FALSE(ledger->wait_durable(2, long_time));
    EXPECT_TRUE(ledger->fatal().has_value());
    EXPECT_EQ(ledger->fatal()->kind, ErrorKind::differs);
    EXPECT_EQ(ledger->trouble(), ledger->fatal()->message);
    ledger->post(entry(3));
    EXPECT_FALSE(ledger->wait_durable(3, long_time)) << "latched";
    return ledger->fatal()->message;
  };
  const std::string foreign = JournalChain().line(entry(77));
  const auto add = [&](const fs::path& path) { std::ofstream(path, std::ios::app) << foreign; };
  // While all is well.
  EXPECT_THAT(message([&](Ledger& ledger, const fs::path& path) {
                add(path);
                ledger.post(entry(2));
              }),
              HasSubstr("another process changed it"));
  EXPECT_THAT(message([&](Ledger& ledger, const fs::path& path) {
                fs::remove(path);
                ledger.post(entry(2));
              }),
              HasSubstr("was removed or replaced"));
  // While a failed sync leaves its own lines in doubt.
  const auto meanwhile = [&](const auto& change) {
    return message([&](Ledger& ledger, const fs::path& path) {
      std::atomic<bool> done = false;
      const ScopedDiskFault fault([&](DiskCall& call) {
        if (call.operation != DiskOperation::sync || done.exchange(true)) return 0;
        change(path);
        return EIO;
      });
      ledger.post(entry(2));
      EXPECT_FALSE(ledger.wait_durable(2, long_time));
    });
  };
  EXPECT_THAT(meanwhile(add), HasSubstr("is not the one that was written: on disk is {\"step\":77"));
  EXPECT_THAT(meanwhile([&](const fs::path& path) { fs::resize_file(path, 10); }), HasSubstr("has 10 bytes where"));
  EXPECT_THAT(meanwhile([&](const fs::path& path) {
                std::fstream file(path, std::ios::in | std::ios::out);
                file.seekp(20);
                file << 'x';
              }),
              HasSubstr("was changed after it was durable: it was {\"step\":1,"));
}

TEST(Ledger, RubbishOfAFailingDiskIsNoForeignLine) {
  const TestDirectory directory;
  const fs::path path = directory / "journal.jsonl";
  auto ledger = Ledger::open(directory.path(), quick).value();
  ledger->post(entry(1));
  ASSERT_TRUE(ledger->wait_durable(1, long_time));
  {
    std::atomic<bool> done = false;
    const ScopedDiskFault fault([&](DiskCall& call) {
      if (call.operation != DiskOperation::sync || done.exchange(true)) return 0;
      const auto size = fs::file_size(path);
      fs::resize_file(path, size - 50);
      fs::resize_file(path, size);  // zeros, where blocks were never written
      return EIO;
    });
    ledger->post(entry(2));
    ASSERT_TRUE(ledger->wait_durable(2, long_time));
  }
  expect_steps(directory.path(), 2);
}

TEST(Ledger, AChildForkedMeanwhileInheritsNoLockedLock) {
  const TestDirectory directory;
  auto ledger = Ledger::open(directory.path(), quick).value();
  testing::internal::CaptureStderr();
  for (std::uint64_t step = 1; step <= 100; ++step) {
    ledger->post(entry(step));
    ledger->post(entry(step));
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::alarm(30);
      log_info("{}", hex(sha256(as_bytes(std::string(100, 'x')))));
      ::_exit(0);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << step;
  }
  testing::internal::GetCapturedStderr();
}

// ---- AppendLater ----

TEST(AppendLater, TheLastLineIsReplacedWhateverFails) {
  int failing = -1;
  for (bool more = true; more; ++failing) {
    const TestDirectory directory;
    const fs::path path = directory / "metrics.jsonl";
    {
      auto opened = AppendFile::open(path).value();
      ASSERT_TRUE(opened.append("{\"step\":0}\n{\"step\":1}\n").ok());
      AppendLater file(std::move(opened), "{\"step\":1}\n", quick);
      std::atomic<int> calls = 0;
      const ScopedDiskFault fault([&](DiskCall&) { return calls++ == failing ? EIO : 0; });
      file.replace_last("{\"step\":1,\"validation_loss\":3}\n");
      ASSERT_TRUE(file.wait_durable(1, long_time));
      file.post("{\"step\":2}\n");
      file.post("{\"step\":3}\n");
      file.replace_last("{\"step\":3,\"validation_loss\":2}\n");
      ASSERT_TRUE(file.wait_durable(4, long_time));
      file.replace_last("{\"step\":3,\"validation_loss\":1}\n");
      file.replace_last("{\"step\":33}\n");
      file.post("{\"step\":4}\n");
      ASSERT_TRUE(file.wait_durable(7, long_time));
      EXPECT_FALSE(file.fatal().has_value());
      more = calls > failing;
    }
    ASSERT_EQ(read_file(path).value(), "{\"step\":0}\n{\"step\":1,\"validation_loss\":3}\n{\"step\":2}\n{\"step\":33}\n{\"step\":4}\n")
        << failing;
  }
  EXPECT_GT(failing, 8);
}

}  // namespace
}  // namespace godwit::store
