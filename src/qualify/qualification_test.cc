#include "qualify/qualification.h"

#include <gtest/gtest.h>

namespace godwit::qualify {
namespace {

TEST(WarmSpeeds, AreOfEachOpsBestSoThatOtherOpsAreNotOtherSpeeds) {
  // Op 7 takes 1 ms, op 8 takes 20 ms; in the last order both take twice that.
  const std::vector<std::vector<Visit>> orders = {{{7, 100, 0.1}}, {{8, 5, 0.1}, {7, 0, 0}}, {}, {{7, 100, 0.2}, {8, 5, 0.2}}};
  const std::vector<double> speed = speeds(orders);
  ASSERT_EQ(speed.size(), 4U);
  EXPECT_DOUBLE_EQ(speed[0], 1);
  EXPECT_DOUBLE_EQ(speed[1], 1);
  EXPECT_EQ(speed[2], 0);
  EXPECT_DOUBLE_EQ(speed[3], 0.5);
}

}  // namespace
}  // namespace godwit::qualify
