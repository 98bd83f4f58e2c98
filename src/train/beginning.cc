#include "train/beginning.h"

#include <algorithm>
#include <cstring>

#include "train/judge.h"

namespace godwit::train {

Result<void> begin_run(const Setup& setup, State& state, const std::function<void()>& beat) {
  std::memset(state.base(), 0, static_cast<std::size_t>(state.layout().bytes()));
  std::optional<store::ModelSource> init;
  if (setup.config.has("model", "init")) {
    TRY_ASSIGN(init, store::ModelSource::open(setup.config.text("model", "init")));
  }
  for (std::size_t i = 0; i < setup.model->parameters().size(); ++i) {
    const std::span<float> weight = state.weight(i);
    if (init) {
      TRY(init->read(i, weight));
    } else {
      std::ranges::copy(model::initial_values(*setup.model, i, setup.settings.run.seed), weight.begin());
    }
    if (beat) beat();
  }
  state.set_cursor(setup.dataset->begin());
  return {};
}

Result<std::optional<store::CheckpointInfo>> load_until(const store::RunDirectory& run, std::uint64_t last, State& state,
                                                        std::vector<std::string>& refused, const std::function<void()>& beat) {
  TRY_ASSIGN(std::vector<std::uint64_t> steps, store::list_checkpoints(run.checkpoints()));
  std::erase_if(steps, [&](std::uint64_t step) { return step > last; });
  for (; !steps.empty(); steps.pop_back()) {
    if (beat) beat();
    auto loaded = store::load_checkpoint(run.checkpoints(), steps.back(), state.list());
    if (loaded.ok()) return std::optional(std::move(loaded).value());
    refused.push_back(fmt::format("checkpoint {}: {}", steps.back(), loaded.error().message));
  }
  return std::optional<store::CheckpointInfo>();
}

RunScalars after_step(RunScalars scalars, const std::optional<Proposal>& proposal) {
  ++scalars.step;
  if (proposal) {
    scalars.tokens += static_cast<std::uint64_t>(proposal->predictions);
    scalars.skipped_in_a_row = 0;
    remember(scalars, proposal->loss);
  } else {
    ++scalars.skipped;
    ++scalars.skipped_in_a_row;
  }
  return scalars;
}

}  // namespace godwit::train
