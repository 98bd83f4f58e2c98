// Samples → the arrays a training program takes. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"

namespace godwit::train {

// Inputs of one pass over `samples.size()` samples, padded to `rows` token rows and `sample_places` samples.
struct Inputs {
  std::vector<std::int32_t> ids, positions, labels, samples, mtp_ids, mtp_labels;
  std::vector<float> weights, mtp_weights;
};

// Labelled predictions of a whole step; with MTP also those two tokens ahead (row t predicts ids[t+2]; the last row has no such label).
struct LabelCounts {
  std::int64_t next = 0;
  std::int64_t mtp = 0;
};
[[nodiscard]] LabelCounts count_labels(std::span<const data::Sample> samples);

// `weight` and `mtp_weight` are what a labelled row counts in its loss (1 / count, mtp_loss / count, in binary32).
[[nodiscard]] Inputs make_inputs(std::span<const data::Sample> samples, std::int64_t rows, std::int64_t sample_places, float weight,
                                 float mtp_weight);

}  // namespace godwit::train
