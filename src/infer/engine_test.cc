// What is served could depend on how it is served: on the chunks a prompt is cut into, on who is answered beside it, on rows found in the
// cache, on pages taken away and read anew. Every test compares bits with the plain loop below, which reads one row after the other.
#include "infer/engine.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>

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

// Log-probabilities of every answer token as the training forward has them.
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

}  // namespace
}  // namespace godwit::infer
