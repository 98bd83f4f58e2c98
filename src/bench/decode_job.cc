#include "bench/decode_job.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/clock.h"
#include "base/random.h"
#include "bench/op_table.h"
#include "bench/training_job.h"
#include "infer/engine.h"
#include "model/family.h"

namespace godwit::bench {

namespace {

constexpr std::int64_t new_tokens_max = 512;
constexpr std::size_t steps_least = 3;

}  // namespace

std::vector<std::int32_t> random_prompt(std::int64_t tokens, std::int64_t vocabulary, std::uint64_t seed) {
  const RandomStream random(seed, Purpose::test, 0);
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < tokens; ++i) {
    ids.push_back(static_cast<std::int32_t>(random.words(static_cast<std::uint64_t>(i))[0] % static_cast<std::uint64_t>(vocabulary)));
  }
  return ids;
}

void fill_random(const model::Model& model, std::size_t index, std::span<float> values) {
  const model::Parameter& parameter = model.parameters()[index];
  if (parameter.init != model::Parameter::Init::normal) {
    std::ranges::fill(values, parameter.init == model::Parameter::Init::one ? 1.0f : 0.0f);
    return;
  }
  const auto scale = static_cast<float>(model.initializer_range() * std::sqrt(3.0) * 0x1p-31);
  std::uint32_t word = static_cast<std::uint32_t>(index) * 0x9E3779B9 + 1;
  for (float& value : values) {
    word = word * 1664525 + 1013904223;
    value = static_cast<float>(static_cast<std::int32_t>(word)) * scale;
  }
}

Result<std::unique_ptr<DecodeModel>> DecodeModel::open(std::string_view preset, const device::DeviceOptions& options, program::Dtype dtype,
                                                       model::WeightFormat format) {
  TRY_ASSIGN(auto device, device::Device::open(options));
  TRY_ASSIGN(auto model, model::model_from_config(*model::find_family("deepseek_v3", "bench").value()->preset(preset), preset));
  TRY_ASSIGN(infer::Weights weights, infer::Weights::load(*device, *model, [&](std::size_t index, std::span<float> values) -> Result<void> {
               fill_random(*model, index, values);
               return {};
             }));
  auto opened = std::unique_ptr<DecodeModel>(new DecodeModel(std::move(device), std::move(model), std::move(weights)));
  opened->config_ = preset_config(preset);
  opened->dtype_ = dtype;
  opened->format_ = format;
  opened->profile_ = options.profile;
  return opened;
}

Result<DecodeModel::Figures> DecodeModel::prefill(Context& context, std::int64_t tokens, double seconds) {
  return measure(context, {fmt::format("prefill {} tokens", tokens), 1, tokens, 1, seconds});
}

Result<DecodeModel::Figures> DecodeModel::decode(Context& context, std::int64_t streams, std::int64_t depth, double seconds) {
  return measure(context, {fmt::format("decode {} stream{}, {} tokens deep and more", streams, streams == 1 ? "" : "s", depth), streams,
                           depth, new_tokens_max, seconds});
}

Result<DecodeModel::Load> DecodeModel::answer(Context& context, std::int64_t streams, std::int64_t requests, std::int64_t prompt,
                                              std::int64_t tokens) {
  context.options().say(fmt::format("{} answers, {} at once", requests, streams));
  const infer::EngineOptions options{
      .dtype = dtype_, .weights = format_, .streams = streams, .context = prompt + tokens, .prepare_all = true};
  TRY_ASSIGN(const auto engine, infer::Engine::create(*device_, *model_, weights_, options, std::nullopt));
  std::vector<infer::ServedRequest> all(static_cast<std::size_t>(requests));
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].request.prompt = random_prompt(prompt, config_.vocab_size, i);
    all[i].request.max_tokens = tokens;
  }
  const auto go_on = [&](const infer::ServedEvent&) { return context.check_interrupted(); };
  TRY(infer::answer_all(*engine, std::span(all).first(1), go_on));  // touches all memory
  const double begin = monotonic_seconds();
  TRY(infer::answer_all(*engine, all, go_on));
  return Load{.seconds = monotonic_seconds() - begin, .tokens = static_cast<double>(requests * (prompt + tokens))};
}

Result<DecodeModel::Figures> DecodeModel::measure(Context& context, const Job& job) {
  context.options().say(job.name);
  const bool prefill = job.max_tokens == 1;
  const infer::EngineOptions options{.dtype = dtype_,
                                     .weights = format_,
                                     .streams = job.streams,
                                     .context = job.prompt + job.max_tokens,
                                     .rows = prefill ? job.prompt : 512};
  TRY_ASSIGN(const auto engine, infer::Engine::create(*device_, *model_, weights_, options, std::nullopt));
  std::uint64_t ticket = 0;
  const auto submit = [&](std::int64_t count) -> Result<void> {
    for (std::int64_t i = 0; i < count; ++i) {
      infer::ServedRequest request;
      request.request.prompt = random_prompt(job.prompt, config_.vocab_size, static_cast<std::uint64_t>(i));
      request.request.max_tokens = job.max_tokens;
      TRY(engine->submit(ticket++, std::move(request)));
    }
    return {};
  };
  const auto timed_step = [&]() -> Result<double> {
    TRY(context.check_interrupted());
    if (prefill) TRY(submit(1));
    const double begin = monotonic_seconds();
    TRY(engine->step());
    return monotonic_seconds() - begin;
  };
  if (!prefill) {
    TRY(submit(job.streams));
    // Every prompt is in the cache before a step is timed. The streams taken up first are a few tokens further then.
    for (std::size_t answered = 0; answered < static_cast<std::size_t>(job.streams);) {
      TRY(context.check_interrupted());
      TRY_ASSIGN(const std::vector<infer::ServedEvent> events, engine->step());
      answered = events.size();
    }
  }
  TRY(timed_step());  // prepares the program and makes its copies of the weights
  std::vector<TimedProgram> before;
  if (profile_) {
    TRY_ASSIGN(before, timed_programs(engine->executables()));
  }
  std::vector<double> times;
  const double end = monotonic_seconds() + job.seconds;
  // No stream may end while others go on. Each has had a token more than the stream taken up after it.
  const std::int64_t steps_max = prefill ? std::numeric_limits<std::int64_t>::max() : job.max_tokens - job.streams - 2;
  while (static_cast<std::int64_t>(times.size()) < steps_max && (times.size() < steps_least || monotonic_seconds() < end)) {
    TRY_ASSIGN(const double seconds, timed_step());
    times.push_back(seconds);
  }
  Figures figures;
  figures.steps = static_cast<std::int64_t>(times.size());
  figures.depth = static_cast<double>(job.prompt) + (prefill ? 0.0 : static_cast<double>(times.size()) / 2 + 2);
  if (profile_) {
    TRY_ASSIGN(const std::vector<TimedProgram> timed, times_since(before, engine->executables()));
    const auto steps = static_cast<double>(times.size());
    figures.ops = group_ops(job.name, timed, steps, std::accumulate(times.begin(), times.end(), 0.0) / steps, context.ceilings());
  }
  figures.seconds = median(std::move(times));
  return figures;
}

}  // namespace godwit::bench
