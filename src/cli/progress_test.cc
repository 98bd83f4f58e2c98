#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace godwit::cli {
namespace {

using testing::ElementsAre;

// A screen and a clock of our own.
struct Screen {
  std::vector<std::string> written;
  double now = 0;
  int width = 0;
  ProgressOutput output() {
    return {[this](std::string_view text) { written.emplace_back(text); }, [this] { return now; }, [this] { return width; }};
  }
};

TEST(Progress, PlainLinesComeNowAndThen) {
  Screen screen;
  Progress progress(false, 10, screen.output());
  for (int step = 0; step <= 25; ++step) {
    screen.now = step;
    progress.update(step / 25.0, "step " + std::to_string(step));
  }
  progress.finish();
  progress.finish();
  EXPECT_THAT(screen.written, ElementsAre("step 0\n", "step 10\n", "step 20\n", "step 25\n"));
}

TEST(Progress, TheBarIsRedrawnAndGivesWayToLines) {
  Screen screen;
  screen.width = 50;
  {
    Progress progress(false, 10, screen.output());
    progress.update(0.5, "half");
    progress.update(0.6, "too soon");
    progress.line("something happened");
    progress.finish();
    screen.now = 1;
    progress.update(0.7, "more");
  }
  const std::string half = "\r[############............]  50 %  half           \r";
  EXPECT_THAT(screen.written, ElementsAre(half, "\r\x1b[K", "something happened\n", "\r[##############..........]  60 %  too soon       \r",
                                          "\r\x1b[K", "too soon\n", "\r[################........]  70 %  more           \r", "\r\x1b[K"));
}

TEST(Progress, QuietWritesNothing) {
  Screen screen;
  screen.width = 80;
  Progress progress(true, 10, screen.output());
  progress.update(0.5, "half");
  progress.line("something happened");
  progress.finish();
  EXPECT_THAT(screen.written, ElementsAre());
}

TEST(Progress, ABarIsAsWideAsAsked) {
  EXPECT_EQ(bar_text(0.25, "step 1", 45), "[######..................]  25 %  step 1     ");
  EXPECT_EQ(bar_text(1, "a long text that does not fit", 40), "[########################] 100 %  a long");
  EXPECT_EQ(bar_text(0, "äöü", 36), "[........................]   0 %  äö");
  EXPECT_EQ(bar_text(0, "x", 0), "");
  for (const double odd : {-1.0, 2.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_EQ(bar_text(odd, "", 40).size(), 40u);
  }
}

TEST(Progress, Durations) {
  EXPECT_EQ(duration_text(0), "0:00");
  EXPECT_EQ(duration_text(59.6), "1:00");
  EXPECT_EQ(duration_text(3599), "59:59");
  EXPECT_EQ(duration_text(11109), "3:05:09");
  EXPECT_EQ(duration_text(-1), "--:--");
  EXPECT_EQ(duration_text(std::numeric_limits<double>::infinity()), "--:--");
}

}  // namespace
}  // namespace godwit::cli
