// What llama.cpp does with these keys and tensors: its src/models/deepseek2.cpp (loading and graph) and conversion/deepseek.py.
#include "store/gguf_deepseek2.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/log.h"

namespace godwit::store {
namespace {

constexpr std::uint32_t gating_sigmoid = 2;

// How llama.cpp scales YaRN: by mscale_all_dim alone, as if mscale were the same.
Result<void> add_rope(const Json& config, const std::string& name, std::vector<GgufKey>& keys) {
  keys.push_back({"deepseek2.rope.dimension_count", config["qk_rope_head_dim"].get<std::uint32_t>()});
  keys.push_back({"deepseek2.rope.freq_base", config["rope_theta"].get<float>()});
  const Json& yarn = config["rope_scaling"];
  if (yarn.is_null()) return {};
  const double mscale = yarn.value("mscale", 0.0), all = yarn.value("mscale_all_dim", 0.0);
  if (mscale == 0 || mscale != all) {
    return input_error("{}: rope_scaling has mscale {} and mscale_all_dim {}; llama.cpp needs both, and equal", name, mscale, all);
  }
  keys.push_back({"deepseek2.rope.scaling.type", std::string("yarn")});
  keys.push_back({"deepseek2.rope.scaling.factor", yarn["factor"].get<float>()});
  keys.push_back({"deepseek2.rope.scaling.original_context_length", yarn["original_max_position_embeddings"].get<std::uint32_t>()});
  keys.push_back({"deepseek2.rope.scaling.yarn_beta_fast", yarn["beta_fast"].get<float>()});
  keys.push_back({"deepseek2.rope.scaling.yarn_beta_slow", yarn["beta_slow"].get<float>()});
  // The reader divides it by 0.1 again.
  keys.push_back({"deepseek2.rope.scaling.yarn_log_multiplier", static_cast<float>(0.1 * all)});
  return {};
}

Result<void> add_experts(const Json& config, const std::string& name, std::vector<GgufKey>& keys) {
  const auto integer = [&](const char* key) { return config[key].get<std::uint32_t>(); };
  const std::uint32_t layers = integer("num_hidden_layers"), experts = integer("n_routed_experts"), shared = integer("n_shared_experts");
  const std::uint32_t groups = integer("n_group"), top_groups = integer("topk_group");
  const std::uint32_t dense = std::min(layers, integer("first_k_dense_replace"));
  keys.push_back({"deepseek2.leading_dense_block_count", dense});
  keys.push_back({"deepseek2.expert_feed_forward_length", integer("moe_intermediate_size")});
  keys.push_back({"deepseek2.expert_shared_count", shared});
  if (dense == layers) return {};
  if (shared == 0)
    return input_error("{}: n_shared_experts is 0; llama.cpp's deepseek2 has no layer of experts without a shared one", name);
  keys.push_back({"deepseek2.expert_count", experts});
  keys.push_back({"deepseek2.expert_used_count", integer("num_experts_per_tok")});
  keys.push_back({"deepseek2.expert_gating_func", gating_sigmoid});
  keys.push_back({"deepseek2.expert_weights_norm", config["norm_topk_prob"].get<bool>()});
  keys.push_back({"deepseek2.expert_weights_scale", config["routed_scaling_factor"].get<float>()});
  // All groups kept is no groups, which llama.cpp has no other word for.
  if (groups > 1 && top_groups < groups) {
    keys.push_back({"deepseek2.expert_group_count", groups});
    keys.push_back({"deepseek2.expert_group_used_count", top_groups});
  }
  return {};
}

// llama.cpp reads q_lora_rank, or takes the model to have none, by the number of layers.
Result<void> add_query(const Json& config, const std::string& name, std::vector<GgufKey>& keys) {
  const auto layers = config["num_hidden_layers"].get<std::uint32_t>(), vocabulary = config["vocab_size"].get<std::uint32_t>();
  const bool taken_to_have_none = layers == 26 || layers == 27 || (layers == 48 && vocabulary == 128256);
  const Json& rank = config["q_lora_rank"];
  if (taken_to_have_none) {
    if (rank.is_null()) return {};
    return input_error("{}: {} layers and q_lora_rank {}; llama.cpp takes models of so many layers to have none", name, layers,
                       write_json(rank));
  }
  keys.push_back({"deepseek2.attention.q_lora_rank", rank.is_null() ? 0u : rank.get<std::uint32_t>()});
  return {};
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 20> layer_names = {{
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.q_a_proj.weight", "attn_q_a.weight"},
    {"self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight"},
    {"self_attn.q_b_proj.weight", "attn_q_b.weight"},
    {"self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight"},
    {"self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {"mlp.gate.weight", "ffn_gate_inp.weight"},
    {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
    {"mlp.experts.gate_proj.weight", "ffn_gate_exps.weight"},
    {"mlp.experts.up_proj.weight", "ffn_up_exps.weight"},
    {"mlp.experts.down_proj.weight", "ffn_down_exps.weight"},
    {"mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight"},
    {"mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight"},
    {"mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight"},
}};
constexpr std::string_view layer_prefix = "model.layers.";
constexpr std::string_view router_name = "ffn_gate_inp.weight";

// "model.layers.3.mlp.up_proj.weight" → "blk.3." and "mlp.up_proj.weight"
std::pair<std::string, std::string_view> split_layer(std::string_view name) {
  name.remove_prefix(layer_prefix.size());
  const std::size_t dot = name.find('.');
  return {fmt::format("blk.{}.", name.substr(0, dot)), name.substr(dot + 1)};
}

// The parameter that was read last, and what was made of it.
struct Buffer {
  std::vector<float> values;
  std::vector<float> part;
};

struct Latent {
  std::size_t heads, nope, value, rank;
};

// kv_b_proj [heads · (nope + value), rank]: each head's keys, transposed, and each head's values.
std::span<const float> keys_of(Buffer& buffer, const Latent& s) {
  buffer.part.resize(s.heads * s.rank * s.nope);
  for (std::size_t h = 0; h < s.heads; ++h) {
    for (std::size_t c = 0; c < s.rank; ++c) {
      for (std::size_t i = 0; i < s.nope; ++i)
        buffer.part[(h * s.rank + c) * s.nope + i] = buffer.values[(h * (s.nope + s.value) + i) * s.rank + c];
    }
  }
  return buffer.part;
}
std::span<const float> values_of(Buffer& buffer, const Latent& s) {
  buffer.part.clear();
  for (std::size_t h = 0; h < s.heads; ++h) {
    const auto begin = buffer.values.begin() + static_cast<std::ptrdiff_t>((h * (s.nope + s.value) + s.nope) * s.rank);
    buffer.part.insert(buffer.part.end(), begin, begin + static_cast<std::ptrdiff_t>(s.value * s.rank));
  }
  return buffer.part;
}

}  // namespace

Result<std::vector<GgufKey>> deepseek2_keys(const ModelSource& source) {
  const Json config = source.model().config_json("float32", false);
  CHECK(config["model_type"] == "deepseek_v3", "a model of type {}", write_json(config["model_type"]));
  const std::string& name = source.description();
  const auto integer = [&](const char* key) { return config[key].get<std::uint32_t>(); };
  if (integer("qk_nope_head_dim") == 0) return input_error("{}: qk_nope_head_dim is 0; llama.cpp needs at least 1", name);
  if (config["rms_norm_eps"].get<double>() != 1e-6)
    log_warning("{}: rms_norm_eps is not 1e-6, which the latents' norms have here and in transformers; llama.cpp gives them rms_norm_eps",
                name);

  // Absorbed, the heads share one key (latent and rotary part) and one value (the latent).
  const std::uint32_t rank = integer("kv_lora_rank"), rope = integer("qk_rope_head_dim");
  std::vector<GgufKey> keys = {{"deepseek2.vocab_size", integer("vocab_size")},
                               {"deepseek2.context_length", integer("max_position_embeddings")},
                               {"deepseek2.embedding_length", integer("hidden_size")},
                               {"deepseek2.block_count", integer("num_hidden_layers")},
                               {"deepseek2.feed_forward_length", integer("intermediate_size")},
                               {"deepseek2.attention.head_count", integer("num_attention_heads")},
                               {"deepseek2.attention.head_count_kv", std::uint32_t{1}},
                               {"deepseek2.attention.layer_norm_rms_epsilon", config["rms_norm_eps"].get<float>()},
                               {"deepseek2.attention.kv_lora_rank", rank},
                               {"deepseek2.attention.key_length", rank + rope},
                               {"deepseek2.attention.value_length", rank},
                               {"deepseek2.attention.key_length_mla", integer("qk_nope_head_dim") + rope},
                               {"deepseek2.attention.value_length_mla", integer("v_head_dim")}};
  TRY(add_query(config, name, keys));
  TRY(add_rope(config, name, keys));
  TRY(add_experts(config, name, keys));
  return keys;
}

std::vector<GgufTensor> deepseek2_tensors(const ModelSource& source, GgufType type) {
  const Json config = source.model().config_json("float32", false);
  const auto integer = [&](const char* key) { return config[key].get<std::size_t>(); };
  const Latent latent{integer("num_attention_heads"), integer("qk_nope_head_dim"), integer("v_head_dim"), integer("kv_lora_rank")};
  const auto buffer = std::make_shared<Buffer>();
  std::vector<GgufTensor> tensors;
  const auto& parameters = source.model().parameters();
  for (std::size_t index = 0; index < parameters.size(); ++index) {
    const auto& parameter = parameters[index];
    if (parameter.mtp) continue;
    const auto read = [&source, buffer, index]() -> Result<std::span<const float>> {
      buffer->values.resize(static_cast<std::size_t>(source.model().parameters()[index].shape.count()));
      TRY(source.read(index, buffer->values));
      return std::span<const float>(buffer->values);
    };
    const auto add = [&](std::string name, std::vector<std::uint64_t> shape, std::function<Result<std::span<const float>>()> values) {
      const bool whole = shape.size() == 1 || name.ends_with(router_name) || (type == GgufType::q8_0 && shape.back() % q8_0_elements != 0);
      tensors.push_back({std::move(name), whole ? GgufType::f32 : type, std::move(shape), std::move(values)});
    };
    std::vector<std::uint64_t> shape;
    for (int axis = 0; axis < parameter.shape.rank(); ++axis) shape.push_back(static_cast<std::uint64_t>(parameter.shape[axis]));

    if (!parameter.name.starts_with(layer_prefix)) {
      const bool embedding = parameter.name == "model.embed_tokens.weight", norm = parameter.name == "model.norm.weight";
      CHECK(embedding || norm || parameter.name == "lm_head.weight", "{} has no name in GGUF", parameter.name);
      add(embedding ? "token_embd.weight" : norm ? "output_norm.weight" : "output.weight", shape, read);
      continue;
    }
    const auto [block, part] = split_layer(parameter.name);
    if (part == "self_attn.kv_b_proj.weight") {
      add(block + "attn_k_b.weight", {latent.heads, latent.rank, latent.nope}, [=]() -> Result<std::span<const float>> {
        TRY(read());
        return keys_of(*buffer, latent);
      });
      add(block + "attn_v_b.weight", {latent.heads, latent.value, latent.rank}, [=]() -> Result<std::span<const float>> {
        TRY(read());
        return values_of(*buffer, latent);
      });
      continue;
    }
    const auto* found = std::find_if(layer_names.begin(), layer_names.end(), [&wanted = part](const auto& pair) { return pair.first == wanted; });
    CHECK(found != layer_names.end(), "{} has no name in GGUF", parameter.name);
    add(block + std::string(found->second), shape, read);
  }
  return tensors;
}

}  // namespace godwit::store
