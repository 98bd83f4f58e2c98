#include "infer/generator.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "infer/memory.h"

namespace godwit::infer {

namespace {

using program::Program;
using program::Role;
using program::TensorId;

constexpr std::int64_t prefill_rows_least = 16;
// Beyond this many rows a product of matrices gains nothing from more of them.
constexpr std::int64_t prefill_rows_shared = 512;
// A prefill program gives the logits of one row in so many: what follows the last layer's attention is computed for these alone.
constexpr std::int64_t prefill_rows_per_prompt = 8;
// From here on a quarter more rows are worth a program of their own.
constexpr std::int64_t fine_bucket_rows = 128;
// Of a model's weights, and of the caches of its streams: what a core finds in the cache it shares with others.
constexpr std::int64_t quick_bytes = std::int64_t{4} << 20;
// Fewer streams than these make products slower.
constexpr std::int64_t quick_streams_least = 64, quick_streams_step = 32;

Result<void> write(device::Executable& executable, const char* name, const std::vector<std::int32_t>& values) {
  return executable.write(executable.program().find(name), std::span<const std::int32_t>(values));
}

// Prompts that a prefill program of so many rows takes.
std::int64_t prefill_samples(std::int64_t rows, std::int64_t streams) {
  return std::clamp<std::int64_t>(rows / prefill_rows_per_prompt, 1, streams);
}

// The integer inputs of a prefill or decode run, padding everywhere.
struct Rows {
  Rows(std::int64_t rows, std::int64_t samples)
      : ids(static_cast<std::size_t>(rows), 0),
        positions(static_cast<std::size_t>(rows), 0),
        slots(static_cast<std::size_t>(rows), -1),
        offsets(static_cast<std::size_t>(samples) + 1, 0),
        last(static_cast<std::size_t>(samples), -1) {}

  void add(std::int32_t id, std::int64_t position, std::size_t slot) {
    ids[used] = id;
    positions[used] = static_cast<std::int32_t>(position);
    slots[used] = static_cast<std::int32_t>(slot);
    ++used;
  }

  // Ends the sample that the rows since the last one make.
  void end_sample() {
    last[ended++] = static_cast<std::int32_t>(used) - 1;
    std::fill(offsets.begin() + static_cast<std::ptrdiff_t>(ended), offsets.end(), static_cast<std::int32_t>(used));
  }

  Result<void> write_to(device::Executable& executable, bool with_last) const {
    TRY(write(executable, "ids", ids));
    TRY(write(executable, "positions", positions));
    TRY(write(executable, "slots", slots));
    TRY(write(executable, "samples", offsets));
    if (!with_last) return {};
    TRY(write(executable, "last", last));
    return write(executable, "last.samples", {0, static_cast<std::int32_t>(ended)});
  }

  std::vector<std::int32_t> ids, positions, slots, offsets, last;
  std::size_t used = 0;
  std::size_t ended = 0;  // samples
};

}  // namespace

std::string_view finish_name(Finish finish) {
  switch (finish) {
    case Finish::stop:
      return "stop";
    case Finish::eos:
      return "eos";
    case Finish::length:
      return "length";
  }
  return "";
}

Result<void> check(const Request& request, const model::Model& model, std::int64_t context, bool has_tokenizer, std::string_view name) {
  if (request.prompt.empty()) return input_error("{} is empty; an answer needs at least one id to follow", name);
  for (std::size_t i = 0; i < request.prompt.size(); ++i) {
    const std::int32_t id = request.prompt[i];
    if (id < 0 || id >= model.vocab_size()) {
      return input_error("{}: id {} at place {} is outside the model's vocabulary of {} (0 … {})", name, id, i, model.vocab_size(),
                         model.vocab_size() - 1);
    }
  }
  if (request.max_tokens < 1) return input_error("{}: max_tokens is {}; it must be at least 1", name, request.max_tokens);
  const auto prompt = static_cast<std::int64_t>(request.prompt.size());
  if (prompt > context || request.max_tokens > context - prompt) {
    return input_error("{}: {} prompt tokens and {} new ones do not fit the context of {}; ask for fewer or shorten the prompt", name,
                       prompt, request.max_tokens, context);
  }
  if (!has_tokenizer && !request.stop.empty()) return input_error("{}: stop strings need a tokenizer, and the model has none", name);
  TRY(check_stop_strings(request.stop));
  return check(request.sampling);
}

std::int64_t streams_at_once(const model::Model& model, program::Dtype dtype, std::int64_t capacity, std::int64_t most) {
  const Program program = model.decode({1, 1, capacity, dtype, model::WeightFormat::dtype});
  std::int64_t weights = 0, caches = 0;
  for (const program::Tensor& tensor : program.tensors) {
    if (tensor.role == Role::state) (tensor.name.starts_with("cache.") ? caches : weights) += tensor.type.bytes();
  }
  if (weights > quick_bytes) return most;
  return std::min(most, std::max(quick_bytes / caches / quick_streams_step * quick_streams_step, quick_streams_least));
}

PrefillGroup prefill_group(std::span<const std::int64_t> lengths, std::int64_t places) {
  PrefillGroup group;
  for (const std::int64_t length : lengths.first(std::min(lengths.size(), static_cast<std::size_t>(places)))) {
    const std::int64_t rows = group.rows + length;
    const std::int64_t prompts = group.prompts + (length > 0 ? 1 : 0);
    const bool fits = rows <= prefill_rows_shared && prompts <= prefill_rows_shared / prefill_rows_per_prompt;
    if (group.requests > 0 && !fits) break;
    group = {group.requests + 1, rows, prompts};
  }
  return group;
}

std::int64_t bucket(std::int64_t rows, std::int64_t least, std::int64_t most) {
  const auto power = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(std::max(rows, least))));
  if (power <= fine_bucket_rows) return std::min(power, most);
  const std::int64_t quarter = power / 8;  // of the power before
  return std::min((std::max(rows, least) + quarter - 1) / quarter * quarter, most);
}

Result<std::unique_ptr<Generator>> Generator::create(device::Device& device, const model::Model& model, const Weights& weights,
                                                     const GeneratorOptions& options, std::optional<text::Tokenizer> tokenizer) {
  CHECK(options.streams > 0 && options.capacity > 0 && options.capacity <= model.context(), "{} streams of {} positions, context {}",
        options.streams, options.capacity, model.context());
  auto generator = std::unique_ptr<Generator>(new Generator(device, model, weights, options, std::move(tokenizer)));
  TRY(generator->allocate_caches());
  generator->streams_.resize(static_cast<std::size_t>(options.streams));
  return generator;
}

Result<void> Generator::allocate_caches() {
  std::int64_t bytes = 0;
  const Program program = make_program(model_, options_, {false, 1});
  for (const program::Tensor& tensor : program.tensors) {
    if (tensor.role != Role::state || !tensor.name.starts_with("cache.")) continue;
    cache_tensors_.emplace(tensor.name, Cache{bytes, tensor.type.bytes() / (options_.streams * options_.capacity)});
    bytes += device::aligned(tensor.type.bytes());
  }
  TRY(check_memory(fmt::format("the caches of {} streams of {} positions", options_.streams, options_.capacity), bytes,
                   "ask for fewer tokens, or decode absorbed"));
  TRY_ASSIGN(caches_, device_.allocate(bytes));
  return {};
}

Program Generator::make_program(const model::Model& model, const GeneratorOptions& options, Key key) {
  const model::Decoding decoding{key.second, options.streams, options.capacity, options.dtype, options.weights};
  return key.first ? model.prefill(decoding, prefill_samples(key.second, options.streams)) : model.decode(decoding);
}

std::vector<Program> Generator::all_programs(const model::Model& model, const GeneratorOptions& options) {
  std::vector<Program> all;
  const auto each_size = [&](bool prefill, std::int64_t least, std::int64_t most) {
    for (std::int64_t rows = 1; rows <= most;) {
      const std::int64_t size = bucket(rows, least, most);
      all.push_back(make_program(model, options, {prefill, size}));
      rows = size + 1;
    }
  };
  each_size(true, prefill_rows_least, std::max(options.capacity, prefill_rows_shared));
  each_size(false, 1, options.streams);
  return all;
}

Result<device::Executable*> Generator::executable(Key key) {
  const auto known = std::find_if(programs_.begin(), programs_.end(), [&](const auto& entry) { return entry.first == key; });
  if (known != programs_.end()) {
    programs_.splice(programs_.begin(), programs_, known);
    return &programs_.front().second;
  }
  if (programs_.size() >= options_.programs) programs_.pop_back();
  TRY_ASSIGN(device::Executable made, prepare(device_, model_, *weights_, make_program(model_, options_, key), [&](device::Executable& executable) {
               for (const auto& [name, cache] : cache_tensors_) executable.bind(executable.program().find(name), caches_, cache.offset);
             }));
  programs_.emplace_front(key, std::move(made));
  return &programs_.front().second;
}

Result<void> Generator::weights_changed() {
  CHECK(live_ == 0, "the weights changed under {} live streams", live_);
  for (auto& entry : programs_) TRY(entry.second.refresh());
  return {};
}

Result<void> Generator::use(const Weights& weights) {
  weights_ = &weights;
  for (auto& entry : programs_) weights.bind(entry.second);
  return weights_changed();
}

void Generator::abandon() {
  queue_.clear();
  for (std::optional<Stream>& stream : streams_) stream.reset();
  live_ = 0;
}

std::vector<const device::Executable*> Generator::executables() const {
  std::vector<const device::Executable*> all;
  for (const auto& entry : programs_) all.push_back(&entry.second);
  return all;
}

Result<std::uint64_t> Generator::submit(Request request) {
  TRY(check(request, model_, options_.capacity, tokenizer_.has_value(), fmt::format("prompt {}", next_ticket_)));
  queue_.push_back({next_ticket_, std::move(request)});
  return next_ticket_++;
}

Result<std::vector<Event>> Generator::step() {
  std::vector<Event> events;
  std::vector<std::size_t> running;
  for (std::size_t slot = 0; slot < streams_.size(); ++slot) {
    if (streams_[slot]) running.push_back(slot);
  }
  const auto more = [&] { return !queue_.empty() && live_ < options_.streams; };
  if (more()) TRY(prefill(events));
  if (!running.empty() && !more()) TRY(decode(running, events));
  return events;
}

std::vector<std::int64_t> Generator::prompt_lengths() const {
  const bool shares = caches_.host() != nullptr;  // several answers to one prompt: it is computed once, its cache copied by the host
  const std::size_t count = std::min(queue_.size(), static_cast<std::size_t>(options_.streams - live_));
  std::vector<std::int64_t> lengths;
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<std::int32_t>& prompt = queue_[i].request.prompt;
    const bool again = shares && i > 0 && prompt == queue_[i - 1].request.prompt;
    lengths.push_back(again ? 0 : static_cast<std::int64_t>(prompt.size()));
  }
  return lengths;
}

Result<void> Generator::prefill(std::vector<Event>& events) {
  const std::vector<std::int64_t> lengths = prompt_lengths();
  const PrefillGroup group = prefill_group(lengths, options_.streams - live_);
  const std::int64_t program_rows = bucket(std::max(group.rows, group.prompts * prefill_rows_per_prompt), prefill_rows_least,
                                           std::max(options_.capacity, prefill_rows_shared));
  Rows rows(program_rows, prefill_samples(program_rows, options_.streams));
  struct Taken {
    std::size_t slot;
    std::size_t computed;  // the slot whose cache is filled with its prompt
    std::size_t sample;
  };
  std::vector<Taken> taken;
  std::size_t slot = 0;
  for (std::size_t i = 0; i < group.requests; ++i) {
    while (streams_[slot]) ++slot;
    Waiting waiting = std::move(queue_.front());
    queue_.pop_front();
    if (lengths[i] > 0) {
      const std::vector<std::int32_t>& prompt = waiting.request.prompt;
      for (std::size_t t = 0; t < prompt.size(); ++t) rows.add(prompt[t], static_cast<std::int64_t>(t), slot);
      rows.end_sample();
    }
    taken.push_back({slot, lengths[i] > 0 ? slot : taken.back().computed, rows.ended - 1});
    Stream stream{waiting.ticket, std::move(waiting.request), std::nullopt};
    if (tokenizer_) stream.text.emplace(*tokenizer_, stream.request.stop);
    streams_[slot] = std::move(stream);
    ++live_;
  }
  TRY_ASSIGN(device::Executable* const program, executable({true, program_rows}));
  TRY(rows.write_to(*program, true));
  TRY(run(*program));
  for (const Taken& t : taken) {
    if (t.computed != t.slot) copy_cache(t.computed, t.slot, static_cast<std::int64_t>(streams_[t.slot]->request.prompt.size()));
  }
  for (const Taken& t : taken) {
    TRY_ASSIGN(Event event, take(t.slot, logits_.row(t.sample), logits_.lse[t.sample]));
    events.push_back(std::move(event));
  }
  return {};
}

void Generator::copy_cache(std::size_t from, std::size_t to, std::int64_t count) {
  for (const auto& entry : cache_tensors_) {
    const auto& cache = entry.second;
    const auto at = [&](std::size_t slot) {
      return caches_.host() + cache.offset + static_cast<std::int64_t>(slot) * options_.capacity * cache.position_bytes;
    };
    std::memcpy(at(to), at(from), static_cast<std::size_t>(count * cache.position_bytes));
  }
}

Result<void> Generator::run(device::Executable& executable) {
  TRY(executable.run());
  const auto read = [&](const char* name, std::vector<float>& values) -> Result<std::size_t> {
    const TensorId id = executable.program().find(name);
    const program::TensorType& type = executable.program().tensor(id).type;
    values.resize(static_cast<std::size_t>(type.shape.count()));
    TRY(executable.read(id, std::as_writable_bytes(std::span(values))));
    return static_cast<std::size_t>(type.shape.width());
  };
  TRY_ASSIGN(logits_.width, read("logits", logits_.values));
  TRY(read("lse", logits_.lse));
  return {};
}

Result<void> Generator::decode(std::span<const std::size_t> slots, std::vector<Event>& events) {
  Rows rows(bucket(static_cast<std::int64_t>(slots.size()), 1, options_.streams), 1);
  for (const std::size_t slot : slots) {
    const Stream& stream = *streams_[slot];
    rows.add(stream.last, static_cast<std::int64_t>(stream.request.prompt.size()) + stream.generated - 1, slot);
  }
  rows.offsets[1] = static_cast<std::int32_t>(slots.size());
  TRY_ASSIGN(device::Executable* const program, executable({false, static_cast<std::int64_t>(rows.ids.size())}));
  TRY(rows.write_to(*program, false));
  TRY(run(*program));
  for (std::size_t r = 0; r < slots.size(); ++r) {
    TRY_ASSIGN(Event event, take(slots[r], logits_.row(r), logits_.lse[r]));
    events.push_back(std::move(event));
  }
  return {};
}

Result<Event> Generator::take(std::size_t slot, std::span<const float> logits, float lse) {
  Stream& stream = *streams_[slot];
  const Request& request = stream.request;
  if (!std::isfinite(lse)) {
    return world_error("prompt {}: the logits of new token {} are not finite (log_sum_exp {}); the weights are damaged or diverged",
                       stream.ticket, stream.generated, lse);
  }
  Event event;
  event.ticket = stream.ticket;
  event.id = choose(logits, request.sampling, draw(request.seed, request.sample, static_cast<std::uint64_t>(stream.generated)));
  event.logprob = logits[static_cast<std::size_t>(event.id)] - lse;
  stream.last = event.id;
  ++stream.generated;
  bool stopped = false;
  if (stream.text) {
    AnswerText::Piece piece = stream.text->push(event.id);
    event.text = std::move(piece.text);
    stopped = piece.stopped;
  }
  if (stopped) {
    event.finish = Finish::stop;
  } else if (request.eos == event.id) {
    event.finish = Finish::eos;
  } else if (stream.generated == request.max_tokens) {
    event.finish = Finish::length;
  }
  if (event.finish) {
    if (stream.text && !stopped) event.text += stream.text->finish();
    streams_[slot].reset();
    --live_;
  }
  return event;
}

Result<std::vector<Answer>> Generator::generate(std::span<const Request> requests,
                                                const std::function<Result<void>(const Event&)>& on_event) {
  CHECK(idle(), "other requests are being answered");
  const std::uint64_t first = next_ticket_;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    TRY(check(requests[i], model_, options_.capacity, tokenizer_.has_value(), fmt::format("prompt {}", i)));
  }
  for (const Request& request : requests) TRY(submit(request));
  std::vector<Answer> answers(requests.size());
  while (!idle()) {
    TRY_ASSIGN(const std::vector<Event> events, step());
    for (const Event& event : events) {
      if (on_event) TRY(on_event(event));
      Answer& answer = answers[static_cast<std::size_t>(event.ticket - first)];
      answer.ids.push_back(event.id);
      answer.logprobs.push_back(event.logprob);
      answer.text += event.text;
      if (event.finish) answer.finish = *event.finish;
    }
  }
  return answers;
}

}  // namespace godwit::infer
