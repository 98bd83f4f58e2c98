// Attention over the cached latent itself (absorbed decode): key [latent | k_pe] and value latent, shared by all heads.
//   q [N, H·(c+r)] T   latent [G, P, c] T   k_pe [G, P, r] T   slots [N]   positions [N]   table [S, B]   →   o [N, H·c]
//
// The cache is G pages of P rows; position j of stream s lies in row j mod P of page table[s, j div P]. The rule of attention for row
// `position` of the stream. Rows whose slot lies outside [0, S) (padding: −1), whose position lies outside [0, B·P), or that need a page
// outside [0, G) are zeros. No gradient.
#include <algorithm>

#include "program/fill.h"
#include "program/ops/attention_row.h"
#include "program/ops/cost_rules.h"

namespace godwit::program {
namespace {

template <typename Real>
void attention_latent_reference(const Memory& memory) {
  const Operand<Real> q(memory, "q");
  const Operand<Real> latent(memory, "latent");
  const Operand<Real> k_pe(memory, "k_pe");
  const std::int32_t* slots = memory.i32("slots");
  const std::int32_t* positions = memory.i32("positions");
  const std::int32_t* table = memory.i32("table");
  Real* o = real_out<Real>(memory, "o");
  const std::int64_t pages = memory.in("latent").shape[0];
  const std::int64_t page_rows = memory.in("latent").shape[1];
  const std::int64_t streams = memory.in("table").shape[0];
  const std::int64_t blocks = memory.in("table").shape[1];
  const std::int64_t heads = memory.integer("heads");
  const std::int64_t width = memory.in("latent").shape[2];
  const std::int64_t rotary = memory.in("k_pe").shape[2];
  const std::int64_t key_width = width + rotary;
  const auto scale = static_cast<Real>(memory.real("scale"));

  std::fill_n(o, memory.out("o").shape.count(), Real(0));
  for (std::int64_t t = 0; t < memory.in("q").shape[0]; ++t) {
    if (slots[t] < 0 || slots[t] >= streams || positions[t] < 0 || positions[t] >= blocks * page_rows) continue;
    const std::int32_t* page = table + slots[t] * blocks;
    const std::int64_t seen_pages = positions[t] / page_rows + 1;
    if (std::any_of(page, page + seen_pages, [&](std::int32_t p) { return p < 0 || p >= pages; })) continue;
    const auto cell = [&](std::int64_t j) { return page[j / page_rows] * page_rows + j % page_rows; };
    for (std::int64_t h = 0; h < heads; ++h) {
      const auto query = [&](std::int64_t i) { return q[(t * heads + h) * key_width + i]; };
      const auto key = [&](std::int64_t j, std::int64_t i) {
        return i < width ? latent[cell(j) * width + i] : k_pe[cell(j) * rotary + i - width];
      };
      const auto value = [&](std::int64_t j, std::int64_t c) { return latent[cell(j) * width + c]; };
      const auto row = attend<Real>(q.bf16(), positions[t] + 1, key_width, width, scale, query, key, value);
      std::copy_n(row.o.data(), width, o + (t * heads + h) * width);
    }
  }
}

// Pages in random order, one in eight missing but none of stream 0; runs of rows of one stream at consecutive positions, as a prompt has
// them, among rows at any place. The first row is the last of stream 0.
void fill_paged_streams(Fill& fill) {
  const std::int64_t pages = fill.in("latent").shape[0];
  const std::int64_t blocks = fill.in("table").shape[1];
  const std::int64_t streams = fill.in("table").shape[0];
  const auto capacity = static_cast<std::uint32_t>(blocks * fill.in("latent").shape[1]);
  const auto table = fill.i32("table");
  for (std::size_t i = 0; i < table.size(); ++i) {
    const bool missing = static_cast<std::int64_t>(i) >= blocks && fill.random(8) == 0;
    table[i] = missing ? -1 : static_cast<std::int32_t>(fill.random(static_cast<std::uint32_t>(pages)));
  }
  const auto slots = fill.i32("slots");
  const auto positions = fill.i32("positions");
  for (std::size_t row = 0; row < slots.size(); ++row) {
    if (row > 1 && fill.random(4) != 0) {
      slots[row] = slots[row - 1];
      positions[row] = positions[row - 1] + 1;  // beyond the last it is padding
      continue;
    }
    slots[row] = row == 0 ? 0 : static_cast<std::int32_t>(fill.random(static_cast<std::uint32_t>(streams) + 1)) - 1;
    positions[row] = static_cast<std::int32_t>(row == 0 ? capacity - 1 : fill.random(capacity));
  }
}

std::vector<Example> attention_latent_examples() {
  std::vector<Example> examples;
  struct Cache {
    std::int64_t pages, page, streams, blocks;
  };
  const auto add = [&](std::int64_t rows, std::int64_t heads, std::int64_t latent, std::int64_t rotary, const Cache& cache) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back({.inputs = {{dtype, {rows, heads * (latent + rotary)}},
                                     {dtype, {cache.pages, cache.page, latent}},
                                     {dtype, {cache.pages, cache.page, rotary}},
                                     {Dtype::i32, {rows}},
                                     {Dtype::i32, {rows}},
                                     {Dtype::i32, {cache.streams, cache.blocks}}},
                          .attributes = {{"heads", heads}, {"scale", 1 / std::sqrt(static_cast<double>(latent + rotary))}}});
    }
  };
  add(1, 1, 1, 2, {1, 1, 1, 1});
  add(6, 3, 5, 2, {7, 3, 2, 3});
  add(29, 2, 33, 8, {5, 64, 4, 2});
  add(2, 1, 520, 4, {3, 6, 2, 1});
  add(3, 2, 7, 4, {4, 171, 2, 3});
  add(80, 5, 24, 8, {12, 64, 3, 9});
  add(3, 2, 8, 4, {9, 64, 2, 25});
  return examples;
}

}  // namespace

extern const Op attention_latent;
const Op attention_latent{
    .name = "attention_latent",
    .inputs = {"q", "latent", "k_pe", "slots", "positions", "table"},
    .outputs = {"o"},
    .attributes = {"heads", "scale"},
    .shapes =
        [](Shapes& s) {
          const std::int64_t rows = s.in("q").shape[0];
          const std::int64_t heads = s.integer("heads");
          const Shape& latent = s.in("latent").shape;
          const Shape& k_pe = s.in("k_pe").shape;
          const Dtype dtype = s.in("q").dtype;
          s.require(dtype == s.in("latent").dtype && dtype == s.in("k_pe").dtype, "q, latent and k_pe have the same dtype");
          s.require(latent.rank() == 3 && k_pe == Shape{latent[0], latent[1], k_pe.width()}, "latent and k_pe are pages of one size");
          s.require(s.in("q").shape == Shape{rows, heads * (latent[2] + k_pe[2])}, "q is [rows, heads·(latent + rotary)]");
          s.require(s.in("slots").shape.count() == rows && s.in("positions").shape.count() == rows, "every row has a slot and a position");
          s.require(s.in("table").dtype == Dtype::i32 && s.in("table").shape.rank() == 2, "table is [streams, blocks]");
          s.set("o", Dtype::f32, {rows, heads * latent[2]});
        },
    // Every row as if its stream were full: the positions are known on the device only.
    .cost =
        [](const Instance& i) {
          const auto pairs = static_cast<double>(i.in("q").shape[0] * i.in("table").shape[1] * i.in("latent").shape[1]);
          const auto heads = static_cast<double>(i.integer("heads"));
          const auto widths = static_cast<double>(2 * i.in("latent").shape[2] + i.in("k_pe").shape[2]);
          return Cost{.flops = 2 * pairs * heads * widths, .bytes = traffic(i)};
        },
    .reference = attention_latent_reference<float>,
    .reference64 = attention_latent_reference<double>,
    .check = Check::projection,
    .fill =
        [](Fill& f) {
          f.reals("q");
          f.reals("latent");
          f.reals("k_pe");
          fill_paged_streams(f);
        },
    .examples = attention_latent_examples,
};

}  // namespace godwit::program
