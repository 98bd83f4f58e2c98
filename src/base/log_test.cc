// What could go wrong: quiet also silences the file or the errors; a log that cannot be written ends the run.
#include "base/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

namespace godwit {
namespace {

TEST(Log, GoesToStandardErrorAndTheFile) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("godwit_log_test_{}.txt", ::getpid());
  testing::internal::CaptureStderr();
  ASSERT_TRUE(open_log_file(path).ok());
  log_info("step {}", 7);
  set_log_quiet(true);
  log_info("unseen");
  log_warning("unseen too");
  log_error("seen: {}", "disk");
  set_log_quiet(false);
  close_log_file();
  log_warning("last");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "step 7\nerror: seen: disk\nwarning: last\n");
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const char* part : {" step 7\n", " unseen\n", " warning: unseen too\n", " error: seen: disk\n"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  EXPECT_EQ(text.find("last"), std::string::npos);
  std::filesystem::remove(path);
}

TEST(Log, FailuresAreErrorsOrNothing) {
  EXPECT_FALSE(open_log_file("/proc/no/such/log.txt").ok());
  ASSERT_TRUE(open_log_file("/dev/full").ok());
  testing::internal::CaptureStderr();
  log_info("the disk is full");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "the disk is full\n");
  close_log_file();
}

}  // namespace
}  // namespace godwit
