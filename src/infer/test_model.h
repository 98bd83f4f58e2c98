// A small model with fresh weights on the CPU, for this room's tests.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "device/device.h"
#include "infer/weights.h"
#include "model/family.h"

namespace godwit::infer {

struct TestModel {
  explicit TestModel(const std::string& isa = "", int threads = 1, Json overrides = Json::object())
      : device(device::Device::open({.backend = "cpu", .threads = threads, .isa = isa}).value()), model(make(overrides)), weights(load(*device, *model)) {}

  static std::unique_ptr<model::Model> make(const Json& overrides) {
    Json config = *model::find_family("deepseek_v3", "test").value()->preset("nano");
    config["vocab_size"] = 300;  // the byte tokenizer's ids are among them
    config["num_hidden_layers"] = 2;
    config["max_position_embeddings"] = 640;
    for (const auto& [key, value] : overrides.items()) config[key] = value;
    return model::model_from_config(config, "test").value();
  }

  // Three times the usual spread: scores and probabilities that differ visibly.
  static std::vector<float> values(const model::Model& model, std::size_t index) {
    std::vector<float> fresh = model::initial_values(model, index, 7);
    if (model.parameters()[index].matrix) {
      for (float& value : fresh) value *= 3.0f;
    }
    return fresh;
  }
  static Weights load(device::Device& device, const model::Model& model) {
    return Weights::load(
               device, model,
               [&](std::size_t index, std::span<float> to) -> Result<void> {
                 const std::vector<float> fresh = values(model, index);
                 std::copy(fresh.begin(), fresh.end(), to.begin());
                 return {};
               },
               Loaded::all)
        .value();
  }

  std::unique_ptr<device::Device> device;
  std::unique_ptr<model::Model> model;
  Weights weights;
};

inline std::vector<std::int32_t> test_ids(std::size_t count, std::uint64_t seed) {
  RandomSequence random(RandomStream(seed, Purpose::test, 0));
  std::vector<std::int32_t> ids(count);
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random.below(300));
  return ids;
}

// Instruction sets this machine has, the slowest first.
inline std::vector<std::string> instruction_sets() {
  std::vector<std::string> sets;
  for (const char* isa : {"scalar", "avx2", "avx512", "avx512_bf16", "neon"}) {
    if (device::Device::open({.backend = "cpu", .threads = 1, .isa = isa}).ok()) sets.emplace_back(isa);
  }
  return sets;
}

}  // namespace godwit::infer
