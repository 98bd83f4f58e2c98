#include "train/beginning.h"

#include <algorithm>
#include <cstring>
#include <optional>

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
