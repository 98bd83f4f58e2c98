// What the model says about given ids: logits, log-probabilities, gradients. Runs the training program, so these are training's bits.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "device/device.h"
#include "infer/weights.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace godwit::infer {

using IdRows = std::vector<std::vector<std::int32_t>>;

// FILE.json of `probe` and `generate --ids`: rows of token ids, [[5,9,2],[…]]. At least one row, each at least one id that fits i32; errors
// begin with `name`.
[[nodiscard]] Result<IdRows> parse_id_rows(std::string_view json, std::string_view name);

// Ids inside the vocabulary, all rows of one length, at most the context; with gradients at least two ids. Else an input error that begins
// with `name` and gives both values.
[[nodiscard]] Result<void> check_probe_rows(const IdRows& rows, const model::Model& model, bool gradients, std::string_view name);

struct ProbeOptions {
  program::Dtype dtype = program::Dtype::f32;
  bool gradients = false;
};

// The gradient of one tensor of a Hugging Face directory (an expert's matrix is one).
struct WeightGradient {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::vector<float> values;
};

// B rows of T ids, V logits each.
struct Probe {
  std::int64_t B = 0, T = 0, V = 0;
  std::vector<float> logits;    // [B, T, V]
  std::vector<float> logprobs;  // [B, T-1], of the next id: logit − log_sum_exp
  // With gradients: the mean over the B·(T-1) predictions and what it says about every trained weight, the MTP layer's excepted.
  std::optional<float> loss;
  std::vector<WeightGradient> gradients;
};

// `rows` passed check_probe_rows. Refuses what the memory cannot hold.
[[nodiscard]] Result<Probe> probe(device::Device& device, const model::Model& model, const Weights& weights, const IdRows& rows,
                                  const ProbeOptions& options);

struct EvaluateOptions {
  program::Dtype dtype = program::Dtype::f32;
  model::WeightFormat weights = model::WeightFormat::dtype;
  std::int64_t sequence = 256;                              // predictions a window holds; at most the context
  std::function<Result<void>(double share)> progress = {};  // may be empty; its error ends the evaluation
};

struct Evaluation {
  double loss = 0;           // nats per predicted token
  double nats_per_byte = 0;  // over the bytes of the predicted tokens
  std::int64_t tokens = 0;   // predicted: all but the text's first
};

// Cuts the text's ids as training does: no BOS in front, windows of `sequence` predictions one after another, each seeing its own ids only,
// the last perhaps shorter. Sums are fp64 chains in the order of the text. A text of fewer than two tokens, or with ids the model does not
// have, is an input error that begins with `name`.
[[nodiscard]] Result<Evaluation> evaluate_text(device::Device& device, const model::Model& model, const Weights& weights,
                                               const text::Tokenizer& tokenizer, std::string_view text, std::string_view name,
                                               const EvaluateOptions& options);

}  // namespace godwit::infer
