// Prompts and streams of a model with random weights in memory, answered by the serving engine.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "infer/weights.h"
#include "model/deepseek_v3_config.h"
#include "model/model.h"

namespace godwit::bench {

// Numbers as cheap as they are random enough for timing: uniform, with the spread a fresh model has. `index` is the parameter's place.
void fill_random(const model::Model& model, std::size_t index, std::span<float> values);

[[nodiscard]] std::vector<std::int32_t> random_prompt(std::int64_t tokens, std::int64_t vocabulary, std::uint64_t seed);

// A device with a preset's model on it.
class DecodeModel {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DecodeModel>> open(std::string_view preset, const device::DeviceOptions& device,
                                                                 program::Dtype dtype, model::WeightFormat format);

  [[nodiscard]] const model::DeepseekV3Config& config() const { return config_; }

  struct Figures {
    double seconds = 0;      // of a step: median after the first of its kind
    std::int64_t steps = 0;  // that it is the median of
    double depth = 0;        // tokens in a stream's cache at the middle of the measured steps
    std::optional<OpTable> ops;
  };
  // Reads prompts of `tokens` again and again, for about `seconds`.
  [[nodiscard]] Result<Figures> prefill(Context& context, std::int64_t tokens, double seconds);
  // Reads a prompt of `depth` tokens into each of `streams`, then gives each a token a step, for about `seconds`.
  [[nodiscard]] Result<Figures> decode(Context& context, std::int64_t streams, std::int64_t depth, double seconds);
  // Answers `requests` prompts of `prompt` tokens with `tokens` each, `streams` at once, as a server does but without one.
  struct Load {
    double seconds = 0;
    double tokens = 0;  // read and written
  };
  [[nodiscard]] Result<Load> answer(Context& context, std::int64_t streams, std::int64_t requests, std::int64_t prompt,
                                    std::int64_t tokens);

 private:
  DecodeModel(std::unique_ptr<device::Device> device, std::unique_ptr<model::Model> model, infer::Weights weights)
      : device_(std::move(device)), model_(std::move(model)), weights_(std::move(weights)) {}

  struct Job {
    std::string name;
    std::int64_t streams = 1;
    std::int64_t prompt = 0;      // tokens
    std::int64_t max_tokens = 1;  // 1: the prompt is read and that is all
    double seconds = 0;
  };
  [[nodiscard]] Result<Figures> measure(Context& context, const Job& job);

  std::unique_ptr<device::Device> device_;
  std::unique_ptr<model::Model> model_;
  infer::Weights weights_;
  model::DeepseekV3Config config_;
  program::Dtype dtype_ = program::Dtype::f32;
  model::WeightFormat format_ = model::WeightFormat::dtype;
  bool profile_ = false;
};

}  // namespace godwit::bench
