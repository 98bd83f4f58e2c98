// cache[slot, position] = row.      rows [N, w] T   slots [N]   positions [N]   updates   cache [streams, capacity, w] T
//
// Rows whose slot or position lies outside the cache (padding: slot −1) are written nowhere. No two rows may name one cell. No gradient.
#include <algorithm>

#include "program/fill.h"
#include "program/ops/fill_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Element>
void write_rows(const Memory& memory) {
  const auto* rows = static_cast<const Element*>(memory.input_bytes(memory.input_index("rows")));
  auto* cache = static_cast<Element*>(memory.output_bytes(memory.output_index("cache")));
  const std::int32_t* slots = memory.i32("slots");
  const std::int32_t* positions = memory.i32("positions");
  const std::int64_t width = memory.in("rows").shape[1];
  const std::int64_t streams = memory.integer("streams");
  const std::int64_t capacity = memory.integer("capacity");
  for (std::int64_t t = 0; t < memory.in("rows").shape[0]; ++t) {
    if (slots[t] < 0 || slots[t] >= streams || positions[t] < 0 || positions[t] >= capacity) continue;
    std::copy_n(rows + t * width, width, cache + (slots[t] * capacity + positions[t]) * width);
  }
}

template <typename Real>
void cache_write_reference(const Memory& memory) {
  if (memory.in("rows").dtype == Dtype::bf16) {
    write_rows<std::uint16_t>(memory);
  } else {
    write_rows<Real>(memory);
  }
}

std::vector<Example> cache_write_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t width, std::int64_t streams, std::int64_t capacity) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back({.inputs = {{dtype, {rows, width}}, {Dtype::i32, {rows}}, {Dtype::i32, {rows}}},
                          .attributes = {{"streams", streams}, {"capacity", capacity}}});
    }
  };
  add(1, 1, 1, 1);
  add(5, 7, 2, 3);
  add(16, 33, 4, 65);
  add(70, 512, 3, 40);
  return examples;
}

}  // namespace

extern const Op cache_write;
const Op cache_write{
    .name = "cache_write",
    .inputs = {"rows", "slots", "positions"},
    .outputs = {"cache"},
    .attributes = {"streams", "capacity"},
    .updates = {"cache"},
    .shapes =
        [](Shapes& s) {
          const Shape& rows = s.in("rows").shape;
          s.require(rows.rank() == 2, "rows have two dimensions");
          s.require(s.in("slots").shape.count() == rows[0] && s.in("positions").shape.count() == rows[0],
                    "every row has a slot and a position");
          s.set("cache", s.in("rows").dtype, {s.integer("streams"), s.integer("capacity"), rows[1]});
        },
    .cost = [](const Instance& i) { return Cost{.flops = 0, .bytes = 2 * static_cast<double>(i.in("rows").bytes())}; },
    .reference = cache_write_reference<float>,
    .reference64 = cache_write_reference<double>,
    .check = Check::recompute,
    .fill =
        [](Fill& f) {
          f.reals("rows");
          fill_distinct_streams(f, f.integer("streams"), f.integer("capacity"));
        },
    .examples = cache_write_examples,
};

}  // namespace godwit::program
