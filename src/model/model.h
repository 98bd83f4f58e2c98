// A model family describes: it parses and writes its config, names its weights, and emits programs. It never computes.
//
// Programs name their inputs, caches and outputs as the structs below say; whoever runs one finds them by `Program::find`.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "program/program.h"

namespace godwit::model {

// One logical tensor of a model's state, f32. The experts of a layer are one tensor, stacked along the first axis.
struct Parameter {
  std::string name;
  program::Shape shape;
  enum class Kind : std::uint8_t {
    trained,      // has a gradient and optimizer moments
    router_bias,  // moved by expert load, not by a gradient
  } kind = Kind::trained;
  bool matrix = false;  // has two dimensions (of one expert): weight_decay_on = "matrices" means these
  enum class Init : std::uint8_t { normal, one, zero } init = Init::normal;
  // Tensor names in a Hugging Face directory: one, or one per expert in order. Copies a file may hold beside them, equal to this one,
  // follow in `copies` (the embedding and head that an MTP layer repeats).
  std::vector<std::string> files;
  std::vector<std::string> copies;
  bool mtp = false;  // belongs to the multi-token prediction layer

  [[nodiscard]] bool stacked() const { return files.size() > 1 || shape.rank() == 3; }
};

// A tensor of known content that a program needs before its first run.
struct Constant {
  std::string name;
  std::vector<float> values;
};

// How the matrices that programs multiply by are held: in the compute dtype, or in blocks of 8 bits (the op mxint8). Either way embedding,
// norms and routers are f32.
enum class WeightFormat : std::uint8_t { dtype, q8 };

// Programs over `rows` token rows in at most `samples` samples. All of them have the inputs
//   ids, positions [rows] i32     samples [samples+1] i32
// and state tensors named after the parameters.
struct Batch {
  std::int64_t rows = 0;
  std::int64_t samples = 0;
  program::Dtype dtype = program::Dtype::f32;
  WeightFormat weights = WeightFormat::dtype;  // q8: without gradients
};

struct TrainingOptions {
  bool gradients = true;      // outputs grad.<parameter>
  bool mtp = false;           // adds the MTP layer's loss; the model must have one
  bool balance_loss = false;  // adds the sequence-wise balance loss of every MoE layer
  bool logits = false;        // outputs logits [rows, vocab_size]
  bool recompute = false;     // makes cheap forward results again in the backward part instead of keeping them
};

struct Decoding {
  std::int64_t rows = 0;      // token rows per run
  std::int64_t streams = 0;   // caches
  std::int64_t capacity = 0;  // positions per cache
  program::Dtype dtype = program::Dtype::f32;
  WeightFormat weights = WeightFormat::dtype;
};

// A cache of latents in pages that streams take as they grow.
struct Serving {
  std::int64_t rows = 0;     // token rows per run
  std::int64_t streams = 0;  // rows of the table
  std::int64_t blocks = 0;   // pages a stream can have
  std::int64_t pages = 0;
  std::int64_t page = 0;  // positions
  program::Dtype dtype = program::Dtype::f32;
  WeightFormat weights = WeightFormat::dtype;
};

class Model {
 public:
  virtual ~Model() = default;

  // config.json as godwit writes it: complete, in the spelling that transformers, vLLM and llama.cpp's converter all read.
  // `dtype` is the torch_dtype to state ("float32", "bfloat16").
  [[nodiscard]] virtual Json config_json(std::string_view dtype, bool with_mtp) const = 0;
  [[nodiscard]] virtual const std::vector<Parameter>& parameters() const = 0;  // the state list's order
  [[nodiscard]] virtual std::int64_t vocab_size() const = 0;
  [[nodiscard]] virtual std::int64_t context() const = 0;  // longest position + 1
  [[nodiscard]] virtual bool has_mtp() const = 0;
  [[nodiscard]] virtual std::int64_t moe_layers() const = 0;  // with the MTP layer's
  [[nodiscard]] virtual std::int64_t experts() const = 0;     // per MoE layer
  [[nodiscard]] virtual double initializer_range() const = 0;
  // Parameters multiplied per token, without embedding look-ups: total, and active for one token.
  [[nodiscard]] virtual std::int64_t parameter_count() const = 0;
  [[nodiscard]] virtual std::int64_t active_parameter_count() const = 0;

  // Loss and, if asked, gradients. Further inputs: labels [rows] i32 (outside [0, vocab_size): none), weights [rows] f32 (1 / labelled
  // predictions of the step, see docs/arithmetic.md); with mtp: mtp.ids, mtp.labels, mtp.weights; with balance_loss: balance.weight [1].
  // Outputs: loss [1], logprob [rows], mtp.loss [1], balance.loss [1] (summed over layers), counts.<k> [experts] i32 for MoE layer k,
  // logits, grad.*.
  [[nodiscard]] virtual program::Program training(const Batch& batch, const TrainingOptions& options) const = 0;

  // A prompt's rows at once, as in training, filling the caches. Further inputs: slots [rows] i32 (< 0: padding), last [samples] i32 (rows
  // whose logits are wanted; −1: none), last.samples [2] i32 = {0, how many of them}: these come first. State: caches. Outputs:
  // logits [samples, vocab_size], lse [samples].
  [[nodiscard]] virtual program::Program prefill(const Decoding& decoding, std::int64_t samples) const = 0;
  // One step of many streams: row r is the token at positions[r] of stream slots[r]. `samples` is [0, live rows]; padding rows come last.
  // Outputs: logits [rows, vocab_size], lse [rows].
  [[nodiscard]] virtual program::Program decode(const Decoding& decoding) const = 0;

  // Rows of prompts and of answers alike, absorbed: row r is the token at positions[r] of stream slots[r] (< 0: padding, which comes last;
  // `samples` is [0, live rows]), whose latent is written to pages[r] at offsets[r]; then it attends to positions 0 … positions[r], of
  // which block b lies in page table[slot, b]. What a row computes does not depend on the other rows of the run, if those before it in its
  // stream are in the cache or in the run. Further inputs: slots, pages, offsets [rows], table [streams, blocks], all i32. State: caches
  // [pages, page, ·]. Outputs: hidden [rows, hidden_size], behind the final norm.
  [[nodiscard]] virtual program::Program serving(const Serving& serving) const = 0;
  // The MTP layer over such rows, one token ahead: row r's id is the one behind positions[r], and source[r] i32 is the row of the further
  // input hidden [hidden_rows, hidden_size] that was computed at positions[r] (or guessed, for a guess behind a guess). It has a cache of
  // its own in the same pages. Output: guessed [rows, hidden_size], of which head makes logits of the id at positions[r] + 2.
  [[nodiscard]] virtual program::Program guessing(const Serving& serving, std::int64_t hidden_rows) const = 0;
  // Logits of the rows that are wanted: inputs hidden [hidden_rows, hidden_size], samples [2] (all of `last`), last [wanted] i32 (rows of
  // hidden; outside: zeros). Outputs: logits [wanted, vocab_size], lse [wanted].
  [[nodiscard]] virtual program::Program head(const Serving& serving, std::int64_t hidden_rows, std::int64_t wanted) const = 0;

  // Content for the constant tensors of any of these programs.
  [[nodiscard]] virtual std::vector<Constant> constants(const program::Program& program) const = 0;
};

// Fresh weights: normal numbers with the model's initializer_range, ones and zeros, as a pure function of (seed, parameter's place,
// element).
[[nodiscard]] std::vector<float> initial_values(const Model& model, std::size_t parameter, std::uint64_t seed);

}  // namespace godwit::model
