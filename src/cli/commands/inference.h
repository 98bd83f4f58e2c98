// What generate, eval and probe share: a model opened on a device.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "cli/common.h"
#include "device/device.h"
#include "infer/weights.h"
#include "program/tensor.h"
#include "store/model_source.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace godwit::cli {

// Addresses do not change while it lives: a Generator may refer to its parts.
struct OpenModel {
  store::ModelSource source;
  std::unique_ptr<device::Device> device;
  infer::Weights weights;
  program::Dtype dtype = program::Dtype::f32;
  model::WeightFormat format = model::WeightFormat::dtype;
  std::optional<text::Tokenizer> tokenizer;

  [[nodiscard]] const model::Model& model() const { return source.model(); }
};

// What --chat puts a question in.
inline Result<text::ChatFormat> chat_format(const text::Tokenizer& tokenizer) {
  const std::optional<text::ChatFormat> format = text::recognise_template(tokenizer.chat_template());
  if (format) return *format;
  return input_error("--chat: the model's chat template is {}; leave --chat out and write the prompt as the model expects it",
                     tokenizer.chat_template().empty() ? "missing" : "none of DeepSeek's");
}

inline Result<std::unique_ptr<OpenModel>> open_model(const std::string& name, const ComputeOptions& options) {
  TRY_ASSIGN(store::ModelSource source, store::ModelSource::open(name));
  TRY_ASSIGN(std::optional<text::Tokenizer> tokenizer, source.tokenizer());
  TRY_ASSIGN(std::unique_ptr<device::Device> device, open_device(options));
  TRY_ASSIGN(infer::Weights weights, infer::Weights::load(*device, source));
  const program::Dtype dtype = compute_dtype(options, source.dtype());
  return std::make_unique<OpenModel>(
      OpenModel{std::move(source), std::move(device), std::move(weights), dtype, weight_format(options), std::move(tokenizer)});
}

}  // namespace godwit::cli
