// How several ops fill their integer inputs: the slots of a dispatch, the streams of a cache.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "program/fill.h"

namespace godwit::program {

// row_of_slot [tokens, top_k] and slot_of_row [tokens·top_k], whichever the op takes: the last tokens are padding, and the slots of the
// others lie in the first rows in random order.
inline void fill_slots(Fill& fill, std::int64_t tokens, std::int64_t top_k) {
  const auto padding = static_cast<std::int64_t>(fill.random(static_cast<std::uint32_t>(tokens / 2 + 1)));
  const std::int64_t used = (tokens - padding) * top_k;
  std::vector<std::int32_t> slots(static_cast<std::size_t>(used));
  for (std::size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<std::int32_t>(i);
  for (std::size_t i = slots.size(); i > 1; --i) std::swap(slots[i - 1], slots[fill.random(static_cast<std::uint32_t>(i))]);
  for (const std::string_view input : fill.op().inputs) {
    if (input != "row_of_slot" && input != "slot_of_row") continue;
    const auto values = fill.i32(input);
    std::fill(values.begin(), values.end(), -1);
    for (std::size_t row = 0; row < slots.size(); ++row) {
      const auto slot = static_cast<std::size_t>(slots[row]);
      if (input == "row_of_slot") values[slot] = static_cast<std::int32_t>(row);
      if (input == "slot_of_row") values[row] = slots[row];
    }
  }
}

// `slots` and `positions` of rows that read a cache of `streams` streams of `capacity` places: the first row the last place, the others
// anything, one in eight padding.
inline void fill_streams(Fill& fill, std::int64_t streams, std::int64_t capacity) {
  const auto slots = fill.i32("slots");
  const auto positions = fill.i32("positions");
  for (std::size_t row = 0; row < slots.size(); ++row) {
    const bool padding = row > 0 && fill.random(8) == 0;
    slots[row] = padding ? -1 : static_cast<std::int32_t>(fill.random(static_cast<std::uint32_t>(streams)));
    positions[row] = static_cast<std::int32_t>(row == 0 ? capacity - 1 : fill.random(static_cast<std::uint32_t>(capacity)));
  }
}

// The same for rows that are written: no two rows meet in one cell, and some positions lie just outside.
inline void fill_distinct_streams(Fill& fill, std::int64_t streams, std::int64_t capacity) {
  const auto slots = fill.i32("slots");
  const auto positions = fill.i32("positions");
  std::set<std::pair<std::int32_t, std::int32_t>> taken;
  for (std::size_t row = 0; row < slots.size(); ++row) {
    slots[row] = static_cast<std::int32_t>(fill.random(static_cast<std::uint32_t>(streams) + 1)) - 1;
    positions[row] = static_cast<std::int32_t>(fill.random(static_cast<std::uint32_t>(capacity) + 2)) - 1;
    if (!taken.insert({slots[row], positions[row]}).second) slots[row] = -1;
  }
}

}  // namespace godwit::program
