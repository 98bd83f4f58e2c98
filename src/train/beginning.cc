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
  for (const std::string& prefix : setup.copies()) state.copy_weights(prefix, state);
  state.set_cursor(setup.dataset->begin());
  return {};
}

Result<std::vector<data::Sample>> next_samples(const Setup& setup, std::uint64_t step, data::Cursor& cursor) {
  const std::int64_t count = setup.settings.run.batch;
  if (setup.roll_outs && setup.roll_outs->written_at(step) != step) cursor.values[0] -= static_cast<std::uint64_t>(count);
  return setup.dataset->next(cursor, count);
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
