// A frame that was changed, cut or exchanged could be taken for what was sent; a message from a worker that lies could break the
// supervisor.
#include "guard/link.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "guard/messages.h"

namespace godwit::guard {
namespace {

TEST(Frame, EveryFlippedBitIsFound) {
  Json content;
  content["do"] = "propose";
  content["step"] = 7;
  const std::string frame = encode_frame({3, 9, content});
  ASSERT_TRUE(decode_frame(frame).ok());
  EXPECT_EQ(decode_frame(frame)->number, 3u);
  EXPECT_EQ(decode_frame(frame)->epoch, 9u);
  EXPECT_EQ(decode_frame(frame)->content, content);
  for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
    std::string spoilt = frame;
    spoilt[bit / 8] = static_cast<char>(spoilt[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(decode_frame(spoilt).ok()) << "bit " << bit;
  }
  for (std::size_t length = 0; length < frame.size(); ++length) EXPECT_FALSE(decode_frame(frame.substr(0, length)).ok());
}

TEST(Link, CarriesFramesBothWaysAndKnowsWhenTheOtherSideIsGone) {
  auto ends = Link::create().value();
  EXPECT_FALSE(ends.first.receive(false)->has_value());
  ASSERT_TRUE(ends.first.send("one").ok());
  ASSERT_TRUE(ends.first.send("two").ok());
  EXPECT_EQ(**ends.second.receive(true), "one");
  EXPECT_EQ(**ends.second.receive(true), "two");
  ends.first.close();
  EXPECT_FALSE(ends.second.receive(false).ok());
  EXPECT_FALSE(ends.second.send("three").ok());
}

TEST(Messages, KeepTheirBits) {
  WorkerTask::Evaluated evaluated;
  evaluated.sums = {0.1, -0.0, 1e-320, 12345.678901234567};
  evaluated.predictions = 99;
  const auto back = evaluated_from(*parse_json(write_json(to_json(evaluated)), "test"));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->sums, evaluated.sums);
  EXPECT_TRUE(std::signbit(back->sums[1]));
  Answer answer;
  answer.checksum.bytes[3] = std::byte{7};
  answer.finding_count = 2;
  answer.findings.push_back({"training", "linear", 4, "y", 17, std::numeric_limits<double>::quiet_NaN(), 1e-3});
  const auto answered = answer_from(*parse_json(write_json(to_json(answer)), "test"));
  ASSERT_TRUE(answered.ok());
  EXPECT_EQ(answered->checksum, answer.checksum);
  EXPECT_TRUE(std::isnan(answered->findings[0].difference));
  EXPECT_EQ(answered->findings[0].row, 17);
}

TEST(Messages, WhatIsMissingOrOfAnotherKindIsAnError) {
  for (const char* text :
       {"{}", "[]", "null", "{\"checksum\":1,\"findings\":[]}", "{\"checksum\":\"zz\",\"finding_count\":0,\"checked\":0,\"findings\":[]}",
        "{\"sums\":[\"a\"],\"predictions\":1}", "{\"sums\":[1],\"predictions\":\"x\"}", "{\"doubts\":[{}]}", "{\"doubts\":5}"}) {
    const Json json = *parse_json(text, "test");
    EXPECT_FALSE(answer_from(json).ok()) << text;
    EXPECT_FALSE(evaluated_from(json).ok()) << text;
    EXPECT_FALSE(order_from(json).ok()) << text;
    EXPECT_FALSE(made_from(json).ok()) << text;
    EXPECT_FALSE(loaded_from(json).ok()) << text;
  }
}

}  // namespace
}  // namespace godwit::guard
