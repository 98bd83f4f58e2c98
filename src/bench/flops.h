// FLOPs as the field counts them: what the mathematics of a token needs, whatever an implementation does beside it.
//
// A multiply-add is two. Recomputation, norms, softmax, the optimizer and embedding look-ups count nothing, so a share of peak by these
// formulas cannot be raised by doing more.
#pragma once

#include <cstdint>

#include "model/deepseek_v3_config.h"
#include "model/model.h"

namespace godwit::bench {

// Parameters of the matrix products that one token passes through, without the MTP layer: attention, dense layers, router, the experts a
// token uses, shared experts. No norms, no embedding, no head.
[[nodiscard]] std::int64_t layer_parameters(const model::DeepseekV3Config& config);
[[nodiscard]] std::int64_t head_parameters(const model::DeepseekV3Config& config);

// Forward and backward of one token: 6 · (layers + head) + causal attention, of which a row sees half on average:
// layers · 3 · sequence · heads · (nope + rope + value).
[[nodiscard]] double training_flops(const model::DeepseekV3Config& config, std::int64_t sequence);
inline constexpr const char* training_formula =
    "FLOPs per token: 6 × matrix parameters a token uses (router, experts used, shared, head) + layers × 3 × sequence × heads × (nope + "
    "rope + v)";

// A prompt's forward pass: a third of that for each token, but the head and what follows attention in the last layer for its last row
// alone, as only its logits are wanted.
[[nodiscard]] double prefill_flops(const model::DeepseekV3Config& config, std::int64_t tokens);
// One new token of a stream of `depth` tokens, absorbed: 2 · (layers + head) + layers · 2 · depth · heads · (2 · kv_lora + rope).
[[nodiscard]] double decode_flops(const model::DeepseekV3Config& config, std::int64_t depth);
// The same, expanded: attention is layers · 2 · depth · heads · (nope + rope + value).
[[nodiscard]] double expanded_decode_flops(const model::DeepseekV3Config& config, std::int64_t depth);

// What one decode step must read from memory: the weights its rows use as bf16, or in blocks of 8 bits (the router's and its like as f32),
// once for all rows, and each stream's latent cache up to its depth. With n rows, experts · (1 − (1 − used/experts)ⁿ) experts of a layer
// are expected to be used.
[[nodiscard]] double decode_bytes(const model::DeepseekV3Config& config, model::WeightFormat format, std::int64_t streams,
                                  std::int64_t depth);

}  // namespace godwit::bench
