// A DeepSeek-shaped model of 326 M parameters answers: its prompt against the arithmetic peak, new tokens against the memory's bandwidth.
#include <algorithm>
#include <optional>

#include "bench/bench.h"
#include "bench/decode_job.h"
#include "bench/flops.h"

namespace godwit::bench {

extern const Bench decode;

namespace {

constexpr double seconds_each = 5;

// The fastest of the rounds.
template <typename Measure>
Result<DecodeModel::Figures> best_of(const Context& context, const Measure& measure) {
  std::optional<DecodeModel::Figures> best;
  for (int round = 0; round < context.options().rounds; ++round) {
    TRY_ASSIGN(DecodeModel::Figures figures, measure());
    if (!best || figures.seconds < best->seconds) best = std::move(figures);
  }
  return *std::move(best);
}

Row decode_row(Context& context, const DecodeModel& model, const DecodeModel::Figures& figures, std::int64_t streams, Target target) {
  const auto rows = static_cast<double>(streams);
  const auto depth = static_cast<std::int64_t>(figures.depth);
  const Ceilings& ceilings = context.ceilings();
  const double bytes = decode_bytes(model.config(), context.options().weights, streams, depth);
  const double least = std::max(bytes / ceilings.read_bytes, rows * decode_flops(model.config(), depth) / ceilings.flops(true));
  return {.job = fmt::format("decode {} stream{}, {} tokens deep", streams, streams == 1 ? "" : "s", depth),
          .value = rows / figures.seconds,
          .unit = "tokens/s",
          .ceiling = rows / least,
          .target = target,
          .note = fmt::format("{} of {} GB/s: {} MB of weights and cache a step; median of {} steps{}",
                              number_text(bytes / figures.seconds / 1e9), number_text(ceilings.read_bytes / 1e9), number_text(bytes / 1e6),
                              figures.steps, rounds_text(context))};
}

Result<Report> run(Context& context) {
  Report report;
  const auto wants = [&](std::string_view job) { return context.wants(job, "bf16"); };
  if (std::ranges::none_of(decode.jobs, wants)) return report;
  TRY_ASSIGN(const auto model, DecodeModel::open("ds326", context.options().device, program::Dtype::bf16, context.options().weights));
  if (wants("prefill")) {
    constexpr std::int64_t tokens = 512;
    TRY_ASSIGN(const DecodeModel::Figures figures, best_of(context, [&] { return model->prefill(context, tokens, seconds_each); }));
    const double flops = prefill_flops(model->config(), tokens);
    report.rows.push_back({.job = fmt::format("prefill {} tokens", tokens),
                           .value = static_cast<double>(tokens) / figures.seconds,
                           .unit = "tokens/s",
                           .ceiling = context.ceilings().flops(true) / flops * static_cast<double>(tokens),
                           .target = Target{.value = 0.65},
                           .note = fmt::format("bf16 peak at {} GFLOP; median of {} prompts{}", number_text(flops / 1e9), figures.steps,
                                               rounds_text(context))});
  }
  const auto add = [&](const char* job, std::int64_t streams, std::int64_t depth, Target target) -> Result<void> {
    if (!wants(job)) return {};
    TRY_ASSIGN(const DecodeModel::Figures figures, best_of(context, [&] { return model->decode(context, streams, depth, seconds_each); }));
    report.rows.push_back(decode_row(context, *model, figures, streams, target));
    return {};
  };
  TRY(add("stream", 1, 16, {.of = Target::Of::share, .value = 0.80}));
  TRY(add("deep", 1, 2048, {.of = Target::Of::value, .value = 75}));
  TRY(add("streams", 32, 16, {.of = Target::Of::value, .value = 600}));
  if (wants("load")) {
    TRY_ASSIGN(const DecodeModel::Load load, model->answer(context, 32, 96, 128, 64));
    report.rows.push_back({.job = "96 answers, 32 at once, 128 tokens in, 64 out",
                           .value = load.tokens / load.seconds,
                           .unit = "tokens/s in and out",
                           .ceiling = {},
                           .target = {},
                           .note = "what bench/serve.py --streams 32 --requests 96 --highest-id 32256 is measured against"});
  }
  report.notes.emplace_back(std::string("ds326, bf16, ") +
                            (context.options().weights == model::WeightFormat::q8 ? "weights in blocks of 8 bits, " : "") +
                            "absorbed, random weights, through the serving engine. Prefill: a third of the training formula, the head for "
                            "the last row alone; the "
                            "absorbed form does about a quarter more arithmetic than the formula counts.");
  report.notes.emplace_back(
      "Decode: max(bytes / read bandwidth, FLOPs / bf16 peak); bytes are each weight a row uses, once, and the latent cache.");
  return report;
}

}  // namespace

const Bench decode{.name = "decode",
                   .summary = "Reading prompts and decoding with a model of 326 M parameters.",
                   .jobs = {"prefill", "stream", "deep", "streams", "load"},
                   .run = run};

}  // namespace godwit::bench
