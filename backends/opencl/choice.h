// What a device is to kernels, and which tiles fit it: pure functions of plain data.
#pragma once

#include <cstdint>
#include <string>

namespace godwit::opencl {

enum class Style : std::uint8_t {
  wide,   // work-items are CPU threads: register tiles of vectors, no barriers
  tiled,  // a GPU: work-groups with tiles in local memory
};

struct Traits {
  Style style = Style::wide;
  int vector = 8;  // floats a register holds
  int units = 1;   // compute units
  std::int64_t local_bytes = 32 << 10;
  int group_max = 256;  // work-items a work-group may have
};

[[nodiscard]] const char* style_name(Style style);

// The tile of a product that one work-item (wide) or one work-group (tiled) makes.
struct Tile {
  int rows = 0;
  int columns = 0;
  int slab = 0;  // tiled: how much of the summed axis lies in local memory at a time; even, because bf16 goes in pairs
};
[[nodiscard]] Tile product_tile(const Traits& traits);

// Whether a product of so few rows is better made without packing its operands: one work-item for some columns of a row.
[[nodiscard]] bool few_rows(const Traits& traits, std::int64_t rows);

// The defines every text is compiled with.
[[nodiscard]] std::string style_defines(const Traits& traits);

}  // namespace godwit::opencl
