#include "infer/score.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>

#include "infer/test_model.h"

namespace godwit::infer {
namespace {

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](float x, float y) {
           return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
         });
}

std::string message(const auto& result) {
  return result.ok() ? "" : result.error().message;
}

TEST(Probe, ARowsLogitsAreItsOwnAndGradientsDoNotChangeThem) {
  TestModel m;
  const IdRows rows = {test_ids(21, 1), test_ids(21, 2), test_ids(21, 3)};
  const Probe all = probe(*m.device, *m.model, m.weights, rows, {}).value();
  const Probe with = probe(*m.device, *m.model, m.weights, rows, {.gradients = true}).value();
  EXPECT_EQ(all.logits.size(), 3u * 21 * 300);
  EXPECT_EQ(all.logprobs.size(), 3u * 20);
  EXPECT_TRUE(same_bits(all.logits, with.logits));
  EXPECT_TRUE(same_bits(all.logprobs, with.logprobs));
  const Probe alone = probe(*m.device, *m.model, m.weights, {rows[1]}, {}).value();
  EXPECT_TRUE(same_bits(alone.logits, std::span(all.logits).subspan(21 * 300, 21 * 300)));
  // A log-probability is its logit less the row's log-sum-exp; the loss is their mean.
  double mean = 0;
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t t = 0; t + 1 < 21; ++t) {
      const auto row = std::span(all.logits).subspan((r * 21 + t) * 300, 300);
      double sum = 0;
      for (const float z : row) sum += std::exp(static_cast<double>(z));
      const double expected = static_cast<double>(row[static_cast<std::size_t>(rows[r][t + 1])]) - std::log(sum);
      EXPECT_NEAR(static_cast<double>(all.logprobs[r * 20 + t]), expected, 1e-4);
      mean -= expected / 60;
    }
  }
  EXPECT_FALSE(all.loss.has_value());
  EXPECT_NEAR(static_cast<double>(with.loss.value()), mean, 1e-5);
}

TEST(Probe, GradientsBearTheNamesOfFilesAndExpertsTheirOwnPart) {
  TestModel m;
  const IdRows rows = {test_ids(30, 1), test_ids(30, 2)};
  const Probe result = probe(*m.device, *m.model, m.weights, rows, {.gradients = true}).value();
  std::set<std::string> expected, found;
  for (const model::Parameter& p : m.model->parameters()) {
    if (p.kind == model::Parameter::Kind::trained && !p.mtp) expected.insert(p.files.begin(), p.files.end());
  }
  for (const WeightGradient& g : result.gradients) found.insert(g.name);
  EXPECT_EQ(found, expected);
  // The loss moves as an expert's gradient says: central differences along it.
  const auto of = [&](const std::string& name) {
    return *std::find_if(result.gradients.begin(), result.gradients.end(), [&](const WeightGradient& g) { return g.name == name; });
  };
  const WeightGradient expert = of("model.layers.1.mlp.experts.5.up_proj.weight");
  EXPECT_EQ(expert.shape, (std::vector<std::uint64_t>{64, 64}));
  double norm2 = 0;
  for (const float g : expert.values) norm2 += static_cast<double>(g) * static_cast<double>(g);
  ASSERT_GT(norm2, 0) << "expert 5 has no tokens; choose other ids";
  const auto loss_at = [&](double step) {
    const auto read = [&](std::size_t index, std::span<float> values) -> Result<void> {
      auto fresh = model::initial_values(*m.model, index, 7);
      const model::Parameter& p = m.model->parameters()[index];
      if (p.matrix) {
        for (float& value : fresh) value *= 3.0f;
      }
      if (p.name == "model.layers.1.mlp.experts.up_proj.weight") {
        for (std::size_t i = 0; i < expert.values.size(); ++i) {
          float& value = fresh[5 * expert.values.size() + i];
          value = static_cast<float>(static_cast<double>(value) + step * static_cast<double>(expert.values[i]));
        }
      }
      std::copy(fresh.begin(), fresh.end(), values.begin());
      return {};
    };
    const Weights moved = Weights::load(*m.device, *m.model, read).value();
    const Probe p = probe(*m.device, *m.model, moved, rows, {}).value();
    double sum = 0;
    for (const float logprob : p.logprobs) sum -= static_cast<double>(logprob);
    return sum / static_cast<double>(p.logprobs.size());
  };
  const double h = 0.02 / std::sqrt(norm2);
  EXPECT_NEAR((loss_at(h) - loss_at(-h)) / (2 * h) / norm2, 1.0, 0.02);
}

TEST(Probe, RowsAreChecked) {
  TestModel m;
  const auto refusal = [&](const IdRows& rows, bool gradients = false) {
    return message(check_probe_rows(rows, *m.model, gradients, "f.json"));
  };
  EXPECT_EQ(refusal({{1, 2}, {3, 299}}), "");
  EXPECT_EQ(refusal({{1}}), "");
  EXPECT_NE(refusal({{1}}, true).find("at least 2"), std::string::npos);
  EXPECT_NE(refusal({{1, 2}, {3}}).find("row 1 has 1 ids, row 0 has 2"), std::string::npos);
  EXPECT_NE(refusal({{1, 300}}).find("id 300 at place 1"), std::string::npos);
  EXPECT_NE(refusal({{-1, 3}}).find("id -1 at place 0"), std::string::npos);
  EXPECT_NE(refusal({std::vector<std::int32_t>(641, 1)}).find("641 ids, the model's context is 640"), std::string::npos);
}

TEST(Probe, FilesOfIdsAreChecked) {
  EXPECT_EQ(parse_id_rows("[[5,9,2],[7]]", "f.json").value(), (IdRows{{5, 9, 2}, {7}}));
  for (const char* bad : {"", "{}", "[]", "[5]", "[[]]", "[[1],[]]", "[[1.5]]", "[[\"a\"]]", "[[3000000000]]", "[[-9223372036854775808]]",
                          "[[18446744073709551615]]", "[[null]]", "[[true]]", "[[1]", "[[1]]x"}) {
    const auto result = parse_id_rows(bad, "f.json");
    EXPECT_FALSE(result.ok()) << bad;
    if (!result.ok()) {
      EXPECT_EQ(result.error().kind, ErrorKind::input) << bad;
      EXPECT_EQ(result.error().message.find("f.json"), 0u) << result.error().message;
    }
  }
}

TEST(Evaluate, WindowsAreProbesRowsOneAfterAnother) {
  TestModel m;
  const text::Tokenizer tokenizer = text::Tokenizer::bytes();
  std::string text;
  for (int i = 0; i < 101; ++i) text += static_cast<char>('a' + i * i % 26);
  const auto ids = tokenizer.encode(text).value();
  ASSERT_EQ(ids.size(), 101u);
  double sum = 0;
  for (std::size_t begin = 0; begin < 100; begin += 30) {  // 30, 30, 30, 10
    const std::size_t count = std::min<std::size_t>(31, 101 - begin);
    const IdRows row = {{ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.begin() + static_cast<std::ptrdiff_t>(begin + count)}};
    for (const float logprob : probe(*m.device, *m.model, m.weights, row, {}).value().logprobs) sum -= static_cast<double>(logprob);
  }
  const auto result = evaluate_text(*m.device, *m.model, m.weights, tokenizer, text, "t.txt", {.sequence = 30}).value();
  EXPECT_EQ(result.tokens, 100);
  EXPECT_EQ(result.loss, sum / 100);
  EXPECT_EQ(result.nats_per_byte, sum / 100);
}

TEST(Evaluate, ATextTooShortIsRefused) {
  TestModel m;
  const auto result = evaluate_text(*m.device, *m.model, m.weights, text::Tokenizer::bytes(), "a", "t.txt", {.sequence = 30});
  EXPECT_NE(message(result).find("t.txt: 1 bytes of text give 1 tokens"), std::string::npos);
}

}  // namespace
}  // namespace godwit::infer
