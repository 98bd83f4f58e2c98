// DeepSeek-V3: multi-head latent attention, a mixture of experts with sigmoid scores and a load bias, multi-token prediction.
//
// arXiv 2412.19437; names and layout are those of Hugging Face's `deepseek_v3`. B·T token rows run through
//   x ← x + Attention(RMSNorm(x));  x ← x + FFN(RMSNorm(x));  logits = W_head · RMSNorm(x).
#include <array>
#include <cmath>
#include <map>
#include <string>

#include "base/math.h"
#include "model/deepseek_v3_config.h"
#include "model/family.h"

namespace godwit::model {

namespace {

using program::Builder;
using program::Dtype;
using program::Program;
using program::Role;
using program::Shape;
using program::TensorId;

// transformers gives the norms inside attention no epsilon of the config's: they keep the class's default.
constexpr double latent_norm_eps = 1e-6;

std::string layer_name(std::int64_t layer) {
  return fmt::format("model.layers.{}.", layer);
}

// g(m) of YaRN.
double yarn_mscale(double factor, double m) {
  return factor <= 1 ? 1.0 : 0.1 * m * math::log(factor) + 1.0;
}

class DeepseekV3 final : public Model {
 public:
  explicit DeepseekV3(DeepseekV3Config config) : c_(config) { list_parameters(); }

  Json config_json(std::string_view dtype, bool with_mtp) const override { return write_deepseek_v3(c_, dtype, with_mtp); }
  const std::vector<Parameter>& parameters() const override { return parameters_; }
  std::int64_t vocab_size() const override { return c_.vocab_size; }
  std::int64_t context() const override { return c_.max_position_embeddings; }
  bool has_mtp() const override { return c_.num_nextn_predict_layers > 0; }
  std::int64_t moe_layers() const override {
    return std::max<std::int64_t>(0, c_.num_hidden_layers - c_.first_k_dense_replace) + (has_mtp() && c_.moe(c_.num_hidden_layers) ? 1 : 0);
  }
  std::int64_t experts() const override { return c_.n_routed_experts; }
  double initializer_range() const override { return c_.initializer_range; }

  std::int64_t parameter_count() const override {
    std::int64_t count = 0;
    for (const Parameter& p : parameters_) count += p.shape.count();
    return count;
  }
  std::int64_t active_parameter_count() const override {
    std::int64_t count = 0;
    for (const Parameter& p : parameters_) {
      if (p.name == "model.embed_tokens.weight" || p.mtp) continue;
      count += p.shape.rank() == 3 ? p.shape.count() / c_.n_routed_experts * c_.num_experts_per_tok : p.shape.count();
    }
    return count;
  }

  Program training(const Batch& batch, const TrainingOptions& options) const override;
  Program prefill(const Decoding& decoding, std::int64_t samples) const override;
  Program decode(const Decoding& decoding) const override;
  Program serving(const Serving& serving) const override;
  Program guessing(const Serving& serving, std::int64_t hidden_rows) const override;
  Program head(const Serving& serving, std::int64_t hidden_rows, std::int64_t wanted) const override;
  std::vector<Constant> constants(const Program& program) const override;

 private:
  void list_parameters();
  void list_layer(std::int64_t layer, bool mtp);

  DeepseekV3Config c_;
  std::vector<Parameter> parameters_;
  std::map<std::string, std::size_t, std::less<>> index_;
  friend class Emitter;
};

void DeepseekV3::list_layer(std::int64_t layer, bool mtp) {
  const std::string at = layer_name(layer);
  const auto add = [&](const std::string& name, const Shape& shape, Parameter::Init init = Parameter::Init::normal) {
    Parameter p{at + name, shape, Parameter::Kind::trained, shape.rank() > 1, init, {at + name}, {}, mtp};
    parameters_.push_back(std::move(p));
  };
  const auto norm = [&](const std::string& name, std::int64_t width) { add(name, {width}, Parameter::Init::one); };
  const std::int64_t d = c_.hidden_size;
  const std::int64_t heads = c_.num_attention_heads;
  norm("input_layernorm.weight", d);
  if (c_.q_lora_rank) {
    add("self_attn.q_a_proj.weight", {*c_.q_lora_rank, d});
    norm("self_attn.q_a_layernorm.weight", *c_.q_lora_rank);
    add("self_attn.q_b_proj.weight", {heads * c_.q_head_dim(), *c_.q_lora_rank});
  } else {
    add("self_attn.q_proj.weight", {heads * c_.q_head_dim(), d});
  }
  add("self_attn.kv_a_proj_with_mqa.weight", {c_.kv_lora_rank + c_.qk_rope_head_dim, d});
  norm("self_attn.kv_a_layernorm.weight", c_.kv_lora_rank);
  add("self_attn.kv_b_proj.weight", {heads * (c_.qk_nope_head_dim + c_.v_head_dim), c_.kv_lora_rank});
  add("self_attn.o_proj.weight", {d, heads * c_.v_head_dim});
  norm("post_attention_layernorm.weight", d);
  if (!c_.moe(layer)) {
    add("mlp.gate_proj.weight", {c_.intermediate_size, d});
    add("mlp.up_proj.weight", {c_.intermediate_size, d});
    add("mlp.down_proj.weight", {d, c_.intermediate_size});
    return;
  }
  add("mlp.gate.weight", {c_.n_routed_experts, d});
  add("mlp.gate.e_score_correction_bias", {c_.n_routed_experts}, Parameter::Init::zero);
  parameters_.back().kind = Parameter::Kind::router_bias;
  const auto experts = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    add("mlp.experts." + name, {c_.n_routed_experts, out, in});
    parameters_.back().files.clear();
    for (std::int64_t e = 0; e < c_.n_routed_experts; ++e)
      parameters_.back().files.push_back(fmt::format("{}mlp.experts.{}.{}", at, e, name));
  };
  experts("gate_proj.weight", c_.moe_intermediate_size, d);
  experts("up_proj.weight", c_.moe_intermediate_size, d);
  experts("down_proj.weight", d, c_.moe_intermediate_size);
  if (c_.n_shared_experts > 0) {
    const std::int64_t width = c_.n_shared_experts * c_.moe_intermediate_size;
    add("mlp.shared_experts.gate_proj.weight", {width, d});
    add("mlp.shared_experts.up_proj.weight", {width, d});
    add("mlp.shared_experts.down_proj.weight", {d, width});
  }
}

void DeepseekV3::list_parameters() {
  const std::int64_t d = c_.hidden_size;
  const auto add = [&](const std::string& name, const Shape& shape, bool mtp, Parameter::Init init = Parameter::Init::normal) {
    parameters_.push_back({name, shape, Parameter::Kind::trained, shape.rank() > 1, init, {name}, {}, mtp});
  };
  add("model.embed_tokens.weight", {c_.vocab_size, d}, false);
  for (std::int64_t layer = 0; layer < c_.num_hidden_layers; ++layer) list_layer(layer, false);
  add("model.norm.weight", {d}, false, Parameter::Init::one);
  add("lm_head.weight", {c_.vocab_size, d}, false);
  if (has_mtp()) {
    const std::string at = layer_name(c_.num_hidden_layers);
    parameters_.front().copies.push_back(at + "embed_tokens.weight");
    parameters_.back().copies.push_back(at + "shared_head.head.weight");
    add(at + "enorm.weight", {d}, true, Parameter::Init::one);
    add(at + "hnorm.weight", {d}, true, Parameter::Init::one);
    add(at + "eh_proj.weight", {d, 2 * d}, true);
    list_layer(c_.num_hidden_layers, true);
    add(at + "shared_head.norm.weight", {d}, true, Parameter::Init::one);
  }
  for (std::size_t i = 0; i < parameters_.size(); ++i) index_.emplace(parameters_[i].name, i);
}

// Where attention finds its keys.
enum class Keys {
  samples,           // the rows of the same sample: training
  samples_to_cache,  // the same, and every row is written to its stream's cache: prefill
  cache,             // the stream's cache, this row's included: decode
  pages,             // the pages of the stream's latents, this row's included: serving
};

// Emits one program over `rows` tokens at up to `positions` positions; 0 positions: rows come computed, no token is read.
class Emitter {
 public:
  Emitter(const DeepseekV3& model, std::string name, std::int64_t rows, std::int64_t samples, std::int64_t positions, Dtype dtype,
          WeightFormat format, Keys keys)
      : model_(model), c_(model.c_), b_(std::move(name)), rows_(rows), dtype_(dtype), format_(format), keys_(keys) {
    samples_ = b_.declare("samples", Role::input, Dtype::i32, {samples + 1});
    if (positions == 0) return;
    ids_ = b_.declare("ids", Role::input, Dtype::i32, {rows});
    positions_ = b_.declare("positions", Role::input, Dtype::i32, {rows});
    cos_ = b_.declare("rope.cos", Role::constant, Dtype::f32, {positions, c_.qk_rope_head_dim / 2});
    sin_ = b_.declare("rope.sin", Role::constant, Dtype::f32, {positions, c_.qk_rope_head_dim / 2});
  }

  void use_caches(const Decoding& decoding) {
    slots_ = b_.declare("slots", Role::input, Dtype::i32, {rows_});
    cells_ = {slots_, positions_, decoding.streams, decoding.capacity};
  }

  void use_pages(const Serving& serving) {
    slots_ = b_.declare("slots", Role::input, Dtype::i32, {rows_});
    table_ = b_.declare("table", Role::input, Dtype::i32, {serving.streams, serving.blocks});
    const TensorId pages = b_.declare("pages", Role::input, Dtype::i32, {rows_});
    const TensorId offsets = b_.declare("offsets", Role::input, Dtype::i32, {rows_});
    cells_ = {pages, offsets, serving.pages, serving.page};
  }

  Builder& builder() { return b_; }
  [[nodiscard]] TensorId ids() const { return ids_; }
  [[nodiscard]] TensorId samples() const { return samples_; }

  TensorId weight(const std::string& name) {
    const auto known = weights_.find(name);
    if (known != weights_.end()) return known->second;
    const auto place = model_.index_.find(name);
    CHECK(place != model_.index_.end(), "the model has no parameter {}", name);
    const TensorId id = b_.declare(name, Role::state, Dtype::f32, model_.parameters_[place->second].shape);
    weights_.emplace(name, id);
    return id;
  }

  // A matrix as operands are multiplied by it.
  TensorId matrix(const std::string& name) {
    if (format_ == WeightFormat::dtype) return b_.cast(weight(name), dtype_);
    const auto known = held_.find(name);
    if (known != held_.end()) return known->second;
    const std::int64_t to = dtype_ == Dtype::bf16 ? 1 : 0;
    return held_.emplace(name, b_.emit1("mxint8", {weight(name)}, {{"to", to}})).first->second;
  }

  TensorId norm(TensorId x, const std::string& name, double eps) {
    return b_.emit("rms_norm", {x, weight(name), samples_}, {{"eps", eps}})[0];
  }

  // x · wᵀ with operands in the compute dtype.
  TensorId linear(TensorId x, const std::string& name) { return b_.emit1("linear", {b_.cast(x, dtype_), matrix(name), samples_}); }

  TensorId embed(TensorId ids) { return b_.emit1("embedding", {weight("model.embed_tokens.weight"), ids, samples_}); }

  TensorId logits(TensorId normed) { return linear(normed, "lm_head.weight"); }

  // `wanted` rows and their samples go on behind attention, if it is given: from there on the emitter has no others.
  struct Wanted {
    TensorId rows;
    TensorId samples;
  };
  TensorId layer(TensorId x, std::int64_t layer, const Wanted* wanted = nullptr) {
    const std::string at = layer_name(layer);
    b_.scope(fmt::format("layers.{}.", layer));
    TensorId o = attention(norm(x, at + "input_layernorm.weight", c_.rms_norm_eps), layer);
    if (wanted != nullptr) {
      o = b_.emit1("gather_rows", {o, wanted->rows});
      x = b_.emit1("gather_rows", {x, wanted->rows});
      samples_ = wanted->samples;
    }
    x = b_.emit1("add", {x, linear(o, at + "self_attn.o_proj.weight")});
    const TensorId u = norm(x, at + "post_attention_layernorm.weight", c_.rms_norm_eps);
    x = b_.emit1("add", {x, c_.moe(layer) ? mixture(u, at) : dense(u, at + "mlp.")});
    b_.scope("");
    return x;
  }

  // The MTP layer: h'_i = W_eh [ RMSNorm(Emb(t_{i+1})) ; RMSNorm(h_i) ], h after the final norm; one block; a norm, behind which the shared
  // head predicts t_{i+2}. `next` are the ids t_{i+1}.
  TensorId look_ahead(TensorId next, TensorId hidden) {
    const std::string at = layer_name(c_.num_hidden_layers);
    const TensorId embedding = norm(embed(next), at + "enorm.weight", c_.rms_norm_eps);
    const TensorId joined = b_.emit1("concat_columns", {embedding, norm(hidden, at + "hnorm.weight", c_.rms_norm_eps)});
    const TensorId y = layer(linear(joined, at + "eh_proj.weight"), c_.num_hidden_layers);
    return norm(y, at + "shared_head.norm.weight", c_.rms_norm_eps);
  }

  std::vector<TensorId> balance_losses;
  std::vector<TensorId> expert_counts;
  TensorId balance_weight = TensorId::none;  // none: no balance loss

 private:
  TensorId dense(TensorId u, const std::string& at) {
    const TensorId gate = linear(u, at + "gate_proj.weight");
    const TensorId up = linear(u, at + "up_proj.weight");
    return linear(b_.emit1("swiglu", {gate, up}), at + "down_proj.weight");
  }

  TensorId rotate(TensorId x, std::int64_t heads, std::int64_t offset) {
    return b_.emit1("rope", {x, positions_, cos_, sin_}, {{"heads", heads}, {"offset", offset}});
  }

  // Every head's mix of values, before o_proj.
  TensorId attention(TensorId h, std::int64_t layer) {
    const std::string at = layer_name(layer) + "self_attn.";
    const std::int64_t heads = c_.num_attention_heads;
    TensorId q;
    if (c_.q_lora_rank) {
      const TensorId latent = norm(linear(h, at + "q_a_proj.weight"), at + "q_a_layernorm.weight", latent_norm_eps);
      q = linear(latent, at + "q_b_proj.weight");
    } else {
      q = linear(h, at + "q_proj.weight");
    }
    q = rotate(q, heads, c_.qk_nope_head_dim);
    const auto kv_a = b_.emit("split_columns", {linear(h, at + "kv_a_proj_with_mqa.weight")}, {{"left", c_.kv_lora_rank}});
    const TensorId latent = norm(kv_a[0], at + "kv_a_layernorm.weight", latent_norm_eps);
    const TensorId k_pe = rotate(kv_a[1], 1, 0);

    const TensorId q_T = b_.cast(q, dtype_);
    const TensorId k_pe_T = b_.cast(k_pe, dtype_);
    return keys_ == Keys::pages ? absorbed(q_T, b_.cast(latent, dtype_), k_pe_T, layer)
                                : expanded(q_T, b_.cast(linear(latent, at + "kv_b_proj.weight"), dtype_), k_pe_T, layer);
  }

  TensorId expanded(TensorId q, TensorId kv, TensorId k_pe, std::int64_t layer) {
    const program::Attributes shape = {
        {"heads", c_.num_attention_heads}, {"nope", c_.qk_nope_head_dim}, {"value", c_.v_head_dim}, {"scale", scale()}};
    if (keys_ == Keys::samples) return b_.emit("attention", {q, kv, k_pe, samples_}, shape)[0];
    const TensorId kept = cache(fmt::format("cache.kv.{}", layer), kv);
    const TensorId kept_pe = cache(fmt::format("cache.k_pe.{}", layer), k_pe);
    if (keys_ == Keys::samples_to_cache) return b_.emit("attention", {q, kv, k_pe, samples_}, shape)[0];
    return b_.emit1("attention_cached", {q, kept, kept_pe, slots_, positions_}, shape);
  }

  // kv_b folded into the query and taken out of the sum: the latent alone is kept (DeepSeek-V2, arXiv 2405.04434, 2.1.2).
  TensorId absorbed(TensorId q, TensorId latent, TensorId k_pe, std::int64_t layer) {
    const std::int64_t heads = c_.num_attention_heads;
    const program::Attributes split = {{"heads", heads}, {"nope", c_.qk_nope_head_dim}, {"value", c_.v_head_dim}};
    const TensorId kept = cache(fmt::format("cache.latent.{}", layer), latent);
    const TensorId kept_pe = cache(fmt::format("cache.k_pe.{}", layer), k_pe);
    const TensorId kv_b = matrix(layer_name(layer) + "self_attn.kv_b_proj.weight");
    const TensorId query = b_.cast(b_.emit1("absorb_query", {q, kv_b}, split), dtype_);
    const TensorId mixed =
        b_.emit1("attention_latent", {query, kept, kept_pe, slots_, positions_, table_}, {{"heads", heads}, {"scale", scale()}});
    return b_.emit1("absorb_value", {b_.cast(mixed, dtype_), kv_b}, split);
  }

  TensorId cache(const std::string& name, TensorId rows) {
    const std::int64_t width = b_.type(rows).shape.width();
    const TensorId id = b_.declare(name, Role::state, dtype_, {cells_.count, cells_.capacity, width});
    return b_.emit("cache_write", {rows, cells_.slots, cells_.places}, {{"streams", cells_.count}, {"capacity", cells_.capacity}}, {id})[0];
  }

  [[nodiscard]] double scale() const {
    const double plain = 1.0 / std::sqrt(static_cast<double>(c_.q_head_dim()));
    if (!c_.yarn || !c_.yarn->mscale_all_dim || *c_.yarn->mscale_all_dim == 0) return plain;
    const double m = yarn_mscale(c_.yarn->factor, *c_.yarn->mscale_all_dim);
    return plain * m * m;
  }

  TensorId mixture(TensorId u, const std::string& layer_at) {
    const std::string at = layer_at + "mlp.";
    const std::int64_t top_k = c_.num_experts_per_tok;
    // The router's product is f32 in every dtype.
    const TensorId scores = b_.emit1("linear", {u, weight(at + "gate.weight"), samples_});
    const std::int64_t normalize = c_.norm_topk_prob ? 1 : 0;
    const auto route = b_.emit("router", {scores, weight(at + "gate.e_score_correction_bias")},
                               {{"top_k", top_k},
                                {"groups", c_.n_group},
                                {"top_groups", c_.topk_group},
                                {"normalize", normalize},
                                {"scaling", c_.routed_scaling_factor}});
    const TensorId experts = route[0];
    const auto plan = b_.emit("dispatch_plan", {experts, samples_}, {{"experts", c_.n_routed_experts}});
    const TensorId offsets = plan[0], row_of_slot = plan[1], slot_of_row = plan[2];
    expert_counts.push_back(plan[3]);
    if (balance_weight != TensorId::none) balance_losses.push_back(b_.emit1("balance_loss", {scores, experts, samples_, balance_weight}));

    const TensorId rows = b_.emit1("dispatch", {b_.cast(u, dtype_), slot_of_row, row_of_slot}, {{"top_k", top_k}});
    const auto grouped = [&](TensorId x, const std::string& name) {
      return b_.emit1("grouped_linear", {b_.cast(x, dtype_), matrix(at + "experts." + name), offsets});
    };
    const TensorId hidden = b_.emit1("swiglu", {grouped(rows, "gate_proj.weight"), grouped(rows, "up_proj.weight")});
    const TensorId mixed = b_.emit1("combine", {grouped(hidden, "down_proj.weight"), route[1], row_of_slot, slot_of_row});
    if (c_.n_shared_experts == 0) return mixed;
    return b_.emit1("add", {mixed, dense(u, at + "shared_experts.")});
  }

  const DeepseekV3& model_;
  const DeepseekV3Config& c_;
  Builder b_;
  std::int64_t rows_;
  Dtype dtype_;
  WeightFormat format_;
  Keys keys_;
  // Where rows are written: place places[r] of slots[r], of `count` slots of `capacity` places.
  struct Cells {
    TensorId slots = TensorId::none;
    TensorId places = TensorId::none;
    std::int64_t count = 0;
    std::int64_t capacity = 0;
  };
  Cells cells_;
  TensorId samples_;
  TensorId ids_ = TensorId::none, positions_ = TensorId::none, cos_ = TensorId::none, sin_ = TensorId::none;
  TensorId slots_ = TensorId::none;
  TensorId table_ = TensorId::none;
  std::map<std::string, TensorId> weights_;
  std::map<std::string, TensorId> held_;  // in blocks of 8 bits
};

Program DeepseekV3::training(const Batch& batch, const TrainingOptions& options) const {
  CHECK(!options.mtp || has_mtp(), "the model has no MTP layer");
  CHECK(!options.gradients || batch.weights == WeightFormat::dtype, "weights in blocks of 8 bits have no gradient");
  Emitter e(*this, options.gradients ? "training" : "evaluation", batch.rows, batch.samples, std::min(batch.rows, context()), batch.dtype,
            batch.weights, Keys::samples);
  Builder& b = e.builder();
  const TensorId labels = b.declare("labels", Role::input, Dtype::i32, {batch.rows});
  const TensorId weights = b.declare("weights", Role::input, Dtype::f32, {batch.rows});
  if (options.balance_loss && moe_layers() > 0) e.balance_weight = b.declare("balance.weight", Role::input, Dtype::f32, {1});

  TensorId x = e.embed(e.ids());
  for (std::int64_t layer = 0; layer < c_.num_hidden_layers; ++layer) x = e.layer(x, layer);
  const TensorId hidden = e.norm(x, "model.norm.weight", c_.rms_norm_eps);
  const TensorId logits = e.logits(hidden);
  const TensorId lse = b.emit1("log_sum_exp", {logits});
  const auto loss = b.emit("cross_entropy", {logits, lse, labels, weights, e.samples()});
  b.output(loss[0], "logprob");
  b.output(loss[1], "loss");
  if (options.logits) b.output(logits, "logits");

  if (options.mtp) {
    const TensorId ids = b.declare("mtp.ids", Role::input, Dtype::i32, {batch.rows});
    const TensorId mtp_labels = b.declare("mtp.labels", Role::input, Dtype::i32, {batch.rows});
    const TensorId mtp_weights = b.declare("mtp.weights", Role::input, Dtype::f32, {batch.rows});
    const TensorId mtp_logits = e.logits(e.look_ahead(ids, hidden));
    const auto mtp_loss = b.emit("cross_entropy", {mtp_logits, b.emit1("log_sum_exp", {mtp_logits}), mtp_labels, mtp_weights, e.samples()});
    b.output(mtp_loss[1], "mtp.loss");
  }
  for (std::size_t k = 0; k < e.expert_counts.size(); ++k) b.output(e.expert_counts[k], fmt::format("counts.{}", k));
  if (!e.balance_losses.empty()) {
    TensorId sum = e.balance_losses[0];
    for (std::size_t k = 1; k < e.balance_losses.size(); ++k) sum = b.emit1("add", {sum, e.balance_losses[k]});
    b.output(sum, "balance.loss");
  }

  const std::size_t forward_count = b.program().nodes.size();
  if (options.gradients) {
    std::vector<TensorId> trained;
    for (const Parameter& p : parameters_) {
      if (p.kind == Parameter::Kind::trained && (!p.mtp || options.mtp)) trained.push_back(e.weight(p.name));
    }
    program::differentiate(b, trained);
  }
  Program program = std::move(b).finish();
  if (options.recompute) program = program::recompute(std::move(program), forward_count);
  return program::hoist_refresh(program::fuse_casts(program::remove_unused(std::move(program))));
}

Program DeepseekV3::prefill(const Decoding& decoding, std::int64_t samples) const {
  Emitter e(*this, "prefill", decoding.rows, samples, std::min(decoding.capacity, context()), decoding.dtype, decoding.weights,
            Keys::samples_to_cache);
  e.use_caches(decoding);
  Builder& b = e.builder();
  const Emitter::Wanted last{b.declare("last", Role::input, Dtype::i32, {samples}),
                             b.declare("last.samples", Role::input, Dtype::i32, {2})};
  TensorId x = e.embed(e.ids());
  for (std::int64_t layer = 0; layer < c_.num_hidden_layers; ++layer) {
    x = e.layer(x, layer, layer + 1 == c_.num_hidden_layers ? &last : nullptr);
  }
  const TensorId logits = e.logits(e.norm(x, "model.norm.weight", c_.rms_norm_eps));
  b.output(b.emit1("log_sum_exp", {logits}), "lse");
  b.output(logits, "logits");
  return program::hoist_refresh(program::fuse_casts(program::remove_unused(std::move(b).finish())));
}

Program DeepseekV3::decode(const Decoding& decoding) const {
  Emitter e(*this, "decode", decoding.rows, 1, std::min(decoding.capacity, context()), decoding.dtype, decoding.weights, Keys::cache);
  e.use_caches(decoding);
  Builder& b = e.builder();
  TensorId x = e.embed(e.ids());
  for (std::int64_t layer = 0; layer < c_.num_hidden_layers; ++layer) x = e.layer(x, layer);
  const TensorId logits = e.logits(e.norm(x, "model.norm.weight", c_.rms_norm_eps));
  b.output(b.emit1("log_sum_exp", {logits}), "lse");
  b.output(logits, "logits");
  return program::hoist_refresh(program::fuse_casts(program::remove_unused(std::move(b).finish())));
}

Program DeepseekV3::serving(const Serving& serving) const {
  Emitter e(*this, "serving", serving.rows, 1, context(), serving.dtype, serving.weights, Keys::pages);
  e.use_pages(serving);
  TensorId x = e.embed(e.ids());
  for (std::int64_t layer = 0; layer < c_.num_hidden_layers; ++layer) x = e.layer(x, layer);
  e.builder().output(e.norm(x, "model.norm.weight", c_.rms_norm_eps), "hidden");
  return program::hoist_refresh(program::fuse_casts(program::remove_unused(std::move(e.builder()).finish())));
}

Program DeepseekV3::guessing(const Serving& serving, std::int64_t hidden_rows) const {
  CHECK(has_mtp(), "the model has no MTP layer");
  Emitter e(*this, "guessing", serving.rows, 1, context(), serving.dtype, serving.weights, Keys::pages);
  e.use_pages(serving);
  Builder& b = e.builder();
  const TensorId hidden = b.declare("hidden", Role::input, Dtype::f32, {hidden_rows, c_.hidden_size});
  const TensorId source = b.declare("source", Role::input, Dtype::i32, {serving.rows});
  b.output(e.look_ahead(e.ids(), b.emit1("gather_rows", {hidden, source})), "guessed");
  return program::hoist_refresh(program::fuse_casts(program::remove_unused(std::move(b).finish())));
}

Program DeepseekV3::head(const Serving& serving, std::int64_t hidden_rows, std::int64_t wanted) const {
  Emitter e(*this, "head", wanted, 1, 0, serving.dtype, serving.weights, Keys::pages);
  Builder& b = e.builder();
  const TensorId hidden = b.declare("hidden", Role::input, Dtype::f32, {hidden_rows, c_.hidden_size});
  const TensorId last = b.declare("last", Role::input, Dtype::i32, {wanted});
  const TensorId logits = e.logits(b.emit1("gather_rows", {hidden, last}));
  b.output(b.emit1("log_sum_exp", {logits}), "lse");
  b.output(logits, "logits");
  return program::hoist_refresh(program::fuse_casts(program::remove_unused(std::move(b).finish())));
}

// θ_i of rotary pair i; with YaRN the pairs that turn slowly are interpolated (MODEL 1.4).
std::vector<double> rotary_frequencies(const DeepseekV3Config& c) {
  const std::int64_t r = c.qk_rope_head_dim;
  std::vector<double> theta;
  for (std::int64_t i = 0; i < r / 2; ++i) theta.push_back(math::pow(c.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(r)));
  if (!c.yarn) return theta;
  const Yarn& yarn = *c.yarn;
  const auto dimension = [&](double rotations) {
    const double turns = static_cast<double>(yarn.original_max_position_embeddings) / (rotations * 2.0 * math::pi64);
    return static_cast<double>(r) * math::log(turns) / (2.0 * math::log(c.rope_theta));
  };
  const double low = std::max(std::floor(dimension(yarn.beta_fast)), 0.0);
  double high = std::min(std::ceil(dimension(yarn.beta_slow)), static_cast<double>(r - 1));
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < theta.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    theta[i] = theta[i] / yarn.factor * ramp + theta[i] * (1.0 - ramp);
  }
  return theta;
}

std::vector<Constant> DeepseekV3::constants(const Program& program) const {
  const TensorId table = program.find("rope.cos");
  if (table == TensorId::none) return {};
  const std::int64_t positions = program.tensor(table).type.shape[0];
  const std::vector<double> theta = rotary_frequencies(c_);
  double factor = 1.0;
  if (c_.yarn) {
    const Yarn& yarn = *c_.yarn;
    const bool both = yarn.mscale && yarn.mscale_all_dim && *yarn.mscale != 0 && *yarn.mscale_all_dim != 0;
    factor = both ? yarn_mscale(yarn.factor, *yarn.mscale) / yarn_mscale(yarn.factor, *yarn.mscale_all_dim) : yarn_mscale(yarn.factor, 1.0);
  }
  Constant cosines{"rope.cos", {}}, sines{"rope.sin", {}};
  for (std::int64_t p = 0; p < positions; ++p) {
    for (const double t : theta) {
      const double angle = static_cast<double>(p) * t;
      cosines.values.push_back(static_cast<float>(math::cos(angle) * factor));
      sines.values.push_back(static_cast<float>(math::sin(angle) * factor));
    }
  }
  return {std::move(cosines), std::move(sines)};
}

Result<std::unique_ptr<Model>> from_config(const Json& config, std::string_view source) {
  TRY_ASSIGN(const DeepseekV3Config parsed, parse_deepseek_v3(config, source));
  return std::unique_ptr<Model>(std::make_unique<DeepseekV3>(parsed));
}

// The ladder of small models (MODEL 1.1), and two for measuring: dense30, without a mixture, and ds326. initializer_range ≈ 0.02·sqrt(768 /
// hidden_size).
struct Preset {
  std::string_view name;
  std::int64_t vocabulary, hidden, layers, heads, nope, rope, value, q_rank, kv_rank, dense, expert, experts, top_k, shared, dense_layers;
  double init;
};
constexpr std::array preset_list = {
    Preset{"nano", 64, 64, 4, 4, 16, 8, 16, 32, 32, 256, 64, 8, 2, 1, 1, 0.07},
    Preset{"micro", 512, 128, 4, 4, 32, 16, 32, 64, 64, 512, 128, 8, 2, 1, 1, 0.05},
    Preset{"mini", 2048, 256, 6, 8, 32, 16, 32, 96, 128, 768, 192, 16, 4, 1, 1, 0.035},
    Preset{"mini-576", 2048, 256, 6, 8, 32, 64, 32, 96, 512, 768, 192, 16, 4, 1, 1, 0.035},
    Preset{"dense30", 8192, 512, 8, 8, 64, 32, 64, 256, 128, 2048, 256, 8, 2, 1, 8, 0.025},
    Preset{"ds326", 32256, 768, 12, 12, 128, 64, 128, 512, 512, 2048, 256, 32, 4, 1, 1, 0.02},
};

const Json* preset(std::string_view name) {
  static const std::map<std::string, Json, std::less<>> presets = [] {
    std::map<std::string, Json, std::less<>> made;
    for (const Preset& p : preset_list) {
      DeepseekV3Config c;
      c.vocab_size = p.vocabulary;
      c.hidden_size = p.hidden;
      c.num_hidden_layers = p.layers;
      c.num_attention_heads = p.heads;
      c.q_lora_rank = p.q_rank;
      c.kv_lora_rank = p.kv_rank;
      c.qk_nope_head_dim = p.nope;
      c.qk_rope_head_dim = p.rope;
      c.v_head_dim = p.value;
      c.intermediate_size = p.dense;
      c.moe_intermediate_size = p.expert;
      c.n_routed_experts = p.experts;
      c.num_experts_per_tok = p.top_k;
      c.n_shared_experts = p.shared;
      c.first_k_dense_replace = p.dense_layers;
      c.routed_scaling_factor = 1.0;
      c.initializer_range = p.init;
      made.emplace(p.name, write_deepseek_v3(c, "float32", true));
    }
    return made;
  }();
  const auto place = presets.find(name);
  return place == presets.end() ? nullptr : &place->second;
}

std::vector<std::string_view> presets() {
  std::vector<std::string_view> names;
  for (const Preset& p : preset_list) names.push_back(p.name);
  return names;
}

}  // namespace

extern const Family deepseek_v3;
const Family deepseek_v3{"deepseek_v3", from_config, preset, presets};

}  // namespace godwit::model
