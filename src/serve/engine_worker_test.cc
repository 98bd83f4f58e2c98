// Orders and reports that change on their way, frames cut anywhere, an engine that fails unheard.
#include "serve/engine_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "serve/frames.h"

namespace godwit::serve {
namespace {

EngineRequest full_request() {
  EngineRequest request;
  request.served.request = {
      .prompt = {1, 2, 300}, .max_tokens = 9, .sampling = {0.7, 5, 0.9, 0.1}, .seed = ~std::uint64_t{0}, .stop = {"a\n\"", "é"}, .eos = 4};
  request.served.frequency_penalty = 0.25;
  request.served.presence_penalty = -2;
  request.served.logit_bias = {{7, 0.1f}, {8, -100.0f}};
  request.served.top_logprobs = 20;
  request.served.think_end = 261;
  request.served.owner = 0x8000000000000001;
  request.served.given = {3, 4};
  request.served.tell_prompt_from = 2;
  request.format = {Format::Kind::json_schema, R"({"type":"object"})", {{"f", "does", "{}"}}, false, text::ChatFormat::r1};
  return request;
}

TEST(EngineMessages, ARequestArrivesAsItWas) {
  const EngineRequest sent = full_request();
  const Order order = decode_order(encode(Submit{17, sent})).value();
  const Submit& got = std::get<Submit>(order);
  EXPECT_EQ(got.ticket, 17u);
  const infer::Request &a = sent.served.request, &b = got.request.served.request;
  EXPECT_EQ(a.prompt, b.prompt);
  EXPECT_EQ(a.sampling.temperature, b.sampling.temperature);
  EXPECT_EQ(a.sampling.min_p, b.sampling.min_p);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.stop, b.stop);
  EXPECT_EQ(a.eos, b.eos);
  EXPECT_EQ(sent.served.logit_bias, got.request.served.logit_bias);
  EXPECT_EQ(sent.served.think_end, got.request.served.think_end);
  EXPECT_EQ(sent.served.owner, got.request.served.owner);
  EXPECT_EQ(sent.served.given, got.request.served.given);
  EXPECT_EQ(sent.format.schema, got.request.format.schema);
  // Whatever else there is.
  EXPECT_EQ(encode(got), encode(Submit{17, sent}));
}

TEST(EngineMessages, AStepArrivesAsItWas) {
  Stepped stepped;
  infer::ServedEvent& thought = stepped.events.emplace_back();
  thought.ticket = 3;
  thought.id = 9;
  thought.logprob = -0.1f;
  thought.top = {{1, -2.5f}, {2, -0x1.fffffep3f}};
  thought.text = "\xEF\xBF\xBD";
  thought.thinking = true;
  thought.cached = 64;
  thought.queued_s = 0.25;
  thought.prompt = true;
  stepped.events.emplace_back().finish = infer::Finish::length;
  stepped.facts = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const std::string text = encode(Report(stepped));
  const Report report = decode_report(text).value();
  const Stepped& got = std::get<Stepped>(report);
  EXPECT_EQ(encode(report), text);
  EXPECT_EQ(got.events[0].top[1].logprob, -0x1.fffffep3f);
  EXPECT_EQ(got.events[1].finish, infer::Finish::length);
  EXPECT_EQ(got.events[0].queued_s, 0.25);
  EXPECT_TRUE(got.events[0].prompt);
  EXPECT_FALSE(got.events[1].prompt);
  EXPECT_EQ(got.facts.steps, 11u);
}

TEST(EngineMessages, WhatIsDamagedIsAnError) {
  for (const char* text : {"", "{}", "3", "{\"submit\": \"x\"}", "{\"cancel\": []}"}) EXPECT_FALSE(decode_order(text).ok()) << text;
  for (const char* text : {"", "{}", "{\"events\": 3}", "{\"events\": [{}], \"facts\": []}", "{\"accepted\": null}"}) {
    EXPECT_FALSE(decode_report(text).ok()) << text;
  }
}

TEST(Frames, AreWholeWhereverTheyWereCut) {
  const std::string bytes = frame("one") + frame("") + frame("three");
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    FrameReader reader;
    std::vector<std::string> got;
    for (const std::string& piece : {bytes.substr(0, cut), bytes.substr(cut)}) {
      reader.push(piece);
      while (const auto content = reader.next().value()) got.push_back(*content);
    }
    EXPECT_THAT(got, testing::ElementsAre("one", "", "three"));
  }
}

TEST(Frames, OneThatIsTooLongIsAnError) {
  FrameReader reader;
  reader.push("\xff\xff\xff\xff");
  EXPECT_FALSE(reader.next().ok());
}

// Answers every request with its ticket as ids, three of them; fails on demand.
class CountingEngine final : public infer::Engine {
 public:
  Result<void> submit(std::uint64_t ticket, infer::ServedRequest request) override {
    if (request.request.prompt.empty()) return input_error("no prompt");
    live_[ticket] = static_cast<int>(request.given.size());
    return {};
  }
  void cancel(std::uint64_t ticket) override { live_.erase(ticket); }
  bool idle() const override { return live_.empty(); }
  Result<std::vector<infer::ServedEvent>> step() override {
    if (live_.contains(666)) return world_error("the device is on fire");
    std::vector<infer::ServedEvent> events;
    for (auto& [ticket, given] : live_) {
      infer::ServedEvent& event = events.emplace_back();
      event.ticket = ticket;
      event.id = ++given;
      if (given == 3) event.finish = infer::Finish::length;
    }
    std::erase_if(live_, [](const auto& entry) { return entry.second == 3; });
    return events;
  }
  infer::EngineFacts facts() const override { return {}; }
  std::vector<const device::Executable*> executables() const override { return {}; }

 private:
  std::map<std::uint64_t, int> live_;
};

class Server {
 public:
  Server() {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    link_ = pair[0];
    worker_ = std::thread([this, other = pair[1]] {
      result_ = work(engine_, {.digest = "d", .dtype = "f32", .context = 8, .unconfined = {}}, std::nullopt, other);
      close(other);
    });
  }
  ~Server() { (void)leave(); }
  Result<void> leave() {
    if (link_ >= 0) shutdown(link_, SHUT_WR);
    if (worker_.joinable()) worker_.join();
    if (link_ >= 0) close(link_);
    link_ = -1;
    return result_;
  }
  void order(const std::string& text) {
    const std::string bytes = frame(text);
    ASSERT_EQ(write(link_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  Report report() {
    while (true) {
      if (auto text = reader_.next().value()) return decode_report(*text).value();
      char piece[4096];
      const ssize_t count = read(link_, piece, sizeof piece);
      EXPECT_GT(count, 0);
      if (count <= 0) return Failed{"gone"};
      reader_.push({piece, static_cast<std::size_t>(count)});
    }
  }

 private:
  CountingEngine engine_;
  int link_ = -1;
  FrameReader reader_;
  Result<void> result_;
  std::thread worker_;
};

TEST(EngineWorker, AnswersAndGoesWithTheServer) {
  Server server;
  EXPECT_EQ(std::get<Ready>(server.report()).digest, "d");
  EngineRequest request;
  request.served.request.prompt = {1};
  request.served.given = {1};
  server.order(encode(Submit{5, request}));
  EXPECT_EQ(std::get<Accepted>(server.report()).ticket, 5u);
  EXPECT_EQ(std::get<Stepped>(server.report()).events.at(0).id, 2);
  const Stepped last = std::get<Stepped>(server.report());
  EXPECT_EQ(last.events.at(0).id, 3);
  EXPECT_TRUE(last.events.at(0).finish.has_value());
  server.order(encode(Submit{6, EngineRequest{}}));
  EXPECT_EQ(std::get<Refused>(server.report()).message, "no prompt");
  EXPECT_TRUE(server.leave().ok());
}

TEST(EngineWorker, AFormatThatCannotBeIsRefused) {
  Server server;
  (void)server.report();
  EngineRequest request;
  request.served.request.prompt = {1};
  request.format.kind = Format::Kind::json_object;  // and no tokenizer
  server.order(encode(Submit{5, request}));
  EXPECT_EQ(std::get<Refused>(server.report()).ticket, 5u);
}

TEST(EngineWorker, SaysWhyItFails) {
  Server server;
  (void)server.report();
  EngineRequest request;
  request.served.request.prompt = {1};
  server.order(encode(Submit{666, request}));
  (void)server.report();
  EXPECT_EQ(std::get<Failed>(server.report()).message, "the device is on fire");
  EXPECT_FALSE(server.leave().ok());
}

}  // namespace
}  // namespace godwit::serve
