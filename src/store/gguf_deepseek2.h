// A deepseek_v3 model in the words of llama.cpp's architecture "deepseek2".
#pragma once

#include <vector>

#include "base/error.h"
#include "store/gguf.h"
#include "store/model_source.h"

namespace godwit::store {

// The keys deepseek2.*. An input error names what llama.cpp would compute otherwise or cannot load at all.
[[nodiscard]] Result<std::vector<GgufKey>> deepseek2_keys(const ModelSource& source);

// All weights but an MTP layer's, in the model's order, experts stacked, kv_b_proj as attn_k_b (each head's keys transposed: [heads,
// latent, nope], as the absorbed query needs them) and attn_v_b [heads, value, latent]. Norms and routers are F32 whatever `type` says, and
// so is what `type` cannot hold: rows that are no whole blocks of Q8_0. One parameter is in memory at a time. The source must outlive the
// list.
[[nodiscard]] std::vector<GgufTensor> deepseek2_tensors(const ModelSource& source, GgufType type);

}  // namespace godwit::store
