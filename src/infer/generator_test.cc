#include "infer/generator.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "infer/score.h"
#include "infer/test_model.h"

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
  for (const bool absorbed : {false, true}) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      std::vector<Answer> expected;
      for (const Request& r : requests) {
        expected.push_back(answer(alone, {r}, {.dtype = dtype, .absorbed = absorbed, .streams = 1, .capacity = 111})[0]);
      }
      EXPECT_NE(expected[0].ids, expected[4].ids) << "another sample of the same prompt is another answer";
      for (const std::int64_t streams : {2, 5, 7}) {
        const auto found = answer(together, requests, {.dtype = dtype, .absorbed = absorbed, .streams = streams});
        for (std::size_t i = 0; i < requests.size(); ++i) {
          EXPECT_EQ(found[i].ids, expected[i].ids) << "stream " << i << " of " << streams;
          EXPECT_EQ(bits(found[i].logprobs), bits(expected[i].logprobs)) << "stream " << i << " of " << streams;
        }
      }
    }
  }
}

// Logits [T, V] of the row, decoded token by token from an empty cache.
std::vector<float> decoded(TestModel& m, const std::vector<std::int32_t>& row, bool absorbed, Dtype dtype) {
  const model::Decoding decoding{1, 1, static_cast<std::int64_t>(row.size()), dtype, absorbed};
  std::vector<device::Buffer> caches;
  auto executable = prepare(*m.device, *m.model, m.weights, m.model->decode(decoding), [&](device::Executable& e) {
                      for (std::size_t i = 0; i < e.program().tensors.size(); ++i) {
                        const program::Tensor& tensor = e.program().tensors[i];
                        if (!tensor.name.starts_with("cache.") || tensor.role != program::Role::state) continue;
                        caches.push_back(m.device->allocate(tensor.type.bytes()).value());
                        e.bind(static_cast<program::TensorId>(i), caches.back());
                      }
                    }).value();
  std::vector<float> logits;
  for (std::size_t t = 0; t < row.size(); ++t) {
    const auto write = [&](const char* name, std::vector<std::int32_t> values) {
      executable.write(executable.program().find(name), std::span<const std::int32_t>(values)).value();
    };
    write("ids", {row[t]});
    write("positions", {static_cast<std::int32_t>(t)});
    write("slots", {0});
    write("samples", {0, 1});
    executable.run().value();
    const auto values = executable.read<float>(executable.program().find("logits")).value();
    logits.insert(logits.end(), values.begin(), values.end());
  }
  return logits;
}

TEST(Generator, AbsorbedDecodeStaysWithinItsBound) {
  // The router decides by comparison: a last bit may send a token to another expert, which no bound on rounding covers. Here all layers are
  // dense; with experts the log-probabilities below are compared.
  TestModel m("", 1, {{"first_k_dense_replace", 2}});
  const auto row = test_ids(70, 3);
  for (const auto& [dtype, bound] : {std::pair{Dtype::f32, 1e-5}, std::pair{Dtype::bf16, 0.03}}) {
    const Probe expected = probe(*m.device, *m.model, m.weights, {row}, {.dtype = dtype}).value();
    EXPECT_EQ(bits(decoded(m, row, false, dtype)), bits(expected.logits));
    const auto found = decoded(m, row, true, dtype);
    double largest = 0, difference = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(expected.logits[i])));
      difference = std::max(difference, std::abs(static_cast<double>(found[i]) - static_cast<double>(expected.logits[i])));
    }
    EXPECT_LE(difference, bound * largest) << dtype_name(dtype);
    EXPECT_GT(difference, 0) << "the two forms round differently; equal bits would mean that one was run twice";
    RecordProperty(fmt::format("absorbed_{}", dtype_name(dtype)), fmt::format("{:.3g}", difference / largest));
  }
}

TEST(Generator, AbsorbedPrefillAndDecodeAgreeWithTheExpanded) {
  TestModel m;
  const Request r = request(33, 12, 0);
  const auto expanded = answer(m, {r}, {.streams = 1});
  const auto absorbed = answer(m, {r}, {.absorbed = true, .streams = 1});
  ASSERT_EQ(absorbed[0].ids, expanded[0].ids);
  for (std::size_t i = 0; i < 12; ++i) EXPECT_NEAR(absorbed[0].logprobs[i], expanded[0].logprobs[i], 1e-3);
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
      for (const bool absorbed : {false, true}) {
        const auto expected = answer(held, requests, {.dtype = dtype, .absorbed = absorbed, .streams = 8, .capacity = 40});
        GeneratorOptions options{.dtype = dtype, .absorbed = absorbed, .weights = model::WeightFormat::q8, .capacity = 40};
        const auto same = [&](const std::vector<Answer>& found, const std::string& how) {
          for (std::size_t i = 0; i < requests.size(); ++i) {
            EXPECT_EQ(found[i].ids, expected[i].ids) << isa << " " << dtype_name(dtype) << " " << absorbed << " " << how;
            EXPECT_EQ(bits(found[i].logprobs), bits(expected[i].logprobs))
                << isa << " " << dtype_name(dtype) << " " << absorbed << " " << how;
          }
        };
        for (const std::int64_t streams : {1, 2, 4, 8}) {
          options.streams = streams;
          same(answer(m, requests, options), fmt::format("{} streams", streams));
        }
        auto generator = Generator::create(*checked, *m.model, on_checked, options, std::nullopt).value();
        same(generator->generate(requests).value(), "checked");
        EXPECT_EQ(checked->evidence().value().count, 0);
      }
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
  EXPECT_EQ(prefill_group(lengths, 8), 2u);
  EXPECT_EQ(prefill_group(lengths, 1), 1u);
  EXPECT_EQ(prefill_group(std::vector<std::int64_t>{9000, 1}, 8), 1u);
  EXPECT_EQ(prefill_group(std::vector<std::int64_t>{512}, 8), 1u);
  EXPECT_EQ(bucket(1, 16, 512), 16);
  EXPECT_EQ(bucket(17, 16, 512), 32);
  EXPECT_EQ(bucket(513, 16, 600), 600);
  EXPECT_EQ(bucket(5, 1, 6), 6);
}

}  // namespace
}  // namespace godwit::infer
