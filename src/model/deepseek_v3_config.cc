#include "model/deepseek_v3_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace godwit::model {

namespace {

// Keys that change nothing in what is computed here.
constexpr std::array inert_keys = {
    "architectures",
    "model_type",
    "torch_dtype",
    "dtype",
    "use_cache",
    "transformers_version",
    "output_router_logits",
    "ep_size",
    "pretraining_tp",
    "aux_loss_alpha",
    "seq_aux",
    "router_aux_loss_coef",
    "qk_head_dim",
    "head_dim",
    "_name_or_path",
    "name_or_path",
    "return_dict",
    "output_hidden_states",
    "output_attentions",
    "chunk_size_feed_forward",
    "is_encoder_decoder",
    "id2label",
    "label2id",
    "problem_type",
    "tokenizer_class",
    "auto_map",
    "use_return_dict",
    "quantization_config",
    "unsloth_version",
    "decoder_start_token_id",
    "_attn_implementation_autoset",
    "n_ctx",
};

// Reads typed keys, remembers which it has read, and keeps the first error.
class Reader {
 public:
  Reader(const Json& config, std::string_view source) : config_(config), source_(source) {}

  [[nodiscard]] const Json* find(const char* key) {
    read_.push_back(key);
    return config_.find(key);
  }

  void integer(const char* key, std::int64_t& value, bool required, std::int64_t minimum, std::int64_t maximum = 1 << 30) {
    const Json* found = find(key);
    if (found == nullptr) {
      if (required) fail(input_error("{}: {} is missing", source_, key));
      return;
    }
    // Some writers give whole numbers as 2.0.
    if (found->is_number_float() && std::floor(found->get<double>()) == found->get<double>() && std::abs(found->get<double>()) < 1e15) {
      value = static_cast<std::int64_t>(found->get<double>());
    } else if (found->is_number_integer()) {
      value = found->get<std::int64_t>();
    } else {
      return fail(input_error("{}: {} must be an integer, not {}", source_, key, write_json(*found)));
    }
    if (value < minimum || value > maximum) fail(input_error("{}: {} must be {} to {}, not {}", source_, key, minimum, maximum, value));
  }

  void optional_integer(const char* key, std::optional<std::int64_t>& value, std::int64_t minimum, std::int64_t maximum = 1 << 30) {
    const Json* place = config_.find(key);
    read_.push_back(key);
    if (place == nullptr || place->is_null()) return;
    std::int64_t number = 0;
    integer(key, number, true, minimum, maximum);
    value = number;
  }

  void real(const char* key, double& value, double above, double maximum = 1e30) { real_in(config_, "", key, value, above, maximum); }

  void real_in(const Json& object, std::string_view where, const char* key, double& value, double above, double maximum = 1e30) {
    read_.push_back(key);
    const Json* place = object.find(key);
    if (place == nullptr || place->is_null()) return;
    if (!place->is_number()) return fail(input_error("{}: {}{} must be a number, not {}", source_, where, key, write_json(*place)));
    value = place->get<double>();
    if (!(value > above && value <= maximum))
      fail(input_error("{}: {}{} must be above {} and at most {}, not {}", source_, where, key, above, maximum, value));
  }

  void boolean(const char* key, bool& value) {
    const Json* found = find(key);
    if (found == nullptr || found->is_null()) return;
    if (!found->is_boolean()) return fail(input_error("{}: {} must be true or false, not {}", source_, key, write_json(*found)));
    value = found->get<bool>();
  }

  // A key that may only have one value here.
  void fixed(const char* key, const Json& only, std::string_view why) {
    const Json* found = find(key);
    if (found != nullptr && !found->is_null() && *found != only) {
      fail(input_error("{}: {} = {} is not supported, only {}: {}", source_, key, write_json(*found), write_json(only), why));
    }
  }

  void unknown_keys() {
    for (const auto& item : config_.items()) {
      const std::string& key = item.key;
      const bool known = std::find(read_.begin(), read_.end(), key) != read_.end() ||
                         std::find(inert_keys.begin(), inert_keys.end(), key) != inert_keys.end();
      if (!known)
        fail(input_error("{}: {} is not supported by godwit's deepseek_v3; remove the key if the model does not depend on it", source_,
                         key));
    }
  }

  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  const Json& config_;
  std::string_view source_;
  std::vector<std::string> read_;
  std::optional<Error> error_;
};

void parse_rope(Reader& reader, std::string_view source, DeepseekV3Config& c) {
  reader.real("rope_theta", c.rope_theta, 1);
  const Json* old_spelling = reader.find("rope_scaling");
  const Json* new_spelling = reader.find("rope_parameters");
  const Json* rope = new_spelling != nullptr && !new_spelling->is_null() ? new_spelling : old_spelling;
  if (rope == nullptr || rope->is_null()) return;
  const std::string where = rope == new_spelling ? "rope_parameters." : "rope_scaling.";
  if (!rope->is_object()) return reader.fail(input_error("{}: {} must be an object, not {}", source, where, write_json(*rope)));
  reader.real_in(*rope, where, "rope_theta", c.rope_theta, 1);
  std::string type = "default";
  for (const char* key : {"type", "rope_type"}) {
    if (const Json* place = rope->find(key); place != nullptr && place->is_string()) type = place->get<std::string>();
  }
  if (type == "default") return;
  if (type != "yarn") return reader.fail(input_error("{}: {}type '{}' is not supported; default and yarn are", source, where, type));
  Yarn yarn;
  yarn.original_max_position_embeddings = c.max_position_embeddings;
  for (const auto& item : rope->items()) {
    constexpr std::array known = {"type",   "rope_type",      "rope_theta",
                                  "factor", "beta_fast",      "beta_slow",
                                  "mscale", "mscale_all_dim", "original_max_position_embeddings"};
    if (std::find(known.begin(), known.end(), item.key) == known.end()) {
      return reader.fail(input_error("{}: {}{} is not supported; remove it if the model does not depend on it", source, where, item.key));
    }
  }
  reader.real_in(*rope, where, "factor", yarn.factor, 0);
  if (!rope->contains("factor")) return reader.fail(input_error("{}: {}factor is missing, yarn needs it", source, where));
  reader.real_in(*rope, where, "beta_fast", yarn.beta_fast, 0);
  reader.real_in(*rope, where, "beta_slow", yarn.beta_slow, 0);
  double original = static_cast<double>(yarn.original_max_position_embeddings);
  reader.real_in(*rope, where, "original_max_position_embeddings", original, 0);
  yarn.original_max_position_embeddings = static_cast<std::int64_t>(original);
  for (auto [key, target] : {std::pair{"mscale", &yarn.mscale}, std::pair{"mscale_all_dim", &yarn.mscale_all_dim}}) {
    if (!rope->contains(key) || (*rope)[key].is_null()) continue;
    double value = 0;
    reader.real_in(*rope, where, key, value, -1e30);
    *target = value;
  }
  c.yarn = yarn;
}

std::optional<Error> check_sizes(const DeepseekV3Config& c, std::string_view source) {
  if (c.qk_rope_head_dim % 2 != 0)
    return input_error("{}: qk_rope_head_dim = {} must be even: it is rotated in pairs", source, c.qk_rope_head_dim);
  if (c.first_k_dense_replace < c.num_hidden_layers || c.num_nextn_predict_layers > 0) {
    if (c.num_experts_per_tok > c.n_routed_experts) {
      return input_error("{}: num_experts_per_tok = {} is more than n_routed_experts = {}", source, c.num_experts_per_tok,
                         c.n_routed_experts);
    }
    if (c.n_routed_experts % c.n_group != 0) {
      return input_error("{}: n_group = {} does not divide n_routed_experts = {}", source, c.n_group, c.n_routed_experts);
    }
    if (c.n_group > 1 && c.n_routed_experts / c.n_group < 2) {
      return input_error("{}: n_group = {} leaves {} expert in each group of n_routed_experts = {}; a group's score needs two", source,
                         c.n_group, c.n_routed_experts / c.n_group, c.n_routed_experts);
    }
    if (c.topk_group > c.n_group) return input_error("{}: topk_group = {} is more than n_group = {}", source, c.topk_group, c.n_group);
    if (c.topk_group * (c.n_routed_experts / c.n_group) < c.num_experts_per_tok) {
      return input_error("{}: topk_group = {} groups of {} experts hold fewer than num_experts_per_tok = {}", source, c.topk_group,
                         c.n_routed_experts / c.n_group, c.num_experts_per_tok);
    }
  }
  for (const auto& [name, id] : {std::pair{"bos_token_id", c.bos_token_id}, std::pair{"eos_token_id", c.eos_token_id}}) {
    if (id >= c.vocab_size) return input_error("{}: {} = {} lies outside vocab_size = {}", source, name, id, c.vocab_size);
  }
  return std::nullopt;
}

}  // namespace

Result<DeepseekV3Config> parse_deepseek_v3(const Json& config, std::string_view source) {
  if (!config.is_object()) return input_error("{}: a model's config must be a JSON object", source);
  DeepseekV3Config c;
  Reader reader(config, source);
  reader.integer("vocab_size", c.vocab_size, true, 2);
  reader.integer("hidden_size", c.hidden_size, true, 1);
  reader.integer("num_hidden_layers", c.num_hidden_layers, true, 1, 4096);
  reader.integer("num_attention_heads", c.num_attention_heads, true, 1, 1 << 16);
  reader.optional_integer("q_lora_rank", c.q_lora_rank, 1);
  reader.integer("kv_lora_rank", c.kv_lora_rank, true, 1);
  reader.integer("qk_nope_head_dim", c.qk_nope_head_dim, true, 1, 1 << 16);
  reader.integer("qk_rope_head_dim", c.qk_rope_head_dim, true, 2, 1 << 16);
  reader.integer("v_head_dim", c.v_head_dim, true, 1, 1 << 16);
  reader.integer("intermediate_size", c.intermediate_size, true, 1);
  reader.integer("first_k_dense_replace", c.first_k_dense_replace, false, 0, 4096);
  reader.integer("num_nextn_predict_layers", c.num_nextn_predict_layers, false, 0, 1);
  const bool any_moe = c.first_k_dense_replace < c.num_hidden_layers;
  reader.integer("moe_intermediate_size", c.moe_intermediate_size, any_moe, 1);
  reader.integer("n_routed_experts", c.n_routed_experts, any_moe, 1, 1 << 16);
  reader.integer("num_experts_per_tok", c.num_experts_per_tok, any_moe, 1, 1 << 10);
  reader.integer("n_shared_experts", c.n_shared_experts, false, 0, 1 << 10);
  reader.integer("n_group", c.n_group, false, 1, 1 << 16);
  reader.integer("topk_group", c.topk_group, false, 1, 1 << 16);
  reader.boolean("norm_topk_prob", c.norm_topk_prob);
  reader.real("routed_scaling_factor", c.routed_scaling_factor, 0);
  reader.real("rms_norm_eps", c.rms_norm_eps, 0, 1);
  reader.integer("max_position_embeddings", c.max_position_embeddings, false, 1, 1 << 27);
  reader.real("initializer_range", c.initializer_range, 0, 10);
  reader.integer("bos_token_id", c.bos_token_id, false, 0);
  reader.integer("eos_token_id", c.eos_token_id, false, 0);
  reader.optional_integer("pad_token_id", c.pad_token_id, 0);
  parse_rope(reader, source, c);

  std::int64_t kv_heads = c.num_attention_heads;
  reader.integer("num_key_value_heads", kv_heads, false, 1);
  if (kv_heads != c.num_attention_heads) {
    reader.fail(input_error("{}: num_key_value_heads = {} must equal num_attention_heads = {}: MLA has one latent for all heads", source,
                            kv_heads, c.num_attention_heads));
  }
  reader.fixed("hidden_act", "silu", "SwiGLU is what the family has");
  reader.fixed("attention_bias", false, "projections with biases are not written in the released models");
  reader.fixed("attention_dropout", 0.0, "training here has no dropout");
  reader.fixed("tie_word_embeddings", false, "the head is a weight of its own");
  reader.fixed("scoring_func", "sigmoid", "softmax scoring is DeepSeek-V2's");
  reader.fixed("topk_method", "noaux_tc", "other ways of choosing experts are DeepSeek-V2's");
  reader.fixed("moe_layer_freq", 1, "every layer after the dense ones is MoE");
  reader.fixed("rope_interleave", true, "other engines read the rotary columns as interleaved pairs");
  reader.unknown_keys();
  if (reader.error()) return *reader.error();
  if (auto error = check_sizes(c, source)) return *error;
  return c;
}

Json write_deepseek_v3(const DeepseekV3Config& c, std::string_view dtype, bool with_mtp) {
  Json json;
  json["architectures"] = Json::array({"DeepseekV3ForCausalLM"});
  json["model_type"] = "deepseek_v3";
  json["vocab_size"] = c.vocab_size;
  json["hidden_size"] = c.hidden_size;
  json["num_hidden_layers"] = c.num_hidden_layers;
  json["num_attention_heads"] = c.num_attention_heads;
  json["num_key_value_heads"] = c.num_attention_heads;
  json["q_lora_rank"] = c.q_lora_rank ? Json(*c.q_lora_rank) : Json(nullptr);
  json["kv_lora_rank"] = c.kv_lora_rank;
  json["qk_nope_head_dim"] = c.qk_nope_head_dim;
  json["qk_rope_head_dim"] = c.qk_rope_head_dim;
  json["v_head_dim"] = c.v_head_dim;
  json["intermediate_size"] = c.intermediate_size;
  json["moe_intermediate_size"] = c.moe_intermediate_size;
  json["n_routed_experts"] = c.n_routed_experts;
  json["num_experts_per_tok"] = c.num_experts_per_tok;
  json["n_shared_experts"] = c.n_shared_experts;
  json["n_group"] = c.n_group;
  json["topk_group"] = c.topk_group;
  json["first_k_dense_replace"] = c.first_k_dense_replace;
  json["moe_layer_freq"] = 1;
  json["norm_topk_prob"] = c.norm_topk_prob;
  json["routed_scaling_factor"] = c.routed_scaling_factor;
  json["scoring_func"] = "sigmoid";
  json["topk_method"] = "noaux_tc";
  json["hidden_act"] = "silu";
  json["rms_norm_eps"] = c.rms_norm_eps;
  json["rope_theta"] = c.rope_theta;
  if (c.yarn) {
    Json& yarn = json["rope_scaling"];
    yarn["type"] = "yarn";
    yarn["factor"] = c.yarn->factor;
    yarn["beta_fast"] = c.yarn->beta_fast;
    yarn["beta_slow"] = c.yarn->beta_slow;
    if (c.yarn->mscale) yarn["mscale"] = *c.yarn->mscale;
    if (c.yarn->mscale_all_dim) yarn["mscale_all_dim"] = *c.yarn->mscale_all_dim;
    yarn["original_max_position_embeddings"] = c.yarn->original_max_position_embeddings;
  } else {
    json["rope_scaling"] = nullptr;
  }
  json["rope_interleave"] = true;
  json["max_position_embeddings"] = c.max_position_embeddings;
  json["initializer_range"] = c.initializer_range;
  json["num_nextn_predict_layers"] = with_mtp ? c.num_nextn_predict_layers : 0;
  json["attention_bias"] = false;
  json["attention_dropout"] = 0.0;
  json["tie_word_embeddings"] = false;
  json["bos_token_id"] = c.bos_token_id;
  json["eos_token_id"] = c.eos_token_id;
  if (c.pad_token_id) json["pad_token_id"] = *c.pad_token_id;
  json["ep_size"] = 1;
  json["pretraining_tp"] = 1;
  json["torch_dtype"] = dtype;
  json["use_cache"] = true;
  return json;
}

}  // namespace godwit::model
