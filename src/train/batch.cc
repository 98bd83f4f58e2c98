#include "train/batch.h"

#include "base/check.h"

namespace godwit::train {

LabelCounts count_labels(std::span<const data::Sample> samples) {
  LabelCounts counts;
  for (const data::Sample& sample : samples) {
    for (std::int64_t t = 0; t < sample.predictions(); ++t) {
      counts.next += sample.labelled[static_cast<std::size_t>(t)];
      if (t + 1 < sample.predictions()) counts.mtp += sample.labelled[static_cast<std::size_t>(t + 1)];
    }
  }
  return counts;
}

Inputs make_inputs(std::span<const data::Sample> samples, std::int64_t rows, std::int64_t sample_places, float weight, float mtp_weight) {
  const auto count = static_cast<std::size_t>(rows);
  Inputs in;
  in.ids.assign(count, 0);
  in.positions.assign(count, 0);
  in.labels.assign(count, -1);
  in.weights.assign(count, 0.0f);
  in.mtp_ids.assign(count, 0);
  in.mtp_labels.assign(count, -1);
  in.mtp_weights.assign(count, 0.0f);
  in.samples.assign(static_cast<std::size_t>(sample_places) + 1, 0);
  std::size_t row = 0;
  for (std::size_t s = 0; s < samples.size(); ++s) {
    const data::Sample& sample = samples[s];
    const auto predictions = static_cast<std::size_t>(sample.predictions());
    CHECK(row + predictions <= count, "{} rows do not hold sample {} of {} predictions", rows, s, predictions);
    for (std::size_t t = 0; t < predictions; ++t, ++row) {
      in.ids[row] = sample.ids[t];
      in.positions[row] = static_cast<std::int32_t>(t);
      if (sample.labelled[t]) {
        in.labels[row] = sample.ids[t + 1];
        in.weights[row] = weight;
      }
      in.mtp_ids[row] = sample.ids[t + 1];
      if (t + 1 < predictions && sample.labelled[t + 1]) {
        in.mtp_labels[row] = sample.ids[t + 2];
        in.mtp_weights[row] = mtp_weight;
      }
    }
    in.samples[s + 1] = static_cast<std::int32_t>(row);
  }
  for (std::size_t s = samples.size(); s < static_cast<std::size_t>(sample_places); ++s) in.samples[s + 1] = static_cast<std::int32_t>(row);
  return in;
}

}  // namespace godwit::train
