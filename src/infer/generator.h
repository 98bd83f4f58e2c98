// Answers prompts: many streams at once, each with its own options, through the model's prefill and decode programs.
//
// An answer is a function of (weights and their format, dtype, request). Which other streams run beside it, its slot, the size of the
// program that serves it, and threads do not enter, not by a bit. The log-probabilities are those of the training forward.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "device/device.h"
#include "infer/answer_text.h"
#include "infer/sampler.h"
#include "infer/weights.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace godwit::infer {

struct Request {
  std::vector<std::int32_t> prompt;
  std::int64_t max_tokens = 128;
  Sampling sampling;
  std::uint64_t seed = 0;
  std::uint64_t sample = 0;         // which of several answers to one prompt with one seed
  std::vector<std::string> stop;    // needs a tokenizer
  std::optional<std::int32_t> eos;  // ends the answer and is its last id
};

enum class Finish : std::uint8_t {
  stop,    // a stop string
  eos,     // the end token
  length,  // max_tokens
};
[[nodiscard]] std::string_view finish_name(Finish finish);

struct Answer {
  std::vector<std::int32_t> ids;  // all that were sampled
  std::vector<float> logprobs;    // of each, of the distribution before temperature and cuts: logit − log_sum_exp
  std::string text;               // empty without a tokenizer; ends before a stop string
  Finish finish = Finish::length;
};

// One new token of a stream.
struct Event {
  std::uint64_t ticket = 0;
  std::int32_t id = 0;
  float logprob = 0;
  std::string text;  // what became certain with it
  std::optional<Finish> finish;
};

struct GeneratorOptions {
  program::Dtype dtype = program::Dtype::f32;
  model::WeightFormat weights = model::WeightFormat::dtype;
  std::int64_t streams = 8;   // answered at once
  std::int64_t capacity = 0;  // prompt and answer together; at most the model's context
  // Prepared programs kept, one for each bucket of rows: each may hold bf16 and packed copies of the weights of its own.
  std::size_t programs = 6;
};

// Ids that are none of the model's, an empty prompt, prompt + max_tokens beyond `context`, options out of range: an input error with the
// figures, beginning with `name` ("prompt 2").
[[nodiscard]] Result<void> check(const Request& request, const model::Model& model, std::int64_t context, bool has_tokenizer,
                                 std::string_view name);

// How many streams to answer at once, at most `most` (0 < most), each of `capacity` positions: all, unless the model is so small that its
// weights stay in a processor's cache. Then no more than have their caches there too, for a step of fewer streams costs no more a stream.
[[nodiscard]] std::int64_t streams_at_once(const model::Model& model, program::Dtype dtype, std::int64_t capacity, std::int64_t most);

// Requests whose prompts are computed together, from the first on.
struct PrefillGroup {
  std::size_t requests = 0;
  std::int64_t rows = 0;     // of their prompts
  std::int64_t prompts = 0;  // computed
};
// Of requests with prompts of these lengths, where 0 says that the prompt is the one before: at most `places`, at most 64 prompts, and no
// more than 512 rows unless the first alone has more.
[[nodiscard]] PrefillGroup prefill_group(std::span<const std::int64_t> lengths, std::int64_t places);

// Rows of the program that takes `rows` rows, from `least` on, at most `most` (which holds them): the next power of two, above 128 the next
// quarter of one.
[[nodiscard]] std::int64_t bucket(std::int64_t rows, std::int64_t least, std::int64_t most);

// Device, model, weights must outlive it. Not thread-safe. After an error of step() the streams are in no known state: start anew.
class Generator {
 public:
  // Allocates the caches; refuses those the memory cannot hold.
  [[nodiscard]] static Result<std::unique_ptr<Generator>> create(device::Device& device, const model::Model& model, const Weights& weights,
                                                                 const GeneratorOptions& options, std::optional<text::Tokenizer> tokenizer);

  // Every program that a generator with such options may come to run, whatever it is asked.
  [[nodiscard]] static std::vector<program::Program> all_programs(const model::Model& model, const GeneratorOptions& options);

  // Queues a request and returns its ticket: 0, 1, 2, … Refuses as check() does, with `capacity` as the context.
  [[nodiscard]] Result<std::uint64_t> submit(Request request);
  [[nodiscard]] bool idle() const { return queue_.empty() && live_ == 0; }
  // Takes up as many queued requests as there is room for in one prefill; unless more could be taken up at once, then gives every other
  // live stream its next token: a step for many streams costs little more than one for few. An event per new token; by the stream's age
  // within prefill, by slot within decode.
  [[nodiscard]] Result<std::vector<Event>> step();

  // Submits all and steps until they are answered; answers in the order of the requests. `on_event` sees every event; its error ends the
  // whole as one of step() does.
  [[nodiscard]] Result<std::vector<Answer>> generate(std::span<const Request> requests,
                                                     const std::function<Result<void>(const Event&)>& on_event = {});

  // The weights have changed in place: call it before the next step. No stream may be live.
  [[nodiscard]] Result<void> weights_changed();
  // From now on these weights, of the same model; the same holds.
  [[nodiscard]] Result<void> use(const Weights& weights);
  // Gives up whatever is queued or live.
  void abandon();
  // The programs prepared so far, for whoever reads their ops' times.
  [[nodiscard]] std::vector<const device::Executable*> executables() const;

 private:
  struct Stream {
    std::uint64_t ticket = 0;
    Request request;
    std::optional<AnswerText> text;
    std::int32_t last = 0;       // sampled, not yet in the cache
    std::int64_t generated = 0;  // ids so far
  };
  struct Waiting {
    std::uint64_t ticket = 0;
    Request request;
  };
  // A tensor of the caches.
  struct Cache {
    std::int64_t offset = 0;
    std::int64_t position_bytes = 0;
  };
  struct Logits {
    std::vector<float> values, lse;
    std::size_t width = 0;
    [[nodiscard]] std::span<const float> row(std::size_t index) const { return std::span(values).subspan(index * width, width); }
  };
  using Key = std::pair<bool, std::int64_t>;  // prefill?, rows

  Generator(device::Device& device, const model::Model& model, const Weights& weights, const GeneratorOptions& options,
            std::optional<text::Tokenizer> tokenizer)
      : device_(device), model_(model), weights_(&weights), options_(options), tokenizer_(std::move(tokenizer)) {}

  [[nodiscard]] Result<void> allocate_caches();
  [[nodiscard]] static program::Program make_program(const model::Model& model, const GeneratorOptions& options, Key key);
  [[nodiscard]] Result<device::Executable*> executable(Key key);
  // Lengths of the first queued requests' prompts, as prefill_group wants them.
  [[nodiscard]] std::vector<std::int64_t> prompt_lengths() const;
  [[nodiscard]] Result<void> prefill(std::vector<Event>& events);
  // The first `count` positions of one stream's cache become another's.
  void copy_cache(std::size_t from, std::size_t to, std::int64_t count);
  [[nodiscard]] Result<void> decode(std::span<const std::size_t> slots, std::vector<Event>& events);
  // Runs it and reads its logits into logits_.
  [[nodiscard]] Result<void> run(device::Executable& executable);
  // Takes a token for the stream from its row of logits; frees the slot if that ends the answer.
  [[nodiscard]] Result<Event> take(std::size_t slot, std::span<const float> logits, float lse);

  device::Device& device_;
  const model::Model& model_;
  const Weights* weights_;
  GeneratorOptions options_;
  std::optional<text::Tokenizer> tokenizer_;
  device::Buffer caches_;
  std::map<std::string, Cache> cache_tensors_;
  std::list<std::pair<Key, device::Executable>> programs_;  // the latest used first
  Logits logits_;                                           // of the last run
  std::deque<Waiting> queue_;
  std::vector<std::optional<Stream>> streams_;  // by slot
  std::int64_t live_ = 0;
  std::uint64_t next_ticket_ = 0;
};

}  // namespace godwit::infer
