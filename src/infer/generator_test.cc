#include "infer/generator.h"
#include "infer/engine.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>

#include "infer/score.h"
#include "infer/test_model.h"
#include "model/family.h"

namespace godwit::infer {
namespace {

using program::Dtype;

std::vector<Answer> answer(TestModel& m, const std::vector<Request>& requests, GeneratorOptions options) {
  if (options.capacity == 0) options.capacity = m.model->context();
  auto generator = Generator::create(*m.device, *m.model, m.weights, options, text::Tokenizer::bytes()).value();
  return generator->generate(requests).value();
}

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> words;
  for (const float value : values) words.push_back(std::bit_cast<std::uint32_t>(value));
  return words;
}

Request request(std::size_t length, std::int64_t max_tokens, double temperature = 1) {
  Request r;
  r.prompt = test_ids(length, length);
  r.max_tokens = max_tokens;
  r.sampling.temperature = temperature;
  r.seed = 5;
  return r;
}

// Log-probabilities of the answer's ids as the training forward has them.
std::vector<float> scored(TestModel& m, const Request& r, const Answer& a, Dtype dtype) {
  std::vector<std::int32_t> row = r.prompt;
  row.insert(row.end(), a.ids.begin(), a.ids.end());
  const Probe result = probe(*m.device, *m.model, m.weights, {row}, {.dtype = dtype}).value();
  return {result.logprobs.end() - static_cast<std::ptrdiff_t>(a.ids.size()), result.logprobs.end()};
}

TEST(Generator, ExpandedDecodeHasTheTrainingForwardsBits) {
  std::vector<Request> requests;
  for (const std::size_t length : {1, 2, 63, 64, 65}) requests.push_back(request(length, 5));
  for (const std::string& isa : instruction_sets()) {
    TestModel m(isa);
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      const auto answers = answer(m, requests, {.dtype = dtype, .streams = 3, .capacity = 80});
      for (std::size_t i = 0; i < requests.size(); ++i) {
        ASSERT_EQ(answers[i].ids.size(), 5u);
        EXPECT_EQ(bits(answers[i].logprobs), bits(scored(m, requests[i], answers[i], dtype)))
            << isa << " " << dtype_name(dtype) << " prompt of " << requests[i].prompt.size();
      }
    }
  }
}

TEST(Generator, SoItHasAcrossASegmentOfKeys) {
  TestModel m;
  const Request r = request(509, 8);
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const auto answers = answer(m, {r}, {.dtype = dtype, .streams = 1});
    EXPECT_EQ(bits(answers[0].logprobs), bits(scored(m, r, answers[0], dtype))) << dtype_name(dtype);
  }
}

TEST(Generator, AnAnswerDoesNotDependOnWhatRunsBesideIt) {
  TestModel alone, together("", 3);
  std::vector<Request> requests;
  for (const std::size_t length : {17, 1, 40, 3, 17, 100, 31}) {
    requests.push_back(request(length, 4 + static_cast<std::int64_t>(length % 7)));
    requests.back().seed = length;
  }
  requests[4].sample = 1;
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    std::vector<Answer> expected;
    for (const Request& r : requests) expected.push_back(answer(alone, {r}, {.dtype = dtype, .streams = 1, .capacity = 111})[0]);
    EXPECT_NE(expected[0].ids, expected[4].ids) << "another sample of the same prompt is another answer";
    for (const std::int64_t streams : {2, 5, 7}) {
      const auto found = answer(together, requests, {.dtype = dtype, .streams = streams});
      for (std::size_t i = 0; i < requests.size(); ++i) {
        EXPECT_EQ(found[i].ids, expected[i].ids) << "stream " << i << " of " << streams;
        EXPECT_EQ(bits(found[i].logprobs), bits(expected[i].logprobs)) << "stream " << i << " of " << streams;
      }
    }
  }
}

TEST(Generator, AnswersToOnePromptAreThoseOfPromptsReadOneByOne) {
  TestModel m;
  std::vector<Request> requests;
  for (const std::size_t length : {17, 17, 40, 40, 40, 17}) {
    requests.push_back(request(length, 6));
    requests.back().sample = requests.size();
  }
  std::vector<Answer> expected;
  for (const Request& r : requests) expected.push_back(answer(m, {r}, {.streams = 1})[0]);
  EXPECT_NE(expected[2].ids, expected[3].ids);
  for (const std::int64_t streams : {4, 6}) {
    const auto found = answer(m, requests, {.streams = streams});
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(found[i].ids, expected[i].ids) << "answer " << i << " of " << streams;
      EXPECT_EQ(bits(found[i].logprobs), bits(expected[i].logprobs)) << "answer " << i << " of " << streams;
    }
  }
}

// The weights after they were held in blocks of 8 bits, by the op's reference.
Weights held_in_blocks(device::Device& device, const model::Model& model) {
  const program::Op& mxint8 = *program::find_op("mxint8");
  return Weights::load(device, model,
                       [&](std::size_t index, std::span<float> values) -> Result<void> {
                         const model::Parameter& parameter = model.parameters()[index];
                         const std::vector<float> fresh = TestModel::values(model, index);
                         std::copy(fresh.begin(), fresh.end(), values.begin());
                         const bool whole = !parameter.matrix || parameter.name.ends_with("mlp.gate.weight") ||
                                            parameter.name == "model.embed_tokens.weight";
                         if (whole) return {};
                         const program::TensorType type{Dtype::f32, parameter.shape};
                         const void* from = fresh.data();
                         void* to = values.data();
                         program::run_op(mxint8, {&type, 1}, {&type, 1}, {{"to", std::int64_t{0}}}, {&from, 1}, {&to, 1});
                         return {};
                       })
      .value();
}

TEST(Generator, WeightsInBlocksOfEightBitsServeAsTheirValues) {
  // Rows that are no multiple of 32, odd, longer than a segment; one row, as many as a tile takes, more.
  const Json odd = {
      {"moe_intermediate_size", 40}, {"kv_lora_rank", 33}, {"q_lora_rank", 31}, {"intermediate_size", 530}, {"vocab_size", 333}};
  std::vector<Request> requests;
  for (const std::size_t length : {3, 1, 9, 5, 17, 2, 30, 4}) requests.push_back(request(length, 6));
  for (const std::string& isa : instruction_sets()) {
    TestModel m(isa, 2, odd);
    TestModel held(isa, 1, odd);
    held.weights = held_in_blocks(*held.device, *held.model);
    auto checked = device::Device::open({.backend = "cpu", .threads = 1, .isa = isa, .verify = true}).value();
    const Weights on_checked = TestModel::load(*checked, *m.model);
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      const auto same = [&](const std::vector<Answer>& found, const std::vector<Answer>& expected, const std::string& how) {
        for (std::size_t i = 0; i < requests.size(); ++i) {
          EXPECT_EQ(found[i].ids, expected[i].ids) << isa << " " << dtype_name(dtype) << " " << how;
          EXPECT_EQ(bits(found[i].logprobs), bits(expected[i].logprobs)) << isa << " " << dtype_name(dtype) << " " << how;
        }
      };
      const auto expected = answer(held, requests, {.dtype = dtype, .streams = 8, .capacity = 40});
      GeneratorOptions options{.dtype = dtype, .weights = model::WeightFormat::q8, .capacity = 40};
      for (const std::int64_t streams : {1, 2, 4, 8}) {
        options.streams = streams;
        same(answer(m, requests, options), expected, fmt::format("{} streams", streams));
      }
      auto generator = Generator::create(*checked, *m.model, on_checked, options, std::nullopt).value();
      same(generator->generate(requests).value(), expected, "checked");
      EXPECT_EQ(checked->evidence().value().count, 0);

      std::vector<ServedRequest> served;
      for (const Request& r : requests) served.emplace_back().request = r;
      const auto serve = [&](device::Device& device, const model::Model& model, const Weights& weights, model::WeightFormat format) {
        auto engine =
            Engine::create(device, model, weights, {.dtype = dtype, .weights = format, .streams = 8, .context = 40}, std::nullopt).value();
        return answer_all(*engine, served).value();
      };
      const auto expected_served = serve(*held.device, *held.model, held.weights, model::WeightFormat::dtype);
      same(serve(*m.device, *m.model, m.weights, model::WeightFormat::q8), expected_served, "served");
      same(serve(*checked, *m.model, on_checked, model::WeightFormat::q8), expected_served, "served, checked");
      EXPECT_EQ(checked->evidence().value().count, 0);
      const auto plain = answer(m, requests, {.dtype = dtype, .streams = 8, .capacity = 40});
      const auto q8 = answer(m, requests, {.dtype = dtype, .weights = model::WeightFormat::q8, .streams = 8, .capacity = 40});
      EXPECT_NE(bits(plain[0].logprobs), bits(q8[0].logprobs)) << "nothing was rounded";
    }
  }
}

TEST(Generator, AnswersEndAtLengthEndTokenOrStop) {
  TestModel m;
  Request r = request(9, 12);
  const Answer full = answer(m, {r}, {.streams = 1})[0];
  EXPECT_EQ(full.finish, Finish::length);
  ASSERT_EQ(full.ids.size(), 12u);
  // The end token is the answer's last id.
  r.eos = full.ids[4];
  const Answer ended = answer(m, {r}, {.streams = 1})[0];
  const auto first = static_cast<std::size_t>(std::find(full.ids.begin(), full.ids.end(), full.ids[4]) - full.ids.begin());
  EXPECT_EQ(ended.finish, Finish::eos);
  EXPECT_EQ(ended.ids, std::vector<std::int32_t>(full.ids.begin(), full.ids.begin() + static_cast<std::ptrdiff_t>(first) + 1));
  r.eos.reset();
  // A visible character of the answer as the stop string.
  const std::size_t visible = full.text.find_first_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-*/.,;:!?");
  ASSERT_NE(visible, std::string::npos) << full.text;
  r.stop = {full.text.substr(visible, 1)};
  const Answer stopped = answer(m, {r}, {.streams = 1})[0];
  EXPECT_EQ(stopped.finish, Finish::stop);
  EXPECT_EQ(stopped.text, full.text.substr(0, visible));
}

TEST(Generator, ACacheJustLargeEnoughGivesTheSameAnswer) {
  TestModel m;
  const Request r = request(20, 5);
  const auto roomy = answer(m, {r}, {.streams = 2, .capacity = 600});
  const auto tight = answer(m, {r}, {.streams = 1, .capacity = 25});
  EXPECT_EQ(bits(tight[0].logprobs), bits(roomy[0].logprobs));
}

TEST(Generator, WhatCannotBeAnsweredIsRefusedWithItsFigures) {
  TestModel m;
  const auto refusal = [&](Request r) {
    const auto result = check(r, *m.model, m.model->context(), false, "prompt 0");
    EXPECT_FALSE(result.ok());
    if (result.ok()) return std::string();
    EXPECT_EQ(result.error().kind, ErrorKind::input);
    return result.error().message;
  };
  EXPECT_NE(refusal(request(0, 5)).find("empty"), std::string::npos);
  EXPECT_NE(refusal(request(600, 41)).find("600 prompt tokens and 41 new ones do not fit the context of 640"), std::string::npos);
  EXPECT_NE(refusal(request(3, std::numeric_limits<std::int64_t>::max())).find("640"), std::string::npos);
  EXPECT_NE(refusal(request(3, 0)).find("max_tokens is 0"), std::string::npos);
  Request r = request(3, 5);
  r.prompt[1] = 300;
  EXPECT_NE(refusal(r).find("id 300 at place 1 is outside the model's vocabulary of 300"), std::string::npos);
  r.prompt[1] = -1;
  EXPECT_NE(refusal(r).find("id -1"), std::string::npos);
  r = request(3, 5);
  r.stop = {"x"};
  EXPECT_NE(refusal(r).find("tokenizer"), std::string::npos);
  EXPECT_TRUE(check(request(600, 40), *m.model, m.model->context(), false, "prompt 0").ok());
}

TEST(Generator, DamagedWeightsGiveAnErrorNotAnAnswer) {
  TestModel m;
  const Weights damaged = Weights::load(*m.device, *m.model, [&](std::size_t index, std::span<float> values) -> Result<void> {
                            const auto fresh = model::initial_values(*m.model, index, 7);
                            std::copy(fresh.begin(), fresh.end(), values.begin());
                            if (m.model->parameters()[index].name == "model.norm.weight") values[0] = NAN;
                            return {};
                          }).value();
  auto generator = Generator::create(*m.device, *m.model, damaged, {.streams = 1, .capacity = 64}, std::nullopt).value();
  const auto result = generator->generate(std::vector{request(3, 5)});
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message.find("not finite"), std::string::npos);
}

TEST(Generator, GroupsAndBuckets) {
  const std::vector<std::int64_t> lengths = {100, 200, 300, 5};
  const auto group = [](const std::vector<std::int64_t>& of, std::int64_t places) {
    const PrefillGroup g = prefill_group(of, places);
    return std::array<std::int64_t, 3>{static_cast<std::int64_t>(g.requests), g.rows, g.prompts};
  };
  using Group = std::array<std::int64_t, 3>;
  EXPECT_EQ(group(lengths, 8), (Group{2, 300, 2}));
  EXPECT_EQ(group(lengths, 1), (Group{1, 100, 1}));
  EXPECT_EQ(group({9000, 1}, 8), (Group{1, 9000, 1}));
  EXPECT_EQ(group({9000, 0, 0, 1}, 8), (Group{1, 9000, 1}));
  EXPECT_EQ(group({512}, 8), (Group{1, 512, 1}));
  EXPECT_EQ(group({200, 0, 0, 300, 0, 13}, 8), (Group{5, 500, 2}));
  EXPECT_EQ(group(std::vector<std::int64_t>(100, 2), 512), (Group{64, 128, 64}));
  EXPECT_EQ(bucket(1, 16, 512), 16);
  EXPECT_EQ(bucket(17, 16, 512), 32);
  EXPECT_EQ(bucket(513, 16, 600), 600);
  EXPECT_EQ(bucket(5, 1, 6), 6);
  EXPECT_EQ(bucket(128, 1, 512), 128);
  EXPECT_EQ(bucket(129, 1, 512), 160);
  EXPECT_EQ(bucket(257, 1, 512), 320);
  EXPECT_EQ(bucket(450, 1, 512), 512);
  EXPECT_EQ(bucket(450, 1, 500), 500);
}

TEST(StreamsAtOnce, CachesOfAModelThatStaysInCacheStayThereToo) {
  const auto preset = [](const char* name) {
    return model::model_from_config(*model::find_family("deepseek_v3", "test").value()->preset(name), name).value();
  };
  const auto nano = preset("nano"), mini = preset("mini");
  const std::int64_t many = streams_at_once(*nano, Dtype::f32, 32, 512);
  EXPECT_GE(many, 64);
  EXPECT_LT(many, 512);
  EXPECT_LE(streams_at_once(*nano, Dtype::f32, 64, 512), many);
  EXPECT_EQ(streams_at_once(*nano, Dtype::f32, nano->context(), 512), 64);
  EXPECT_EQ(streams_at_once(*nano, Dtype::f32, 32, 5), 5);
  EXPECT_EQ(streams_at_once(*mini, Dtype::f32, 32, 512), 512);
}

}  // namespace
}  // namespace godwit::infer
