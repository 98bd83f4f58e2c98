// The family could accept what it does not compute, count wrongly, or chain gradients wrongly where single ops are right.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/random.h"
#include "model/family.h"

namespace godwit::model {
namespace {

using program::Dtype;
using program::Role;
using program::TensorId;

Json tiny() {
  Json json = *find_family("deepseek_v3", "test").value()->preset("nano");
  for (const auto& [key, value] : std::map<std::string, int>{{"vocab_size", 11},
                                                             {"hidden_size", 8},
                                                             {"num_hidden_layers", 2},
                                                             {"num_attention_heads", 2},
                                                             {"num_key_value_heads", 2},
                                                             {"q_lora_rank", 6},
                                                             {"kv_lora_rank", 5},
                                                             {"qk_nope_head_dim", 4},
                                                             {"qk_rope_head_dim", 2},
                                                             {"v_head_dim", 3},
                                                             {"intermediate_size", 9},
                                                             {"moe_intermediate_size", 5},
                                                             {"n_routed_experts", 4},
                                                             {"num_experts_per_tok", 2},
                                                             {"num_nextn_predict_layers", 1},
                                                             {"max_position_embeddings", 32}}) {
    json[key] = value;
  }
  json["initializer_range"] = 0.4;
  json["routed_scaling_factor"] = 1.5;
  return json;
}

TEST(DeepseekV3, ParameterCountOfThePublishedModel) {
  // DeepSeek-V3: 671.03 B in all, 36.63 B active with the head but without the embedding look-up (README: 671 B, 36.7 B).
  Json json = *find_family("deepseek_v3", "test").value()->preset("nano");
  for (const auto& [key, value] : std::map<std::string, int>{{"vocab_size", 129280},
                                                             {"hidden_size", 7168},
                                                             {"num_hidden_layers", 61},
                                                             {"num_attention_heads", 128},
                                                             {"num_key_value_heads", 128},
                                                             {"q_lora_rank", 1536},
                                                             {"kv_lora_rank", 512},
                                                             {"qk_nope_head_dim", 128},
                                                             {"qk_rope_head_dim", 64},
                                                             {"v_head_dim", 128},
                                                             {"intermediate_size", 18432},
                                                             {"moe_intermediate_size", 2048},
                                                             {"n_routed_experts", 256},
                                                             {"num_experts_per_tok", 8},
                                                             {"n_group", 8},
                                                             {"topk_group", 4},
                                                             {"first_k_dense_replace", 3}}) {
    json[key] = value;
  }
  const auto model = model_from_config(json, "V3");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_NEAR(static_cast<double>((*model)->parameter_count()) / 1e9, 671.03, 0.01);
  EXPECT_NEAR(static_cast<double>((*model)->active_parameter_count()) / 1e9, 36.63, 0.01);
}

TEST(DeepseekV3, ConfigComesBackFromWhatItWrites) {
  for (const std::string_view name : find_family("deepseek_v3", "test").value()->presets()) {
    const Json json = *find_family("deepseek_v3", "test").value()->preset(name);
    const auto model = model_from_config(json, "preset");
    ASSERT_TRUE(model.ok()) << model.error().message;
    EXPECT_EQ(write_json((*model)->config_json("float32", true)), write_json(json)) << name;
  }
}

TEST(DeepseekV3, RefusesByName) {
  const auto refused = [](const std::string& key, const Json& value, const std::string& says) {
    Json json = tiny();
    json[key] = value;
    const auto model = model_from_config(json, "config.json");
    ASSERT_FALSE(model.ok()) << key;
    EXPECT_EQ(model.error().kind, ErrorKind::input);
    EXPECT_NE(model.error().message.find(key), std::string::npos) << model.error().message;
    EXPECT_NE(model.error().message.find(says), std::string::npos) << model.error().message;
  };
  refused("scoring_func", "softmax", "softmax");
  refused("topk_method", "greedy", "greedy");
  refused("hidden_act", "gelu", "gelu");
  refused("attention_bias", true, "true");
  refused("tie_word_embeddings", true, "true");
  refused("num_key_value_heads", 1, "2");
  refused("index_topk", 64, "index_topk");
  refused("rope_interleave", false, "false");
  refused("qk_rope_head_dim", 3, "3");
  refused("num_experts_per_tok", 5, "4");
  refused("n_group", 3, "4");
  refused("vocab_size", "many", "many");
  refused("hidden_size", 0, "0");
  refused("rope_scaling", Json{{"type", "linear"}, {"factor", 2.0}}, "linear");
  refused("rope_scaling", Json{{"type", "yarn"}}, "factor");
  refused("bos_token_id", 11, "11");
}

// Loss of the whole model in double, and the gradient its program computes.
class InDouble {
 public:
  explicit InDouble(const Model& model)
      : program_(model.training({6, 2, Dtype::f32},
                                {.gradients = true, .mtp = true, .balance_loss = true, .logits = false, .recompute = false})) {
    for (const auto& tensor : program_.tensors) {
      const auto bytes = static_cast<std::size_t>(tensor.type.shape.count()) * (tensor.type.dtype == Dtype::i32 ? 4 : 8);
      memory_.emplace_back(bytes + 8);
    }
    const std::vector<std::int32_t> ids = {3, 7, 1, 3, 5, 2}, labels = {7, 1, 4, 5, 2, 9}, next = {1, 4, -1, 2, 9, -1};
    set_i32("ids", ids);
    set_i32("labels", labels);
    set_i32("positions", {0, 1, 2, 0, 1, 2});
    set_i32("samples", {0, 3, 6});
    set_i32("mtp.ids", labels);
    set_i32("mtp.labels", next);
    set_f64("weights", std::vector<double>(6, 1.0 / 6));
    set_f64("mtp.weights", std::vector<double>(6, 0.3 / 4));
    set_f64("balance.weight", {0.05});
    for (const Constant& constant : model.constants(program_)) set_f64(constant.name, {constant.values.begin(), constant.values.end()});
    for (std::size_t i = 0; i < model.parameters().size(); ++i) {
      const auto values = initial_values(model, i, 5);
      set_f64(model.parameters()[i].name, {values.begin(), values.end()});
    }
  }

  double* at(const std::string& name) { return reinterpret_cast<double*>(memory_[static_cast<std::size_t>(program_.find(name))].data()); }
  [[nodiscard]] bool has(const std::string& name) const { return program_.find(name) != TensorId::none; }
  double loss() {
    for (const auto& node : program_.nodes) {
      const auto inputs = program_.types(node.inputs);
      const auto outputs = program_.types(node.outputs);
      std::vector<const void*> in;
      std::vector<void*> out;
      for (const TensorId id : node.inputs) in.push_back(memory_[static_cast<std::size_t>(id)].data());
      for (const TensorId id : node.outputs) out.push_back(memory_[static_cast<std::size_t>(id)].data());
      node.op->reference64(program::Memory(*node.op, inputs, outputs, node.attributes, in, out));
    }
    return *at("loss") + *at("mtp.loss") + *at("balance.loss");
  }

 private:
  void set_i32(const std::string& name, const std::vector<std::int32_t>& values) {
    std::copy(values.begin(), values.end(), reinterpret_cast<std::int32_t*>(memory_[static_cast<std::size_t>(program_.find(name))].data()));
  }
  void set_f64(const std::string& name, const std::vector<double>& values) { std::copy(values.begin(), values.end(), at(name)); }

  program::Program program_;
  std::vector<std::vector<std::byte>> memory_;
};

TEST(DeepseekV3, GradientOfTheWholeModelAgainstFiniteDifferences) {
  const auto model = model_from_config(tiny(), "tiny");
  ASSERT_TRUE(model.ok()) << model.error().message;
  InDouble run(**model);
  run.loss();
  std::map<std::string, std::vector<double>> gradients;
  for (const Parameter& p : (*model)->parameters()) {
    if (p.kind != Parameter::Kind::trained) continue;
    ASSERT_TRUE(run.has("grad." + p.name)) << p.name;
    gradients[p.name] = {run.at("grad." + p.name), run.at("grad." + p.name) + p.shape.count()};
  }
  int checked = 0;
  for (const auto& [name, gradient] : gradients) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < gradient.size(); i += 1 + gradient.size() / 12) {
      constexpr double h = 1e-5;
      double& x = run.at(name)[i];
      const double kept = x;
      x = kept + h;
      const double above = run.loss();
      x = kept - h;
      const double below = run.loss();
      x = kept;
      const double numeric = (above - below) / (2 * h);
      difference += (numeric - gradient[i]) * (numeric - gradient[i]);
      norm += gradient[i] * gradient[i];
      ++checked;
    }
    EXPECT_LE(std::sqrt(difference), 1e-6 * std::sqrt(norm) + 1e-9) << name;
  }
  EXPECT_GT(checked, 300);
}

}  // namespace
}  // namespace godwit::model
