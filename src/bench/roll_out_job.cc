#include "bench/roll_out_job.h"

#include <fmt/format.h>

#include <numeric>
#include <thread>

#include "base/clock.h"
#include "bench/decode_job.h"
#include "bench/flops.h"
#include "bench/op_table.h"
#include "bench/training_job.h"
#include "model/family.h"

namespace godwit::bench {

namespace {

// nano with two layers.
Json parity_config() {
  Json config = *model::find_family("deepseek_v3", "bench").value()->preset("nano");
  config["num_hidden_layers"] = 2;
  config["max_position_embeddings"] = 64;
  config["rope_theta"] = 100.0;
  config["initializer_range"] = 0.1;
  return config;
}

std::vector<infer::Request> make_requests(std::int64_t group, std::int64_t vocabulary) {
  std::vector<infer::Request> requests;
  for (std::int64_t i = 0; i < RollOutModel::streams; ++i) {
    infer::Request request;
    request.prompt = random_prompt(RollOutModel::prompt_tokens, vocabulary, static_cast<std::uint64_t>(i / group));
    request.max_tokens = RollOutModel::new_tokens;
    request.sampling.temperature = 1;
    request.sample = static_cast<std::uint64_t>(i % group);
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace

Result<std::unique_ptr<RollOutModel>> RollOutModel::open(const device::DeviceOptions& options, int devices) {
  const Json json = parity_config();
  auto opened = std::unique_ptr<RollOutModel>(new RollOutModel());
  TRY_ASSIGN(opened->model_, model::model_from_config(json, "parity"));
  for (int i = 0; i < devices; ++i) {
    TRY_ASSIGN(auto device, device::Device::open(options));
    TRY_ASSIGN(infer::Weights weights,
               infer::Weights::load(*device, *opened->model_, [&](std::size_t index, std::span<float> values) -> Result<void> {
                 fill_random(*opened->model_, index, values);
                 return {};
               }));
    opened->seats_.push_back({std::move(device), std::move(weights)});
  }
  opened->config_ = model::parse_deepseek_v3(json, "parity").value();
  opened->profile_ = options.profile;
  return opened;
}

double RollOutModel::flops_per_token(std::int64_t group) const {
  // The last new token of an answer is never read.
  double flops = prefill_flops(config_, prompt_tokens) / static_cast<double>(group);
  for (std::int64_t i = 0; i + 1 < new_tokens; ++i) flops += expanded_decode_flops(config_, prompt_tokens + i + 1);
  return flops / static_cast<double>(new_tokens);
}

Result<RollOutModel::Figures> RollOutModel::answer(Context& context, std::int64_t group, double seconds) {
  const std::string name = fmt::format("{} answers, {} to a prompt", streams, group);
  context.options().say(name);
  const std::vector<infer::Request> requests = make_requests(group, config_.vocab_size);
  const auto count = static_cast<std::int64_t>(seats_.size());
  const std::int64_t groups = streams / group;
  std::vector<std::unique_ptr<infer::Generator>> generators;
  for (const Seat& seat : seats_) {
    infer::GeneratorOptions options{.streams = 0, .capacity = prompt_tokens + new_tokens, .programs = 24};
    options.streams = infer::streams_at_once(*model_, options.dtype, options.capacity, (groups + count - 1) / count * group);
    TRY_ASSIGN(auto generator, infer::Generator::create(*seat.device, *model_, seat.weights, options, std::nullopt));
    generators.push_back(std::move(generator));
  }
  // Each device has whole groups, one after another.
  const auto answer_all = [&]() -> Result<void> {
    std::vector<Result<void>> outcomes(seats_.size());
    const auto answer_part = [&](std::int64_t i) {
      const std::int64_t begin = groups * i / count * group, end = groups * (i + 1) / count * group;
      auto answers = generators[static_cast<std::size_t>(i)]->generate(
          std::span(requests).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
      if (!answers.ok()) outcomes[static_cast<std::size_t>(i)] = answers.error();
    };
    {
      std::vector<std::jthread> others;
      for (std::int64_t i = 1; i < count; ++i) others.emplace_back(answer_part, i);
      answer_part(0);
    }
    for (Result<void>& outcome : outcomes) TRY(std::move(outcome));
    return {};
  };
  TRY(answer_all());  // prepares the programs and makes their copies of the weights
  std::vector<TimedProgram> before;
  if (profile_) {
    TRY_ASSIGN(before, timed_programs(generators[0]->executables()));
  }
  std::vector<double> times;
  const double end = monotonic_seconds() + seconds;
  while (times.empty() || monotonic_seconds() < end) {
    TRY(context.check_interrupted());
    const double begin = monotonic_seconds();
    TRY(answer_all());
    times.push_back(monotonic_seconds() - begin);
  }
  Figures figures{.seconds = 0, .times = times.size(), .ops = {}};
  if (profile_) {
    TRY_ASSIGN(const std::vector<TimedProgram> timed, times_since(before, generators[0]->executables()));
    const auto rounds = static_cast<double>(times.size());
    figures.ops = group_ops(name, timed, rounds, std::accumulate(times.begin(), times.end(), 0.0) / rounds, context.ceilings());
  }
  figures.seconds = median(std::move(times));
  return figures;
}

}  // namespace godwit::bench
