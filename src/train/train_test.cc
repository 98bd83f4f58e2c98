// The schedule could be off by a step, inputs could leak a label across samples, metrics could keep steps that never happened.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "train/batch.h"
#include "train/metrics.h"
#include "train/schedule.h"

namespace godwit::train {
namespace {

TEST(Schedule, WarmUpCosineAndDecay) {
  const Schedule cosine{.kind = "cosine", .lr = 1.0, .lr_min = 0.1, .warmup = 4, .decay = 0, .steps = 12};
  EXPECT_EQ(learning_rate(cosine, 0), 0.25f);
  EXPECT_EQ(learning_rate(cosine, 3), 1.0f);
  EXPECT_EQ(learning_rate(cosine, 4), 1.0f);
  EXPECT_FLOAT_EQ(learning_rate(cosine, 8), 0.55f);
  EXPECT_FLOAT_EQ(learning_rate(cosine, 12), 0.1f);
  EXPECT_FLOAT_EQ(learning_rate(cosine, 1000), 0.1f);  // a run made longer stays at the end
  const Schedule wsd{.kind = "wsd", .lr = 1.0, .lr_min = 0.0, .warmup = 2, .decay = 4, .steps = 10};
  EXPECT_EQ(learning_rate(wsd, 5), 1.0f);
  EXPECT_EQ(learning_rate(wsd, 6), 0.75f);
  EXPECT_EQ(learning_rate(wsd, 9), 0.0f);
  const Schedule constant{.kind = "constant", .lr = 0.5, .lr_min = 0, .warmup = 0, .decay = 0, .steps = 3};
  EXPECT_EQ(learning_rate(constant, 99), 0.5f);
}

TEST(Batch, RowsLabelsAndMtp) {
  const std::vector<data::Sample> samples = {{{5, 6, 7, 8}, {1, 0, 1}}, {{9, 10}, {1}}};
  const LabelCounts counts = count_labels(samples);
  EXPECT_EQ(counts.next, 3);
  EXPECT_EQ(counts.mtp, 1);  // two ahead: ids[3] of the first sample; the second has none
  const Inputs in = make_inputs(samples, 6, 3, 0.5f, 0.25f);
  EXPECT_EQ(in.ids, (std::vector<std::int32_t>{5, 6, 7, 9, 0, 0}));
  EXPECT_EQ(in.positions, (std::vector<std::int32_t>{0, 1, 2, 0, 0, 0}));
  EXPECT_EQ(in.labels, (std::vector<std::int32_t>{6, -1, 8, 10, -1, -1}));
  EXPECT_EQ(in.weights, (std::vector<float>{0.5f, 0, 0.5f, 0.5f, 0, 0}));
  EXPECT_EQ(in.samples, (std::vector<std::int32_t>{0, 3, 4, 4}));
  EXPECT_EQ(in.mtp_ids, (std::vector<std::int32_t>{6, 7, 8, 10, 0, 0}));
  EXPECT_EQ(in.mtp_labels, (std::vector<std::int32_t>{-1, 8, -1, -1, -1, -1}));
  EXPECT_EQ(in.mtp_weights, (std::vector<float>{0, 0.25f, 0, 0, 0, 0}));
}

TEST(MetricsFile, IsCutBackToTheResumedStep) {
  const fs::path path =
      fs::temp_directory_path() / ("godwit-metrics-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + ".jsonl");
  ASSERT_TRUE(write_file_durably(path, std::string_view("{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"ste")).ok());
  {
    auto metrics = Metrics::open(path, 2);
    ASSERT_TRUE(metrics.ok()) << metrics.error().message;
    Json facts;
    facts["loss"] = 1.5;
    facts["tokens"] = 4;
    facts["expert_load"] = Json::array({expert_load({3, 1, 0, 0})});
    EXPECT_EQ(metrics->step(), 2u);
    metrics->append(3, facts, speed_of(4, 2, 0.5));
    EXPECT_EQ(metrics->step(), 3u);
  }
  const std::string text = *read_file(path);
  EXPECT_TRUE(text.starts_with("{\"step\":1}\n{\"step\":2}\n{\"step\":3,\"loss\":1.5")) << text;
  EXPECT_NE(text.find("\"tokens\":4,\"tokens_per_s\":2.0,\"roll_out_tokens_per_s\":8.0,\"update_tokens_per_s\":2.66"), std::string::npos)
      << text;
  EXPECT_NE(text.find("\"expert_load\":[3.0]"), std::string::npos) << text;
  fs::remove(path);
}

TEST(MetricsFile, TheLastLineGetsItsValidationLossInAnyProcess) {
  const fs::path path =
      fs::temp_directory_path() / ("godwit-evaluated-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + ".jsonl");
  ASSERT_TRUE(write_file_durably(path, std::string_view("{\"step\":1}\n{\"step\":2,\"loss\":1.5}\n")).ok());
  {
    auto metrics = Metrics::open(path, 2);
    ASSERT_TRUE(metrics.ok()) << metrics.error().message;
    EXPECT_EQ(metrics->validation_loss(), std::nullopt);
    metrics->add_validation_loss(0.1);
    EXPECT_EQ(metrics->validation_loss(), 0.1);
    metrics->append(3, Json::object(), {});
    EXPECT_EQ(metrics->validation_loss(), std::nullopt);
    metrics->add_validation_loss(0.25);
  }
  EXPECT_EQ(Metrics::open(path, 3)->validation_loss(), 0.25);
  const std::string text = *read_file(path);
  EXPECT_TRUE(text.starts_with("{\"step\":1}\n{\"step\":2,\"loss\":1.5,\"validation_loss\":0.1}\n{\"step\":3,")) << text;
  EXPECT_TRUE(text.ends_with(",\"validation_loss\":0.25}\n")) << text;
  EXPECT_EQ(Metrics::open(path, 2)->validation_loss(), 0.1);
  EXPECT_EQ(Metrics::open(path, 0)->step(), std::nullopt);
  fs::remove(path);
}

TEST(ExpertLoad, IsTheFullestOverTheMean) {
  EXPECT_EQ(expert_load({1, 1, 1, 1}), 1.0);
  EXPECT_EQ(expert_load({4, 0, 0, 0}), 4.0);
  EXPECT_EQ(expert_load({0, 0}), 0.0);
}

}  // namespace
}  // namespace godwit::train
