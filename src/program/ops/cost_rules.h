// What the cost rules of several ops count alike.
#pragma once

#include <algorithm>
#include <cstdint>

#include "program/op.h"

namespace godwit::program {

// Every input read once and every output written once.
inline double traffic(const Instance& instance) {
  std::int64_t bytes = 0;
  for (const TensorType& input : instance.inputs()) bytes += input.bytes();
  for (const TensorType& output : instance.outputs()) bytes += output.bytes();
  return static_cast<double>(bytes);
}

// Visible (query, key) pairs of one head, taking the rows as samples of equal length: the lengths are known on the device only.
inline double causal_pairs(std::int64_t rows, const Shape& samples) {
  const auto count = static_cast<double>(std::max<std::int64_t>(1, samples.count() - 1));
  const auto n = static_cast<double>(rows);
  return n * (n / count + 1) / 2;
}

}  // namespace godwit::program
