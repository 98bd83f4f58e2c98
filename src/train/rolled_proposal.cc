#include "train/rolled_proposal.h"

#include <algorithm>

#include "base/clock.h"
#include "train/area.h"

namespace godwit::train {

std::int64_t record_stride(const RollOuts* roll_outs) {
  return roll_outs == nullptr ? 0 : device::aligned(roll_outs->record_bytes());
}

Digest completions_digest(std::span<const data::Sample> group) {
  Sha256 sha;
  for (const data::Sample& sample : group) {
    const std::uint64_t count = sample.ids.size();
    sha.update(std::as_bytes(std::span(&count, 1)));
    sha.update(std::as_bytes(std::span(sample.ids)));
  }
  return sha.finish();
}

std::int64_t question_bytes(const RollOuts& roll_outs, std::int64_t prompts) {
  return device::aligned(area_bytes(prompts * roll_outs.group(), roll_outs.predictions_max(), 0));
}

Result<double> write_question(RollOut& roll_out, std::span<const data::Sample> prompts, std::uint64_t step, std::span<std::byte> question,
                              const std::function<bool()>& interrupted) {
  const double began = monotonic_seconds();
  TRY_ASSIGN(const std::vector<data::Sample> samples, roll_out.write(prompts, step, interrupted));
  const double seconds = monotonic_seconds() - began;
  std::ranges::fill(question, std::byte{0});
  write_area(question, samples, {});
  return seconds;
}

Result<double> propose_rolled(Proposer& proposer, RollOut& roll_out, const RollOuts& roll_outs, std::span<const data::Sample> prompts,
                              std::span<const ScoredGroup> scored, std::uint64_t step, NodeAt node, std::span<std::byte> records,
                              const std::function<void(bool)>& training, const std::function<bool()>& interrupted) {
  const double began = monotonic_seconds();
  std::optional<std::vector<data::Sample>> written = roll_outs.asks() ? roll_out.written(prompts, step) : std::nullopt;
  if (!written) {
    TRY_ASSIGN(written, roll_out.write(prompts, step, interrupted));
  }
  const double seconds = monotonic_seconds() - began;
  const std::vector<data::Sample>& samples = *written;
  CHECK(!prompts.empty() && samples.size() % prompts.size() == 0, "{} completions to {} prompts", samples.size(), prompts.size());
  const std::size_t group = samples.size() / prompts.size();
  if (roll_outs.asks()) {
    if (scored.size() != prompts.size()) return world_error("{} of {} prompts have scores", scored.size(), prompts.size());
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const Digest now = completions_digest(std::span(samples).subspan(i * group, group));
      if (!(now == scored[i].completions)) {
        return world_error("the completions to prompt {} are not those that were scored: SHA-256 {}, scored were {}", prompts[i].index,
                           hex(now), hex(scored[i].completions));
      }
    }
    TRY(roll_out.take_scores(scored));
  }
  const RollOuts::Needs needs = roll_outs.needs(step);
  Logprobs current, reference;
  if (needs.current) {
    TRY_ASSIGN(current, proposer.logprobs(samples, "", interrupted));
  }
  if (!needs.reference.empty()) {
    TRY_ASSIGN(reference, proposer.logprobs(samples, needs.reference, interrupted));
  }
  const std::vector<std::vector<float>> weights = roll_out.weigh(current, reference);
  Logprobs trained(samples.size());
  training(true);
  const Result<void> done = proposer.propose(samples, {}, node, interrupted, {weights, trained});
  training(false);
  TRY(done);
  std::ranges::fill(records, std::byte{0});
  const std::size_t stride = records.size() / prompts.size();
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    roll_out.record(i, std::span(trained).subspan(i * group, group), records.subspan(i * stride, stride));
  }
  return seconds;
}

}  // namespace godwit::train
