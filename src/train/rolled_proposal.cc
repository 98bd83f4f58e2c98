#include "train/rolled_proposal.h"

#include <algorithm>

namespace godwit::train {

std::int64_t record_stride(const RollOuts* roll_outs) {
  return roll_outs == nullptr ? 0 : device::aligned(roll_outs->record_bytes());
}

Result<void> propose_rolled(Proposer& proposer, RollOut& roll_out, const RollOuts& roll_outs, std::span<const data::Sample> prompts,
                            std::uint64_t step, NodeAt node, std::span<std::byte> records, const std::function<void(bool)>& training,
                            const std::function<bool()>& interrupted) {
  TRY_ASSIGN(const std::vector<data::Sample> samples, roll_out.write(prompts, step, interrupted));
  CHECK(!prompts.empty() && samples.size() % prompts.size() == 0, "{} completions to {} prompts", samples.size(), prompts.size());
  const std::size_t group = samples.size() / prompts.size();
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
  return {};
}

}  // namespace godwit::train
