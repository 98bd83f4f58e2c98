#include "infer/score.h"

#include <algorithm>
#include <limits>

#include "base/json.h"
#include "infer/memory.h"

namespace godwit::infer {

namespace {

using model::Parameter;
using program::Program;
using program::TensorId;

// Rows of one evaluation pass: enough to keep matrix products busy.
constexpr std::int64_t evaluation_rows = 1024;

// The integer inputs and weights of a training program over windows of ids; every id but a window's last is a row, or, with `last_too`, the
// last as well, unlabelled.
struct Inputs {
  Inputs(std::int64_t rows, std::int64_t samples)
      : ids(static_cast<std::size_t>(rows), 0),
        positions(static_cast<std::size_t>(rows), 0),
        labels(static_cast<std::size_t>(rows), -1),
        offsets(static_cast<std::size_t>(samples) + 1, 0),
        weights(static_cast<std::size_t>(rows), 0.0f) {}

  void add(std::span<const std::int32_t> window, bool last_too, float weight) {
    const std::size_t predictions = window.size() - 1;
    for (std::size_t t = 0; t < predictions + (last_too ? 1 : 0); ++t, ++used) {
      ids[used] = window[t];
      positions[used] = static_cast<std::int32_t>(t);
      if (t == predictions) continue;
      labels[used] = window[t + 1];
      weights[used] = weight;
    }
    ++windows;
    std::fill(offsets.begin() + static_cast<std::ptrdiff_t>(windows), offsets.end(), static_cast<std::int32_t>(used));
  }

  Result<void> write_to(device::Executable& executable) const {
    const auto write = [&](const char* name, const auto& values) {
      return executable.write(executable.program().find(name), std::as_bytes(std::span(values)));
    };
    TRY(write("ids", ids));
    TRY(write("positions", positions));
    TRY(write("samples", offsets));
    TRY(write("labels", labels));
    return write("weights", weights);
  }

  std::vector<std::int32_t> ids, positions, labels, offsets;
  std::vector<float> weights;
  std::size_t used = 0;
  std::size_t windows = 0;
};

Result<device::Executable> prepare_checked(device::Device& device, const model::Model& model, const Weights& weights, Program program,
                                           std::string_view what, std::string_view way_out) {
  const program::MemoryPlan plan = program::plan_memory(program);
  std::int64_t state = 0;
  for (const program::Tensor& tensor : program.tensors) {
    if (tensor.role == program::Role::state) state += tensor.type.bytes();
  }
  // The outputs are read into host memory besides.
  TRY(check_memory(what, plan.arena_bytes + plan.persistent_bytes + 2 * (plan.bound_bytes - state), way_out));
  return prepare(device, model, weights, std::move(program));
}

Result<void> read_gradients(device::Executable& executable, const model::Model& model, std::vector<WeightGradient>& gradients) {
  for (const Parameter& p : model.parameters()) {
    const TensorId id = executable.program().find("grad." + p.name);
    if (id == TensorId::none) continue;
    TRY_ASSIGN(const std::vector<float> values, executable.read<float>(id));
    std::vector<std::uint64_t> shape;
    for (int axis = p.stacked() ? 1 : 0; axis < p.shape.rank(); ++axis) shape.push_back(static_cast<std::uint64_t>(p.shape[axis]));
    const std::size_t each = values.size() / p.files.size();
    for (std::size_t f = 0; f < p.files.size(); ++f) {
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(f * each);
      gradients.push_back({p.files[f], shape, std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(each))});
    }
  }
  return {};
}

}  // namespace

Result<IdRows> parse_id_rows(std::string_view json, std::string_view name) {
  TRY_ASSIGN(const Json document, parse_json(json, name));
  if (!document.is_array() || document.empty()) return input_error("{}: rows of token ids are wanted, like [[5,9,2],[7,1]]", name);
  IdRows rows;
  for (std::size_t r = 0; r < document.size(); ++r) {
    if (!document[r].is_array())
      return input_error("{}: row {} is {}, not a list of token ids", name, r, write_json(document[r]).substr(0, 40));
    if (document[r].empty()) return input_error("{}: row {} is empty; a row needs at least one id", name, r);
    std::vector<std::int32_t> row;
    for (const Json& id : document[r]) {
      constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
      const bool fits = id.is_number_unsigned()
                            ? id.get<std::uint64_t>() <= most
                            : id.is_number_integer() && id.get<std::int64_t>() >= -most && id.get<std::int64_t>() <= most;
      if (!fits) return input_error("{}: row {} holds {}, which is no token id", name, r, write_json(id).substr(0, 40));
      row.push_back(id.get<std::int32_t>());
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<void> check_probe_rows(const IdRows& rows, const model::Model& model, bool gradients, std::string_view name) {
  const std::size_t length = rows.front().size();
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].size() != length) {
      return input_error("{}: row {} has {} ids, row 0 has {}; probe's rows have one length", name, r, rows[r].size(), length);
    }
    for (std::size_t t = 0; t < length; ++t) {
      if (rows[r][t] < 0 || rows[r][t] >= model.vocab_size()) {
        return input_error("{}: row {}: id {} at place {} is outside the model's vocabulary of {} (0 … {})", name, r, rows[r][t], t,
                           model.vocab_size(), model.vocab_size() - 1);
      }
    }
  }
  if (static_cast<std::int64_t>(length) > model.context()) {
    return input_error("{}: the rows have {} ids, the model's context is {}", name, length, model.context());
  }
  if (gradients && length < 2) return input_error("{}: the rows have 1 id; gradients need at least 2, so that one is predicted", name);
  return {};
}

Result<Probe> probe(device::Device& device, const model::Model& model, const Weights& weights, const IdRows& rows,
                    const ProbeOptions& options) {
  Probe result;
  result.B = static_cast<std::int64_t>(rows.size());
  result.T = static_cast<std::int64_t>(rows.front().size());
  result.V = model.vocab_size();
  // A loss over all rows needs them in one pass; logits do not, and one row at a time needs the least memory.
  const std::int64_t together = options.gradients ? result.B : 1;
  TRY(check_memory(fmt::format("logits of {} x {} ids x {}", result.B, result.T, result.V),
                   result.B * result.T * result.V * static_cast<std::int64_t>(sizeof(float)), "probe fewer rows"));
  Program program = model.training({together * result.T, together, options.dtype}, {.gradients = options.gradients, .logits = true});
  TRY_ASSIGN(device::Executable executable,
             prepare_checked(device, model, weights, std::move(program), fmt::format("probing {} x {} ids", together, result.T),
                             "probe fewer or shorter rows"));
  const auto find = [&](const char* name) { return executable.program().find(name); };
  const float weight = result.T > 1 ? 1.0f / static_cast<float>(result.B * (result.T - 1)) : 0.0f;
  for (std::size_t begin = 0; begin < rows.size(); begin += static_cast<std::size_t>(together)) {
    Inputs inputs(together * result.T, together);
    for (std::size_t r = begin; r < begin + static_cast<std::size_t>(together); ++r) inputs.add(rows[r], true, weight);
    TRY(inputs.write_to(executable));
    TRY(executable.run());
    TRY_ASSIGN(const std::vector<float> logits, executable.read<float>(find("logits")));
    result.logits.insert(result.logits.end(), logits.begin(), logits.end());
    TRY_ASSIGN(const std::vector<float> logprobs, executable.read<float>(find("logprob")));
    for (std::size_t row = 0; row < logprobs.size(); ++row) {
      if (inputs.labels[row] >= 0) result.logprobs.push_back(logprobs[row]);
    }
  }
  if (!options.gradients) return result;
  TRY_ASSIGN(const std::vector<float> loss, executable.read<float>(find("loss")));
  result.loss = loss[0];
  TRY(read_gradients(executable, model, result.gradients));
  return result;
}

Result<Evaluation> evaluate_text(device::Device& device, const model::Model& model, const Weights& weights,
                                 const text::Tokenizer& tokenizer, std::string_view text, std::string_view name,
                                 const EvaluateOptions& options) {
  CHECK(options.sequence > 0 && options.sequence <= model.context(), "windows of {}, context {}", options.sequence, model.context());
  TRY_ASSIGN(const std::vector<std::int32_t> ids, tokenizer.encode(text));
  if (ids.size() < 2) {
    return input_error("{}: {} bytes of text give {} tokens; at least 2 are needed, so that one is predicted", name, text.size(),
                       ids.size());
  }
  for (const std::int32_t id : ids) {
    if (id >= model.vocab_size()) {
      return input_error("{}: the tokenizer gives id {}, the model's vocabulary has {}", name, id, model.vocab_size());
    }
  }
  const auto sequence = std::min(static_cast<std::size_t>(options.sequence), ids.size() - 1);
  const std::size_t windows = (ids.size() - 1 + sequence - 1) / sequence;
  const std::size_t together = std::clamp(static_cast<std::size_t>(evaluation_rows) / sequence, std::size_t{1}, windows);
  const auto samples = static_cast<std::int64_t>(together);
  const std::int64_t rows = samples * static_cast<std::int64_t>(sequence);
  TRY_ASSIGN(device::Executable executable,
             prepare_checked(device, model, weights, model.training({rows, samples, options.dtype, options.weights}, {.gradients = false}),
                             fmt::format("windows of {} tokens", sequence), "take a smaller --sequence"));
  const TensorId logprob = executable.program().find("logprob");

  Evaluation result;
  double sum = 0;
  std::size_t bytes = 0;
  for (std::size_t begin = 0; begin < windows; begin += together) {
    Inputs inputs(rows, samples);
    for (std::size_t w = begin; w < std::min(begin + together, windows); ++w) {
      const std::size_t first = w * sequence;
      inputs.add(std::span(ids).subspan(first, std::min(sequence + 1, ids.size() - first)), false, 1.0f);
    }
    TRY(inputs.write_to(executable));
    TRY(executable.run());
    TRY_ASSIGN(const std::vector<float> logprobs, executable.read<float>(logprob));
    for (std::size_t row = 0; row < inputs.used; ++row) {
      sum -= static_cast<double>(logprobs[row]);
      bytes += tokenizer.token_bytes(inputs.labels[row]).size();
    }
    result.tokens += static_cast<std::int64_t>(inputs.used);
    if (options.progress) TRY(options.progress(static_cast<double>(result.tokens) / static_cast<double>(ids.size() - 1)));
  }
  result.loss = sum / static_cast<double>(result.tokens);
  result.nats_per_byte = bytes > 0 ? sum / static_cast<double>(bytes) : 0;
  return result;
}

}  // namespace godwit::infer
