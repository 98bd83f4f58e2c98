// A run that is started again could forget where it was moved to, or not let its owner say anew where it is to be; a document could be read
// as what it is not.
#include "guard/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace godwit::guard {
namespace {

using testing::HasSubstr;

const Place cpu{"cpu", 0}, chip{"opencl", 0}, second{"opencl", 1};

Placement placement(std::vector<Place> asked, std::vector<Placement::Seat> workers) {
  return {std::move(asked), std::move(workers), false, {}};
}

std::vector<Place> places_of(const Placement& placement) {
  std::vector<Place> places;
  for (const Placement::Seat& seat : placement.workers) places.push_back(seat.place);
  return places;
}

class PlacementFiles : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(directory_);
    ASSERT_TRUE(create_directories_durably(directory_).ok());
  }
  void TearDown() override { fs::remove_all(directory_); }
  fs::path directory_;
};

TEST(Placement, TheSameCommandGoesOnWhereWorkersWereMovedTo) {
  const Place asked[] = {cpu};
  const Placement first = settle(std::nullopt, asked, 2);
  EXPECT_EQ(places_of(first), (std::vector<Place>{cpu, cpu}));
  Placement moved = placement({cpu}, {{chip, 7}, {cpu, 0}});
  const Placement again = settle(moved, asked, 2);
  EXPECT_EQ(places_of(again), (std::vector<Place>{chip, cpu}));
  EXPECT_EQ(again.workers[0].since, 7u);
}

TEST(Placement, AnotherCommandSaysAnewWhereTheySit) {
  const Placement moved = placement({cpu}, {{chip, 7}, {chip, 7}});
  const Place one[] = {second}, each[] = {cpu, chip};
  EXPECT_EQ(places_of(settle(moved, one, 2)), (std::vector<Place>{second, second}));
  EXPECT_EQ(places_of(settle(moved, each, 2)), (std::vector<Place>{cpu, chip}));
}

TEST(Placement, MoreWorkersAreNotPutWhereAllOthersWereMovedFrom) {
  const Place asked[] = {cpu};
  const Placement moved = placement({cpu}, {{chip, 7}});
  EXPECT_EQ(places_of(settle(moved, asked, 3)), (std::vector<Place>{chip, chip, chip}));
  EXPECT_EQ(places_of(settle(placement({cpu}, {{chip, 7}, {second, 9}}), asked, 1)), (std::vector<Place>{chip}));
}

TEST(Placement, PlacesAreReadAsTheyAreWritten) {
  EXPECT_EQ(parse_place("cpu").value(), cpu);
  EXPECT_EQ(parse_place("reference:0").value(), (Place{"reference", 0}));
  EXPECT_EQ(parse_place("cpu:3").value(), (Place{"cpu", 3}));
  EXPECT_EQ((Place{"cpu", 3}.text()), "cpu:3");
  EXPECT_EQ(parse_places("cpu,reference:2").value(), (std::vector<Place>{cpu, {"reference", 2}}));
  for (const char* wrong : {"cpu:", "cpu:x", "cpu:-1", "cpu:1x", "cpu:99999999999"}) {
    const auto place = parse_place(wrong);
    ASSERT_FALSE(place.ok()) << wrong;
    EXPECT_EQ(place.error().kind, ErrorKind::input);
    EXPECT_THAT(place.error().message, HasSubstr("is no device of cpu")) << wrong;
  }
  EXPECT_THAT(parse_place("referense").error().message, HasSubstr("did you mean reference"));
  EXPECT_THAT(parse_place("").error().message, HasSubstr("there is no backend ''"));
  EXPECT_FALSE(parse_places("cpu,,cpu").ok());
}

TEST_F(PlacementFiles, WhatIsWrittenIsRead) {
  const fs::path path = directory_ / "placement.json";
  EXPECT_FALSE(read_placement(path).value().has_value());
  Placement written = placement({cpu, chip}, {{second, 12}, {chip, 0}});
  for (int i = 0; i < 40; ++i) {
    written.moves.push_back({.id = std::to_string(i),
                             .to = second,
                             .workers = {0, 1},
                             .moved = i % 2 == 0,
                             .differs = i % 2 == 1,
                             .why = "a \"reason\"",
                             .step = 12,
                             .seconds = 1.5,
                             .pause_s = 0.25});
  }
  ASSERT_TRUE(write_placement(path, written).ok());
  const Placement read = read_placement(path).value().value();
  EXPECT_EQ(read.asked, written.asked);
  EXPECT_EQ(places_of(read), places_of(written));
  EXPECT_EQ(read.workers[0].since, 12u);
  ASSERT_EQ(read.moves.size(), 32u) << "the latest are kept";
  EXPECT_EQ(read.moves.back().id, "39");
  EXPECT_EQ(read.moves.back().to, second);
  EXPECT_EQ(read.moves.back().workers, (std::vector<int>{0, 1}));
  EXPECT_FALSE(read.moves.back().moved);
  EXPECT_TRUE(read.moves.back().differs);
  EXPECT_EQ(read.moves.back().why, "a \"reason\"");
  EXPECT_EQ(read.moves.back().pause_s, 0.25);
}

TEST_F(PlacementFiles, ARequestIsReadOrRefused) {
  const fs::path path = directory_ / "move.json";
  EXPECT_FALSE(read_move_request(path).value().has_value());
  const MoveRequest written = make_move_request(second, {1});
  EXPECT_NE(written.id, make_move_request(second, {1}).id);
  ASSERT_TRUE(write_move_request(path, written).ok());
  const MoveRequest read = read_move_request(path).value().value();
  EXPECT_EQ(read.id, written.id);
  EXPECT_EQ(read.to, second);
  EXPECT_EQ(read.workers, std::vector<int>{1});
  EXPECT_EQ(read.process, written.process);
  for (const char* wrong :
       {"", "{}", "[]", "{\"id\":\"\",\"to\":{\"backend\":\"cpu\",\"device\":0},\"workers\":[]}",
        "{\"id\":\"a\",\"to\":\"cpu\",\"workers\":[]}", "{\"id\":\"a\",\"to\":{\"backend\":\"cpu\",\"device\":0},\"workers\":[\"x\"]}"}) {
    ASSERT_TRUE(write_file_durably(path, wrong).ok());
    const auto request = read_move_request(path);
    EXPECT_FALSE(request.ok()) << wrong;
  }
  ASSERT_TRUE(write_file_durably(path, "{\"workers\":3}").ok());
  EXPECT_FALSE(read_placement(path).ok());
}

}  // namespace
}  // namespace godwit::guard
