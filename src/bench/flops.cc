#include "bench/flops.h"

#include <algorithm>
#include <cmath>

namespace godwit::bench {

namespace {

using model::DeepseekV3Config;

std::int64_t attention_parameters(const DeepseekV3Config& c) {
  const std::int64_t d = c.hidden_size, heads = c.num_attention_heads;
  const std::int64_t q = c.q_lora_rank ? *c.q_lora_rank * (d + heads * c.q_head_dim()) : d * heads * c.q_head_dim();
  const std::int64_t kv_a = d * (c.kv_lora_rank + c.qk_rope_head_dim);
  const std::int64_t kv_b = c.kv_lora_rank * heads * (c.qk_nope_head_dim + c.v_head_dim);
  return q + kv_a + kv_b + heads * c.v_head_dim * d;
}

std::int64_t dense_layers(const DeepseekV3Config& c) {
  return std::min(c.first_k_dense_replace, c.num_hidden_layers);
}
std::int64_t moe_layers(const DeepseekV3Config& c) {
  return c.num_hidden_layers - dense_layers(c);
}
std::int64_t dense_parameters(const DeepseekV3Config& c) {
  return 3 * c.hidden_size * c.intermediate_size;
}
std::int64_t expert_parameters(const DeepseekV3Config& c) {
  return 3 * c.hidden_size * c.moe_intermediate_size;
}
std::int64_t router_parameters(const DeepseekV3Config& c) {
  return c.hidden_size * c.n_routed_experts;
}
std::int64_t moe_parameters(const DeepseekV3Config& c) {
  return router_parameters(c) + (c.num_experts_per_tok + c.n_shared_experts) * expert_parameters(c);
}
// Behind attention, in the last layer: o_proj and the feed-forward part.
std::int64_t last_parameters(const DeepseekV3Config& c) {
  return c.num_attention_heads * c.v_head_dim * c.hidden_size + (moe_layers(c) > 0 ? moe_parameters(c) : dense_parameters(c));
}

}  // namespace

std::int64_t layer_parameters(const DeepseekV3Config& c) {
  return c.num_hidden_layers * attention_parameters(c) + dense_layers(c) * dense_parameters(c) + moe_layers(c) * moe_parameters(c);
}

std::int64_t head_parameters(const DeepseekV3Config& c) {
  return c.hidden_size * c.vocab_size;
}

double training_flops(const DeepseekV3Config& c, std::int64_t sequence) {
  const std::int64_t attention =
      c.num_hidden_layers * 3 * sequence * c.num_attention_heads * (c.qk_nope_head_dim + c.qk_rope_head_dim + c.v_head_dim);
  return static_cast<double>(6 * (layer_parameters(c) + head_parameters(c)) + attention);
}

double prefill_flops(const DeepseekV3Config& c, std::int64_t tokens) {
  const auto count = static_cast<double>(tokens);
  const auto last = 2 * static_cast<double>(last_parameters(c) + head_parameters(c));
  return count * (training_flops(c, tokens) / 3 - last) + last;
}

double decode_flops(const DeepseekV3Config& c, std::int64_t depth) {
  const std::int64_t attention = c.num_hidden_layers * 2 * depth * c.num_attention_heads * (2 * c.kv_lora_rank + c.qk_rope_head_dim);
  return static_cast<double>(2 * (layer_parameters(c) + head_parameters(c)) + attention);
}

double expanded_decode_flops(const DeepseekV3Config& c, std::int64_t depth) {
  const std::int64_t attention = c.num_hidden_layers * 2 * depth * c.num_attention_heads * (c.q_head_dim() + c.v_head_dim);
  return static_cast<double>(2 * (layer_parameters(c) + head_parameters(c)) + attention);
}

double decode_bytes(const DeepseekV3Config& c, model::WeightFormat format, std::int64_t streams, std::int64_t depth) {
  constexpr double bf16 = 2, f32 = 4, block = 33.0 / 32;  // 32 numbers and their scale
  const auto experts = static_cast<double>(c.n_routed_experts);
  const auto used = static_cast<double>(c.num_experts_per_tok);
  const auto rows = static_cast<double>(streams);
  const double touched = experts == 0 ? 0 : experts * (1 - std::pow(1 - used / experts, rows));
  const auto layers = static_cast<double>(c.num_hidden_layers);
  const auto moe = static_cast<double>(moe_layers(c));
  const double weights = layers * static_cast<double>(attention_parameters(c)) +
                         static_cast<double>(dense_layers(c) * dense_parameters(c)) +
                         moe * (touched + static_cast<double>(c.n_shared_experts)) * static_cast<double>(expert_parameters(c)) +
                         static_cast<double>(head_parameters(c));
  const double cache = rows * layers * static_cast<double>(depth * (c.kv_lora_rank + c.qk_rope_head_dim));
  return (format == model::WeightFormat::q8 ? block : bf16) * weights + bf16 * cache +
         f32 * moe * static_cast<double>(router_parameters(c));
}

}  // namespace godwit::bench
