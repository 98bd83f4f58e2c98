// What could go wrong: a score goes to another completion than it was meant for; what is no number becomes a reward; half a line counts.
#include "rl/command_scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::rl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(CommandScores, ALineEach) {
  const CommandScores read = read_command_scores("1\n-0.25\r\n 1e-3 \n", 3, "");
  EXPECT_THAT(read.scores, ElementsAre(1, -0.25, 1e-3));
  EXPECT_THAT(read.warnings, IsEmpty());
  EXPECT_THAT(read_command_scores("1\n2", 2, "").scores, ElementsAre(1, 2)) << "the last line needs no line feed";
  EXPECT_THAT(read_command_scores("1\n2\n\n\n", 2, "").warnings, IsEmpty()) << "blank lines at the end are nobody's";
}

TEST(CommandScores, WhatIsNoNumberCountsZeroInItsPlace) {
  const CommandScores read = read_command_scores("nan\ninf\n1\n\n0x10\n1 2\n1e7\n2\n", 8, "");
  EXPECT_THAT(read.scores, ElementsAre(0, 0, 1, 0, 0, 0, 0, 2));
  EXPECT_THAT(read.warnings, ElementsAre(HasSubstr("6 of its 8 lines are no numbers")));
}

TEST(CommandScores, TooFewLinesAreThoseOfTheFirst) {
  const CommandScores read = read_command_scores("1\n", 3, "");
  EXPECT_THAT(read.scores, ElementsAre(1, 0, 0));
  EXPECT_THAT(read.warnings, ElementsAre(HasSubstr("2 of 3 completions are not scored")));
}

TEST(CommandScores, OfTooManyLinesNoneCounts) {
  const CommandScores read = read_command_scores("loading the model\n1\n1\n", 2, "");
  EXPECT_THAT(read.scores, ElementsAre(0, 0));
  EXPECT_THAT(read.warnings, ElementsAre(HasSubstr("3 lines for 2 completions")));
}

TEST(CommandScores, ALineThatWasCutOffCountsNothing) {
  const CommandScores read = read_command_scores("1\n12", 2, "took more than 1 s and was ended");
  EXPECT_THAT(read.scores, ElementsAre(1, 0));
  EXPECT_THAT(read.warnings, ElementsAre(HasSubstr("took more than 1 s and was ended: 1 of 2")));
}

TEST(CommandScores, ThereMustBeAProgram) {
  EXPECT_TRUE(check_command({"sh", "-c", "exit 0"}, "here").ok());
  EXPECT_THAT(check_command({"no-such-program"}, "here").error().message,
              HasSubstr("here: there is no executable 'no-such-program' on PATH"));
  EXPECT_THAT(check_command({"/etc/passwd"}, "here").error().message, HasSubstr("there is no executable '/etc/passwd'"));
  EXPECT_THAT(check_command({"sh", "no_such.sh"}, "here").error().message, HasSubstr("there is no file 'no_such.sh'"));
  EXPECT_EQ(check_command({"sh", "no_such.sh"}, "here").error().kind, ErrorKind::input);
}

}  // namespace
}  // namespace godwit::rl
