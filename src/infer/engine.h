// The serving engine: answers many requests continuously over one paged cache of latents.
//
// Every row, of a prompt or of an answer, goes through one program, in the absorbed form, after the rows before it. So what a row computes
// is a function of (weights, dtype, the ids up to it) and of nothing else: not of how a prompt was cut into chunks, which rows were found
// in the cache and who computed them (a prompt or an earlier answer), who else is served, threads, or guesses that came true. An answer is
// a function of (weights, dtype, request); `godwit generate --decode absorbed` gives it again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "device/device.h"
#include "infer/generator.h"
#include "infer/grammar.h"
#include "infer/weights.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace godwit::infer {

struct ServedRequest {
  Request request;
  // Before sampling (OpenAI's formula), in binary32, term by term: logit[i] + bias[i] − frequency · count[i] − presence · (count[i] > 0),
  // counts over the answer so far. `logprobs` are of the distribution before all of it.
  double frequency_penalty = 0;
  double presence_penalty = 0;
  std::vector<std::pair<std::int32_t, float>> logit_bias;
  std::int64_t top_logprobs = 0;  // the likeliest ids to tell with every token
  // The prompt's ids from this one on, at least the second, are told as events of their own before the answer's. They are then computed,
  // not looked for in the cache.
  std::optional<std::int64_t> tell_prompt_from;
  // The prompt has opened thinking, which lasts up to and with this id. Stop strings, penalties' counts and the grammar begin after it.
  std::optional<std::int32_t> think_end;
  std::shared_ptr<const Grammar> grammar;
  // Cached rows are found again only by requests of the same owner (0: nobody's, never found), and owners take turns.
  std::uint64_t owner = 0;
  // The beginning of the answer, given before by an engine that died: taken as sampled, its events are not given again.
  std::vector<std::int32_t> given;
};

struct TopLogprob {
  std::int32_t id = 0;
  float logprob = 0;
};

// One new token, or one of the prompt.
struct ServedEvent {
  std::uint64_t ticket = 0;
  std::int32_t id = 0;
  float logprob = 0;
  std::vector<TopLogprob> top;  // the likeliest first
  std::string text;             // what became certain with it; special tokens are not shown
  bool thinking = false;        // id and text belong to the thinking
  bool prompt = false;          // id and log-probabilities are of the prompt; there is no text
  std::optional<Finish> finish;
  std::int64_t cached = 0;  // rows of the prompt that were found in the cache, or copied from others'
  double queued_s = 0;      // from submit() until it was taken up
};

struct EngineOptions {
  program::Dtype dtype = program::Dtype::f32;
  model::WeightFormat weights = model::WeightFormat::dtype;
  std::int64_t streams = 32;     // answered at once
  std::int64_t context = 0;      // prompt and answer together; 0: the model's
  std::int64_t cache_bytes = 0;  // of pages; 0: room for every stream's context, or what the memory leaves
  std::int64_t rows = 128;       // in one step, beside one (and its guesses) for every stream that is being answered
  std::int64_t guesses = 0;      // tokens guessed ahead by the MTP layer, which the weights then must hold
  // Prepares the programs of every size in create(), which lays the weights out once for each. Else the first run of a size waits for its
  // own: fractions of a second for a small model, in which every stream stands still.
  bool prepare_all = false;
};

// What is so, and what was since the beginning.
struct EngineFacts {
  std::int64_t waiting = 0, running = 0;   // requests
  std::int64_t pages = 0, pages_used = 0;  // used: by running requests
  std::int64_t pages_kept = 0;             // free to be taken, found again until then
  std::uint64_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;
  std::uint64_t guessed = 0, guessed_right = 0;
  std::uint64_t steps = 0;
};

// Device, model, weights must outlive it. Not thread-safe. After an error of step() it is in no known state: start anew, with `given`.
class Engine {
 public:
  virtual ~Engine() = default;
  // Refuses caches the memory cannot hold, with the figures.
  [[nodiscard]] static Result<std::unique_ptr<Engine>> create(device::Device& device, const model::Model& model, const Weights& weights,
                                                              const EngineOptions& options, std::optional<text::Tokenizer> tokenizer);

  // Queues it; tickets are the caller's, all different. Input errors as check() and for whatever could never be answered (more pages than
  // there are).
  [[nodiscard]] virtual Result<void> submit(std::uint64_t ticket, ServedRequest request) = 0;
  // No event of it follows; its pages are free at once. An unknown ticket is none's business.
  virtual void cancel(std::uint64_t ticket) = 0;
  [[nodiscard]] virtual bool idle() const = 0;
  // First a token for every stream that is being answered, and beside them chunks of waiting prompts, in one run of the program.
  [[nodiscard]] virtual Result<std::vector<ServedEvent>> step() = 0;
  [[nodiscard]] virtual EngineFacts facts() const = 0;
  // The programs prepared so far, for whoever reads their ops' times.
  [[nodiscard]] virtual std::vector<const device::Executable*> executables() const = 0;
};

// Submits all with tickets 0, 1, … and steps until they are answered; answers in the order of the requests. The engine is idle before.
// `on_event` sees every event; its error ends the whole as one of step() does.
[[nodiscard]] Result<std::vector<Answer>> answer_all(Engine& engine, std::span<const ServedRequest> requests,
                                                     const std::function<Result<void>(const ServedEvent&)>& on_event = {});

}  // namespace godwit::infer
