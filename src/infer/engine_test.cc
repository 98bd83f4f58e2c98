// What is served could depend on how it is served: on the chunks a prompt is cut into, on who is answered beside it, on rows found in the
// cache, on pages taken away and read anew. Every test compares bits with the plain loop below, which reads one row after the other.
#include "infer/engine.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <map>

#include "infer/score.h"
#include "infer/test_model.h"

namespace godwit::infer {
namespace {

using program::Dtype;

std::unique_ptr<Engine> engine(TestModel& m, const EngineOptions& options) {
  return Engine::create(*m.device, *m.model, m.weights, options, text::Tokenizer::bytes()).value();
}

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> words;
  for (const float value : values) words.push_back(std::bit_cast<std::uint32_t>(value));
  return words;
}

void expect_equal(const Answer& found, const Answer& expected, const std::string& where) {
  EXPECT_EQ(found.ids, expected.ids) << where;
  EXPECT_EQ(bits(found.logprobs), bits(expected.logprobs)) << where;
  EXPECT_EQ(found.text, expected.text) << where;
  EXPECT_EQ(found.finish, expected.finish) << where;
}

ServedRequest request(std::vector<std::int32_t> prompt, std::int64_t max_tokens, double temperature = 1) {
  ServedRequest r;
  r.request.seed = prompt.size();
  r.request.prompt = std::move(prompt);
  r.request.max_tokens = max_tokens;
  r.request.sampling.temperature = temperature;
  return r;
}
ServedRequest request(std::size_t length, std::int64_t max_tokens, double temperature = 1) {
  return request(test_ids(length, length), max_tokens, temperature);
}

// One row at a time: no chunks, nobody beside it.
Answer plain(TestModel& m, const ServedRequest& r, Dtype dtype = Dtype::f32) {
  return answer_all(*engine(m, {.dtype = dtype, .streams = 1, .rows = 1}), std::span(&r, 1)).value()[0];
}

TEST(Engine, ChunksAndCompanyDoNotChangeABit) {
  TestModel alone, together("", 2);
  std::vector<ServedRequest> requests;
  for (const std::size_t length : {17, 1, 140, 64, 17, 65, 31})
    requests.push_back(request(length, 4 + static_cast<std::int64_t>(length % 7)));
  requests[4].request.sample = 1;
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    std::vector<Answer> expected;
    for (const ServedRequest& r : requests) expected.push_back(plain(alone, r, dtype));
    EXPECT_NE(expected[0].ids, expected[4].ids) << "another sample of the same prompt is another answer";
    for (const auto& [streams, rows] : {std::pair{1, 512}, {2, 1}, {3, 7}, {7, 64}, {5, 512}}) {
      const auto served = engine(together, {.dtype = dtype, .streams = streams, .rows = rows});
      const auto found = answer_all(*served, requests).value();
      for (std::size_t i = 0; i < requests.size(); ++i) {
        expect_equal(found[i], expected[i], fmt::format("request {}, {} streams, {} rows", i, streams, rows));
      }
      EXPECT_EQ(served->facts().pages_used, 0);
    }
  }
}

TEST(Engine, StaysWithinTheAbsorbedFormsBound) {
  // The router decides by comparison: a last bit may send a token to another expert, which no bound on rounding covers. Here all layers are
  // dense.
  TestModel m("", 1, {{"first_k_dense_replace", 2}});
  const ServedRequest r = request(100, 40);
  for (const auto& [dtype, bound] : {std::pair{Dtype::f32, 1e-5}, std::pair{Dtype::bf16, 0.03}}) {
    const Answer found = plain(m, r, dtype);
    std::vector<std::int32_t> row = r.request.prompt;
    row.insert(row.end(), found.ids.begin(), found.ids.end());
    const Probe expected = probe(*m.device, *m.model, m.weights, {row}, {.dtype = dtype}).value();
    double largest = 0, difference = 0;
    for (const float logit : expected.logits) largest = std::max(largest, std::abs(static_cast<double>(logit)));
    for (std::size_t i = 0; i < found.logprobs.size(); ++i) {
      const float should = expected.logprobs[r.request.prompt.size() - 1 + i];
      difference = std::max(difference, std::abs(static_cast<double>(found.logprobs[i]) - static_cast<double>(should)));
    }
    EXPECT_LE(difference, 2 * bound * largest) << dtype_name(dtype) << ": a log-probability has the errors of a logit and of the sum";
    EXPECT_GT(difference, 0) << "the two forms round differently; equal bits would mean that one was run twice";
    RecordProperty(fmt::format("absorbed_{}", dtype_name(dtype)), fmt::format("{:.3g}", difference / largest));
  }
}

TEST(Engine, WhatIsFoundInTheCacheIsWhatWouldBeComputed) {
  TestModel m;
  const std::vector<std::int32_t> shared = test_ids(200, 1);
  std::vector<ServedRequest> turns;
  for (const std::size_t length : {200, 129, 128, 127, 64, 63}) {
    turns.push_back(request({shared.begin(), shared.begin() + static_cast<std::ptrdiff_t>(length)}, 70));
    turns.back().owner = 7;
  }
  const auto served = engine(m, {.streams = 2, .rows = 50});
  std::int64_t cached = -1;
  const auto answer = [&](const ServedRequest& r) {
    return answer_all(*served, std::span(&r, 1),
                      [&](const ServedEvent& event) -> Result<void> {
                        cached = event.cached;
                        return {};
                      })
        .value()[0];
  };
  for (const ServedRequest& r : turns) expect_equal(answer(r), plain(m, r), fmt::format("prompt of {}", r.request.prompt.size()));
  EXPECT_EQ(cached, 62) << "the beginning of a page";
  // All is found, but for the last id's row.
  (void)answer(turns[1]);
  EXPECT_EQ(cached, 128);
  (void)answer(turns[2]);
  EXPECT_EQ(cached, 127);
  // A second turn finds what the first answer wrote, too.
  const Answer first = answer(turns[0]);
  std::vector<std::int32_t> ids = shared;
  ids.insert(ids.end(), first.ids.begin(), first.ids.end());
  for (const std::int32_t id : test_ids(9, 5)) ids.push_back(id);
  ServedRequest second = request(ids, 20);
  second.owner = 7;
  expect_equal(answer(second), plain(m, second), "second turn");
  EXPECT_EQ(cached, 269) << "all but the last id of the answer, which nobody has read";
  // Nobody finds another owner's rows, nor those of owner 0.
  for (const std::uint64_t owner : {std::uint64_t{8}, std::uint64_t{0}, std::uint64_t{0}}) {
    second.owner = owner;
    (void)answer(second);
    EXPECT_EQ(cached, 0) << owner;
  }
  EXPECT_EQ(served->facts().pages_used, 0);
  EXPECT_GT(served->facts().pages_kept, 0);
}

TEST(Engine, ABeginningThatSeveralReadIsComputedOnce) {
  TestModel m("", 2);
  const std::vector<std::int32_t> head = test_ids(150, 1);
  for (const std::int64_t guesses : {0, 2}) {
    std::vector<ServedRequest> requests;
    for (const std::size_t tail : {1, 9, 30, 5, 70, 5}) {
      std::vector<std::int32_t> ids = head;
      for (const std::int32_t id : test_ids(tail, 40 + tail)) ids.push_back(id);
      requests.push_back(request(ids, 12));
      requests.back().owner = 3;
    }
    TestModel with_layer("", 2, {{"num_nextn_predict_layers", 1}});
    TestModel& used = guesses > 0 ? with_layer : m;
    const auto served = engine(used, {.streams = 6, .rows = 64, .guesses = guesses});
    const auto found = answer_all(*served, requests).value();
    for (std::size_t i = 0; i < requests.size(); ++i) expect_equal(found[i], plain(used, requests[i]), fmt::format("request {}", i));
    // Each has the head of the first; the last one all but its last id of the one with the same prompt.
    EXPECT_EQ(served->facts().cached_tokens, 4u * 150 + 154) << guesses;
    EXPECT_EQ(served->facts().pages_used, 0);
  }
}

TEST(Engine, StreamsThatLoseTheirPagesGiveTheSameAnswers) {
  TestModel m;
  std::vector<ServedRequest> requests;
  for (const std::size_t length : {60, 61, 62, 130, 63}) {
    requests.push_back(request(length, 80));
    requests.back().owner = length % 2;
  }
  // Five pages for five streams that come to need three or four each.
  const std::int64_t page = 2 * 64 * (32 + 8) * 4;
  const auto served = engine(m, {.streams = 5, .context = 256, .cache_bytes = 5 * page, .rows = 40});
  ASSERT_EQ(served->facts().pages, 5);
  const auto found = answer_all(*served, requests).value();
  for (std::size_t i = 0; i < requests.size(); ++i) expect_equal(found[i], plain(m, requests[i]), fmt::format("request {}", i));
  EXPECT_EQ(served->facts().pages_used, 0);
  ServedRequest large = request(200, 130);
  EXPECT_FALSE(served->submit(9, large).ok());
  large = request(100, 156);
  EXPECT_TRUE(served->submit(9, large).ok()) << "as much as the context";
}

TEST(Engine, AnAnswerGoesOnFromAnyPlaceWithTheSameBits) {
  TestModel m;
  ServedRequest r = request(40, 24);
  r.frequency_penalty = 0.7;
  r.presence_penalty = 0.4;
  r.logit_bias = {{65, 3.0f}, {200, -4.0f}};
  r.think_end = 99;
  r.request.stop = {"zz"};
  const Answer whole = plain(m, r);
  ASSERT_GT(whole.ids.size(), 5u);
  for (std::size_t given = 0; given < whole.ids.size(); ++given) {
    r.given.assign(whole.ids.begin(), whole.ids.begin() + static_cast<std::ptrdiff_t>(given));
    const Answer rest = answer_all(*engine(m, {.streams = 2, .rows = 33}), std::span(&r, 1)).value()[0];
    EXPECT_EQ(rest.ids, std::vector<std::int32_t>(whole.ids.begin() + static_cast<std::ptrdiff_t>(given), whole.ids.end())) << given;
    EXPECT_EQ(bits(rest.logprobs), bits({whole.logprobs.begin() + static_cast<std::ptrdiff_t>(given), whole.logprobs.end()})) << given;
    EXPECT_TRUE(whole.text.ends_with(rest.text)) << given;
  }
  r.given = whole.ids;
  EXPECT_FALSE(engine(m, {.streams = 1})->submit(1, r).ok()) << "nothing is left to give";
}

// Runs of `first` and `second` by turns; the answer may end after a `second`.
class TurnsGrammar final : public Grammar {
 public:
  class Turns final : public State {
   public:
    void allowed(std::span<std::uint8_t> allowed) const override {
      allowed[odd_ ? 67 : 66] = 1;
      if (may_end()) allowed[end_id] = 1;
    }
    bool push(std::int32_t id) override {
      if (id != (odd_ ? 67 : 66)) return false;
      odd_ = !odd_;
      ++count_;
      return true;
    }
    bool may_end() const override { return count_ >= 6 && !odd_; }

   private:
    bool odd_ = false;
    int count_ = 0;
  };
  static constexpr std::int32_t end_id = 257;
  std::unique_ptr<State> begin() const override { return std::make_unique<Turns>(); }
};

TEST(Engine, AGrammarAndThinkingShapeTheAnswer) {
  TestModel m;
  ServedRequest r = request(12, 200);
  r.grammar = std::make_shared<TurnsGrammar>();
  EXPECT_FALSE(engine(m, {.streams = 1})->submit(1, r).ok()) << "without an end token";
  r.request.eos = TurnsGrammar::end_id;
  r.logit_bias = {{TurnsGrammar::end_id, 4.0f}};
  const Answer answer = plain(m, r);
  ASSERT_EQ(answer.finish, Finish::eos);
  ASSERT_GE(answer.ids.size(), 7u);
  for (std::size_t i = 0; i + 1 < answer.ids.size(); ++i) EXPECT_EQ(answer.ids[i], i % 2 == 0 ? 66 : 67);
  for (std::size_t given = 0; given < answer.ids.size(); ++given) {
    ServedRequest rest = r;
    rest.given.assign(answer.ids.begin(), answer.ids.begin() + static_cast<std::ptrdiff_t>(given));
    EXPECT_EQ(plain(m, rest).ids.size() + given, answer.ids.size());
  }
  ServedRequest other = r;
  other.given = {66, 66};
  EXPECT_FALSE(engine(m, {.streams = 1})->submit(1, other).ok()) << "not of the grammar";

  // The grammar begins behind the thinking.
  r.think_end = 140;
  r.logit_bias.push_back({140, 6.0f});
  r.logit_bias[0].second = -100.0f;
  std::vector<ServedEvent> events;
  (void)answer_all(*engine(m, {.streams = 1}), std::span(&r, 1), [&](const ServedEvent& event) -> Result<void> {
    events.push_back(event);
    return {};
  }).value();
  const auto end = std::ranges::find(events, 140, &ServedEvent::id);
  ASSERT_NE(end, events.end());
  for (auto e = events.begin(); e != events.end(); ++e) {
    EXPECT_EQ(e->thinking, e <= end);
    if (e > end && !e->finish) {
      EXPECT_TRUE(e->id == 66 || e->id == 67) << e->id;
    }
  }
}

TEST(Engine, TheLikeliestTokensAreThoseOfThePlainDistribution) {
  TestModel m;
  ServedRequest r = request(20, 6, 0);
  r.top_logprobs = 5;
  r.logit_bias = {{10, 30.0f}};
  (void)answer_all(*engine(m, {.streams = 1}), std::span(&r, 1), [&](const ServedEvent& event) -> Result<void> {
    EXPECT_EQ(event.id, 10) << "the bias decides";
    EXPECT_EQ(event.top.size(), 5u);
    for (std::size_t i = 1; i < event.top.size(); ++i) EXPECT_GE(event.top[i - 1].logprob, event.top[i].logprob);
    EXPECT_GE(event.top[0].logprob, event.logprob) << "the bias is no part of it";
    return {};
  }).value();
}

// Requests come and go at random beside each other, with small caches and many chunk sizes; every answer that was not cancelled must be the
// plain loop's.
TEST(Engine, ThePromptsLogprobsAreThoseOfAnsweringIt) {
  TestModel m;
  ServedRequest whole = request(150, 20, 0);
  const Answer answer = plain(m, whole);
  ServedRequest longer = whole;
  longer.owner = 5;
  longer.request.prompt.insert(longer.request.prompt.end(), answer.ids.begin(), answer.ids.begin() + 10);
  longer.request.max_tokens = 10;
  longer.top_logprobs = 2;
  const auto served = engine(m, {.streams = 3, .rows = 50});
  for (const std::int64_t from : {1, 1, 140}) {
    longer.tell_prompt_from = from;
    std::vector<ServedEvent> told, said;
    const std::vector<ServedRequest> both = {longer, request(70, 30)};
    const auto found = answer_all(*served, both, [&](const ServedEvent& event) -> Result<void> {
                         if (event.ticket == 0) (event.prompt ? told : said).push_back(event);
                         return {};
                       }).value();
    ASSERT_EQ(told.size(), 160u - static_cast<std::size_t>(from)) << "each once, those found in the cache a moment ago too";
    EXPECT_EQ(said[0].cached, 0);
    for (std::size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i].id, longer.request.prompt[i + static_cast<std::size_t>(from)]);
    for (std::size_t i = 0; i < 10; ++i) {
      const ServedEvent& event = told[told.size() - 10 + i];
      EXPECT_EQ(bits({event.logprob}), bits({answer.logprobs[i]})) << i;
      EXPECT_EQ(event.top[0].id, answer.ids[i]) << "the answer was greedy";
    }
    EXPECT_EQ(found[0].ids, std::vector(answer.ids.begin() + 10, answer.ids.end()));
    expect_equal(found[1], plain(m, both[1]), "the other one");
  }
  longer.tell_prompt_from = 0;
  EXPECT_FALSE(served->submit(9, longer).ok());
}

TEST(Engine, ARandomScheduleGivesThePlainLoopsBits) {
  TestModel m;
  const std::vector<std::int32_t> shared = test_ids(300, 2);
  std::vector<ServedRequest> kinds;
  std::vector<Answer> expected;
  for (std::size_t k = 0; k < 10; ++k) {
    const std::size_t common = k % 3 * 90;
    std::vector<std::int32_t> prompt(shared.begin(), shared.begin() + static_cast<std::ptrdiff_t>(common));
    for (const std::int32_t id : test_ids(1 + k * 7, k)) prompt.push_back(id);
    kinds.push_back(request(prompt, 3 + static_cast<std::int64_t>(k * 9 % 40), k % 2 == 0 ? 0.9 : 0));
    kinds.back().owner = k % 4;
    expected.push_back(plain(m, kinds.back()));
  }
  const std::int64_t page = 2 * 64 * (32 + 8) * 4;
  RandomSequence random(RandomStream(3, Purpose::test, 1));
  for (int round = 0; round < 6; ++round) {
    const std::int64_t rows = std::array{1, 5, 16, 40, 200, 512}[static_cast<std::size_t>(round)];
    const auto served = engine(m, {.streams = 4, .context = 400, .cache_bytes = (7 + 3 * round) * page, .rows = rows});
    std::map<std::uint64_t, std::pair<std::size_t, Answer>> live;
    std::uint64_t ticket = 0;
    int answered = 0;
    while (ticket < 30 || !served->idle()) {
      for (std::uint64_t n = random.below(3); n > 0 && ticket < 30; --n) {
        const std::size_t kind = random.below(kinds.size());
        served->submit(ticket, kinds[kind]).value();
        live.emplace(ticket++, std::pair{kind, Answer()});
        if (random.below(5) == 0) {
          const auto gone = std::next(live.begin(), static_cast<std::ptrdiff_t>(random.below(live.size())));
          served->cancel(gone->first);
          live.erase(gone);
        }
      }
      const auto events = served->step().value();
      for (const ServedEvent& event : events) {
        auto& [kind, answer] = live.at(event.ticket);
        answer.ids.push_back(event.id);
        answer.logprobs.push_back(event.logprob);
        answer.text += event.text;
        if (!event.finish) continue;
        answer.finish = *event.finish;
        expect_equal(answer, expected[kind], fmt::format("round {}, ticket {}, kind {}", round, event.ticket, kind));
        live.erase(event.ticket);
        ++answered;
      }
    }
    EXPECT_TRUE(live.empty());
    EXPECT_GT(answered, 10);
    const EngineFacts facts = served->facts();
    EXPECT_EQ(facts.pages_used, 0);
    EXPECT_EQ(facts.running + facts.waiting, 0);
    EXPECT_GT(facts.cached_tokens, 0u);
  }
}

TEST(Engine, ACancelledRequestsPagesAreFreeAtOnce) {
  TestModel m;
  const auto served = engine(m, {.streams = 2, .rows = 32});
  for (std::uint64_t ticket = 0; ticket < 3; ++ticket) served->submit(ticket, request(100, 20)).value();
  (void)served->step().value();
  EXPECT_GT(served->facts().pages_used, 0);
  for (std::uint64_t ticket = 0; ticket < 3; ++ticket) served->cancel(ticket);
  served->cancel(77);
  EXPECT_EQ(served->facts().pages_used, 0);
  EXPECT_TRUE(served->idle());
  EXPECT_TRUE(served->step().value().empty());
}

TEST(Engine, DamagedWeightsGiveAnErrorNotAnAnswer) {
  TestModel m;
  const Weights damaged = Weights::load(*m.device, *m.model, [&](std::size_t index, std::span<float> values) -> Result<void> {
                            const auto fresh = model::initial_values(*m.model, index, 7);
                            std::copy(fresh.begin(), fresh.end(), values.begin());
                            if (m.model->parameters()[index].name == "model.norm.weight") values[0] = NAN;
                            return {};
                          }).value();
  const auto served = Engine::create(*m.device, *m.model, damaged, {.streams = 1}, std::nullopt).value();
  served->submit(4, request(3, 5)).value();
  const auto result = served->step();
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message.find("not finite"), std::string::npos);
}

TEST(Engine, GuessesChangeNothingButTheSteps) {
  TestModel m("", 1, {{"num_nextn_predict_layers", 1}});
  std::vector<ServedRequest> requests;
  for (const std::size_t length : {30, 1, 63, 140}) {
    for (const double temperature : {0.0, 0.3}) {
      requests.push_back(request(length, 40 + static_cast<std::int64_t>(length), temperature));
      requests.back().owner = 1;
    }
  }
  requests[1].frequency_penalty = 0.5;
  requests[2].request.eos = plain(m, requests[2]).ids[17];
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    std::vector<Answer> expected;
    for (const ServedRequest& r : requests) expected.push_back(plain(m, r, dtype));
    for (const std::int64_t guesses : {1, 3}) {
      const auto served = engine(m, {.dtype = dtype, .streams = 3, .rows = 50, .guesses = guesses, .prepare_all = guesses == 1});
      for (int round = 0; round < 2; ++round) {  // the second time the prompts are found
        const auto found = answer_all(*served, requests).value();
        for (std::size_t i = 0; i < requests.size(); ++i) {
          expect_equal(found[i], expected[i], fmt::format("request {}, {} guesses, round {}", i, guesses, round));
        }
      }
      const EngineFacts facts = served->facts();
      EXPECT_GT(facts.guessed, 100u);
      EXPECT_GT(facts.guessed_right, 0u);
      EXPECT_LT(facts.guessed_right, facts.guessed);
      EXPECT_EQ(facts.pages_used, 0);
    }
  }
}

TEST(Engine, GuessesNeedTheLayerAndItsWeights) {
  TestModel without;
  EXPECT_FALSE(Engine::create(*without.device, *without.model, without.weights, {.guesses = 1}, std::nullopt).ok());
  TestModel m("", 1, {{"num_nextn_predict_layers", 1}});
  const Weights plain_weights =
      Weights::load(*m.device, *m.model, [](std::size_t, std::span<float>) -> Result<void> { return {}; }).value();
  EXPECT_FALSE(Engine::create(*m.device, *m.model, plain_weights, {.guesses = 1}, std::nullopt).ok());
}

}  // namespace
}  // namespace godwit::infer
