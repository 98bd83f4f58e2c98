// What could go wrong: a page that shows nothing, or NaN, where a run went wrong; a spike that thinning hides; text that breaks the page.
#include "cli/curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace godwit::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

Curve loss(std::vector<Point> points) {
  return {.title = "Loss", .unit = "nats per token", .series = {{"training", std::move(points)}}};
}

TEST(curve, names_its_axes_and_last_values) {
  const std::string svg = draw_curve(loss({{1, 5}, {2, 3}, {1200, 2.5}})).value();
  EXPECT_THAT(svg, HasSubstr("<h3>Loss</h3>"));
  EXPECT_THAT(svg, HasSubstr("training <b>2.5</b> at step 1,200"));
  EXPECT_THAT(svg, HasSubstr(">nats per token</text>"));
  EXPECT_THAT(svg, HasSubstr(">step</text>"));
  // From corner to corner of the frame: the ticks of 2.5 … 5 are 2.5, 3, … 5 or wider.
  EXPECT_THAT(svg, HasSubstr("points=\"78.0,10.0 "));
  EXPECT_THAT(svg, HasSubstr("408.0,"));
}

TEST(curve, without_points_says_so) {
  for (const Curve& curve : {loss({}), Curve{.title = "Loss", .unit = "", .series = {}}}) {
    const std::string html = draw_curve(curve).value();
    EXPECT_THAT(html, HasSubstr("There are no values yet."));
    EXPECT_THAT(html, Not(HasSubstr("<svg")));
  }
}

TEST(curve, of_one_point_or_one_value_is_drawn_in_the_middle) {
  for (const double y : {0.0, 3.0, -2e-9, 1e12}) {
    const std::string one = draw_curve(loss({{7, y}})).value();
    EXPECT_THAT(one, HasSubstr("<circle")) << y;
    EXPECT_THAT(one, Not(HasSubstr("<polyline"))) << y;
    EXPECT_THAT(one, Not(HasSubstr("nan"))) << y;
    const std::string flat = draw_curve(loss({{1, y}, {2, y}})).value();
    EXPECT_THAT(flat, HasSubstr("<polyline")) << y;
    EXPECT_THAT(flat, Not(HasSubstr("nan"))) << y;
    EXPECT_THAT(flat, Not(HasSubstr("inf"))) << y;
  }
}

TEST(curve, refuses_what_is_not_finite) {
  const auto nan = draw_curve(loss({{1, 5}, {2, std::nan("")}}));
  ASSERT_FALSE(nan.ok());
  EXPECT_EQ(nan.error().kind, ErrorKind::input);
  EXPECT_EQ(nan.error().message, "the curve 'Loss': training is nan at step 2; only finite values can be drawn");
  EXPECT_FALSE(draw_curve(loss({{1, std::numeric_limits<double>::infinity()}})).ok());
}

TEST(curve, thinning_keeps_ends_and_what_stands_out) {
  std::vector<Point> points;
  for (int i = 0; i < 100'000; ++i) points.push_back({static_cast<double>(i), i == 54'321 ? 9.0 : i == 11 ? -9.0 : std::sin(i)});
  const auto kept = thin_out(points, 50);
  EXPECT_LE(kept.size(), 200u);
  EXPECT_EQ(kept.front().x, 0);
  EXPECT_EQ(kept.back().x, 99'999);
  const auto has = [&](double y) { return std::ranges::any_of(kept, [&](const Point& point) { return point.y == y; }); };
  EXPECT_TRUE(has(9) && has(-9));
  EXPECT_TRUE(std::ranges::is_sorted(kept, {}, &Point::x));
  EXPECT_EQ(thin_out(kept, 50).size(), kept.size());
}

TEST(curve, ticks_are_round_and_reach_around) {
  EXPECT_EQ(ticks(0, 1), (std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1}));
  EXPECT_EQ(ticks(2.5, 5), (std::vector<double>{2.5, 3, 3.5, 4, 4.5, 5}));
  EXPECT_EQ(ticks(-130, 60), (std::vector<double>{-150, -100, -50, 0, 50, 100}));
  for (double high = 1e-9; high < 1e9; high *= 1.37) {
    const auto list = ticks(high / 3, high);
    EXPECT_GE(list.size(), 3u) << high;
    EXPECT_LE(list.size(), 8u) << high;
    EXPECT_LE(list.front(), high / 3 * (1 + 1e-6));
    EXPECT_GE(list.back(), high * (1 - 1e-6));
  }
}

TEST(curve, numbers_are_short) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(2.57721), "2.577");
  EXPECT_EQ(short_number(0.0031), "0.0031");
  EXPECT_EQ(short_number(1.5e-7), "1.5e-07");
  EXPECT_EQ(short_number(12400.4), "12,400");
  EXPECT_EQ(short_number(-1234567), "-1,234,567");
  EXPECT_EQ(short_number(-123), "-123");
  EXPECT_EQ(short_number(-1234), "-1,234");
}

TEST(curve, text_cannot_break_the_page) {
  EXPECT_EQ(escape_html("a<b> & \"c\"\n\xC3\xA9"), "a&lt;b&gt; &amp; &quot;c&quot;\n\xC3\xA9");
  EXPECT_EQ(escape_html(std::string_view("\x01\xFF\x00", 3)), "\uFFFD\uFFFD\uFFFD");
  EXPECT_THAT(draw_curve({.title = "<x>", .unit = "&", .series = {{"<y>", {{1, 1}}}}}).value(), Not(testing::ContainsRegex("<[xy]>")));
}

}  // namespace
}  // namespace godwit::cli
