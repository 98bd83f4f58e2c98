// config.json of the deepseek_v3 family: every key godwit understands, checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace godwit::model {

// YaRN context extension (MODEL: rope_scaling of type yarn).
struct Yarn {
  double factor = 1;
  double beta_fast = 32;
  double beta_slow = 1;
  std::optional<double> mscale;
  std::optional<double> mscale_all_dim;
  std::int64_t original_max_position_embeddings = 4096;
};

// Field names are config.json's own.
struct DeepseekV3Config {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::optional<std::int64_t> q_lora_rank;
  std::int64_t kv_lora_rank = 0;
  std::int64_t qk_nope_head_dim = 0;
  std::int64_t qk_rope_head_dim = 0;
  std::int64_t v_head_dim = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t moe_intermediate_size = 0;
  std::int64_t n_routed_experts = 0;
  std::int64_t num_experts_per_tok = 0;
  std::int64_t n_shared_experts = 0;
  std::int64_t n_group = 1;
  std::int64_t topk_group = 1;
  std::int64_t first_k_dense_replace = 0;
  bool norm_topk_prob = true;
  double routed_scaling_factor = 1;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000;
  std::optional<Yarn> yarn;
  std::int64_t max_position_embeddings = 4096;
  double initializer_range = 0.02;
  std::int64_t num_nextn_predict_layers = 0;
  std::int64_t bos_token_id = 0;
  std::int64_t eos_token_id = 1;
  std::optional<std::int64_t> pad_token_id;

  [[nodiscard]] std::int64_t q_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  [[nodiscard]] bool moe(std::int64_t layer) const { return layer >= first_k_dense_replace; }
};

// Reads old and new spellings (rope_theta + rope_scaling, rope_parameters; torch_dtype, dtype). Refuses by name what is not supported.
[[nodiscard]] Result<DeepseekV3Config> parse_deepseek_v3(const Json& config, std::string_view source);
[[nodiscard]] Json write_deepseek_v3(const DeepseekV3Config& config, std::string_view dtype, bool with_mtp);

}  // namespace godwit::model
