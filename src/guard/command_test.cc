// What could go wrong: a program outlives its time or its caller, reaches the network, or holds up the caller by not reading or not being
// read.
#include "guard/command.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/test_directory.h"

namespace godwit::guard {
namespace {

using testing::HasSubstr;

CommandOutcome sh(const std::string& script, std::string_view input = "", CommandLimits limits = {}) {
  return run_command({"sh", "-c", script}, input, limits, {}).value();
}

TEST(RunCommand, IsFedAndRead) {
  const std::string input(3 << 20, 'x');  // more than a pipe holds
  const CommandOutcome echoed = sh("cat", input, {.output_bytes = 4 << 20});
  EXPECT_EQ(echoed.output, input);
  EXPECT_EQ(echoed.trouble, "");
  const CommandOutcome deaf = sh("echo 1", input);
  EXPECT_EQ(deaf.output, "1\n");
  EXPECT_EQ(deaf.trouble, "") << "it need not read";
}

TEST(RunCommand, SaysHowItEnded) {
  EXPECT_EQ(sh("echo a >&2; echo why >&2; exit 3").trouble, "ended with exit code 3: why");
  EXPECT_THAT(sh("kill -SEGV $$").trouble, HasSubstr("Segmentation fault"));
  EXPECT_THAT(run_command({"no-such-program"}, "", {}, {}).value().trouble, HasSubstr("could not be started"));
  EXPECT_THAT(run_command({"/etc/passwd"}, "", {}, {}).value().trouble, HasSubstr("could not be started"));
}

TEST(RunCommand, IsEndedAtItsLimits) {
  int beats = 0;
  const CommandOutcome late = run_command({"sh", "-c", "echo 1; sleep 1000"}, "", {.seconds = 0.3}, [&] { ++beats; }).value();
  EXPECT_EQ(late.output, "1\n");
  EXPECT_EQ(late.trouble, "took more than 0.3 s and was ended");
  EXPECT_GE(beats, 3);
  const CommandOutcome flood = sh("yes", "", {.output_bytes = 1000});
  EXPECT_EQ(flood.output.size(), 1000u);
  EXPECT_THAT(flood.trouble, HasSubstr("wrote more than 1000 bytes"));
}

TEST(RunCommand, NothingOfItIsLeft) {
  // A process that left its group holds the pipe open until it is ended with the rest.
  const store::TestDirectory directory;
  const std::string pipe = (directory / "pipe").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const int reading = open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  const CommandOutcome outcome = sh("exec 3>" + pipe + "; setsid sleep 1000 >/dev/null 2>&1 & exec 3>&-; echo 1");
  EXPECT_EQ(outcome.output, "1\n");
  char byte = 0;
  if (outcome.unconfined.empty()) {
    EXPECT_EQ(read(reading, &byte, 1), 0) << "somebody still holds the other end";
  }
  close(reading);
}

TEST(RunCommand, HasNoNetwork) {
  const CommandOutcome outcome = sh("grep -c : /proc/net/dev");
  if (outcome.unconfined.empty()) {
    EXPECT_EQ(outcome.output, "1\n") << "more than a loopback, which is down";
  }
}

}  // namespace
}  // namespace godwit::guard
