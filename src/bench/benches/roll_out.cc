// Many short answers of a very small model, as reinforcement learning asks for them: against the arithmetic peak.
#include <algorithm>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "bench/bench.h"
#include "bench/decode_job.h"
#include "bench/flops.h"
#include "bench/training_job.h"
#include "infer/generator.h"
#include "model/family.h"

namespace godwit::bench {

extern const Bench roll_out;

namespace {

constexpr std::int64_t streams = 512;
constexpr std::int64_t prompt_tokens = 17;
constexpr std::int64_t new_tokens = 20;
constexpr double seconds_each = 5;

// The model of examples/parity: nano with two layers.
Json parity_config() {
  Json config = *model::find_family("deepseek_v3", "bench").value()->preset("nano");
  config["num_hidden_layers"] = 2;
  config["max_position_embeddings"] = 64;
  config["rope_theta"] = 100.0;
  config["initializer_range"] = 0.1;
  return config;
}

// `group` answers to each prompt.
std::vector<infer::Request> make_requests(std::int64_t group, std::int64_t vocabulary) {
  std::vector<infer::Request> requests;
  for (std::int64_t i = 0; i < streams; ++i) {
    infer::Request request;
    request.prompt = random_prompt(prompt_tokens, vocabulary, static_cast<std::uint64_t>(i / group));
    request.max_tokens = new_tokens;
    request.sampling.temperature = 1;
    request.sample = static_cast<std::uint64_t>(i % group);
    requests.push_back(std::move(request));
  }
  return requests;
}

struct Job {
  std::string_view name;
  std::int64_t group;
};

// Seconds of each time all requests were answered, after the first.
Result<std::vector<double>> measure(Context& context, infer::Generator& generator, std::span<const infer::Request> requests) {
  TRY(generator.generate(requests));  // prepares the programs and makes their copies of the weights
  std::vector<double> times;
  const double end = monotonic_seconds() + seconds_each;
  while (times.empty() || monotonic_seconds() < end) {
    TRY(context.check_interrupted());
    const double begin = monotonic_seconds();
    TRY(generator.generate(requests));
    times.push_back(monotonic_seconds() - begin);
  }
  return times;
}

Result<Report> run(Context& context) {
  Report report;
  TRY_ASSIGN(const auto device, device::Device::open(context.options().device));
  const Json json = parity_config();
  TRY_ASSIGN(const auto model, model::model_from_config(json, "parity"));
  const model::DeepseekV3Config config = model::parse_deepseek_v3(json, "parity").value();
  TRY_ASSIGN(const infer::Weights weights,
             infer::Weights::load(*device, *model, [&](std::size_t index, std::span<float> values) -> Result<void> {
               fill_random(*model, index, values);
               return {};
             }));
  const infer::GeneratorOptions options{.streams = streams, .capacity = prompt_tokens + new_tokens, .programs = 24};
  for (const Job& job : {Job{"alone", 1}, Job{"groups", 8}}) {
    if (!context.wants(job.name, "f32")) continue;
    context.options().say(fmt::format("{} answers, {} to a prompt", streams, job.group));
    const auto requests = make_requests(job.group, config.vocab_size);
    double best = 0;
    std::size_t times = 0;
    for (int round = 0; round < context.options().rounds; ++round) {
      TRY_ASSIGN(const auto generator, infer::Generator::create(*device, *model, weights, options, std::nullopt));
      TRY_ASSIGN(std::vector<double> seconds, measure(context, *generator, requests));
      times = seconds.size();
      best = std::max(best, static_cast<double>(streams * new_tokens) / median(std::move(seconds)));
    }
    // Every prompt is read once; the last new token of an answer is never read.
    double flops = prefill_flops(config, prompt_tokens) / static_cast<double>(job.group);
    for (std::int64_t i = 0; i + 1 < new_tokens; ++i) flops += expanded_decode_flops(config, prompt_tokens + i + 1);
    const double token_flops = flops / static_cast<double>(new_tokens);
    report.rows.push_back({.job = job.group == 1 ? fmt::format("{} prompts", streams)
                                                 : fmt::format("{} prompts, {} answers each", streams / job.group, job.group),
                           .value = best,
                           .unit = "tokens/s",
                           .ceiling = context.ceilings().flops(false) / token_flops,
                           .target = Target{.of = Target::Of::value, .value = 200'000},
                           .note = fmt::format("f32 peak at {} kFLOP per new token; median of {} times{}", number_text(token_flops / 1e3),
                                               times, rounds_text(context))});
  }
  return report;
}

}  // namespace

const Bench roll_out{.name = "roll_out",
                     .summary = "512 answers of 20 tokens at temperature 1 by the parity example's model.",
                     .jobs = {"alone", "groups"},
                     .run = run};

}  // namespace godwit::bench
