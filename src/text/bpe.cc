#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"

namespace godwit::text {
namespace {

constexpr std::uint64_t no_pair = ~std::uint64_t{0};  // ids are not negative
constexpr std::uint32_t no_rank = std::numeric_limits<std::uint32_t>::max();
// Up to here scanning for the lowest rank beats keeping a heap.
constexpr std::size_t short_piece = 48;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

std::size_t hash(std::uint64_t key) {
  key *= 0x9E3779B97F4A7C15u;
  return key ^ (key >> 32);
}

// The heap's order: the lowest rank on top, the leftmost of equals.
bool after(const BpeScratch::Candidate& a, const BpeScratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

void Bpe::reserve(std::size_t merges) {
  slots_.assign(std::bit_ceil(merges * 2 + 1), Slot{no_pair, no_rank, 0});
}

void Bpe::add_merge(std::int32_t left, std::int32_t right, std::uint32_t rank, std::int32_t merged) {
  const std::uint64_t key = pair_key(left, right);
  std::size_t i = hash(key) & (slots_.size() - 1);
  while (slots_[i].pair != no_pair && slots_[i].pair != key) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = {key, rank, merged};
}

const Bpe::Slot* Bpe::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t key = pair_key(left, right);
  for (std::size_t i = hash(key) & (slots_.size() - 1); slots_[i].pair != no_pair; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].pair == key) return &slots_[i];
  }
  return nullptr;
}

void Bpe::encode(std::string_view piece, std::vector<std::int32_t>& ids, BpeScratch& scratch) const {
  CHECK(piece.size() < std::numeric_limits<std::int32_t>::max(), "a piece of {} bytes", piece.size());
  if (!whole_pieces.empty()) {
    if (const auto whole = whole_pieces.find(std::string(piece)); whole != whole_pieces.end()) {
      ids.push_back(whole->second);
      return;
    }
  }
  if (piece.size() <= short_piece) {
    encode_short(piece, ids);
  } else {
    encode_long(piece, ids, scratch);
  }
}

void Bpe::encode_short(std::string_view piece, std::vector<std::int32_t>& ids) const {
  std::array<std::int32_t, short_piece> symbols;
  std::array<std::uint32_t, short_piece> ranks;  // of the pair a symbol begins
  std::array<std::int32_t, short_piece> merged;
  std::size_t count = piece.size();
  for (std::size_t i = 0; i < count; ++i) symbols[i] = byte_ids[static_cast<unsigned char>(piece[i])];
  const auto look_up = [&](std::size_t i) {
    const Slot* slot = i + 1 < count ? find(symbols[i], symbols[i + 1]) : nullptr;
    ranks[i] = slot ? slot->rank : no_rank;
    merged[i] = slot ? slot->merged : 0;
  };
  for (std::size_t i = 0; i < count; ++i) look_up(i);
  while (count > 1) {
    const std::size_t lowest = static_cast<std::size_t>(std::min_element(ranks.begin(), ranks.begin() + count) - ranks.begin());
    if (ranks[lowest] == no_rank) break;
    symbols[lowest] = merged[lowest];
    --count;
    for (std::size_t i = lowest + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
      merged[i] = merged[i + 1];
    }
    look_up(lowest);
    if (lowest > 0) look_up(lowest - 1);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + count);
}

void Bpe::encode_long(std::string_view piece, std::vector<std::int32_t>& ids, BpeScratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  symbols.clear();
  heap.clear();
  const auto count = static_cast<std::int32_t>(piece.size());
  for (std::int32_t i = 0; i < count; ++i) {
    symbols.push_back({byte_ids[static_cast<unsigned char>(piece[static_cast<std::size_t>(i)])], i - 1, i + 1 < count ? i + 1 : -1});
  }
  const auto at = [&](std::int32_t position) -> BpeScratch::Symbol& { return symbols[static_cast<std::size_t>(position)]; };
  const auto candidate = [&](std::int32_t position) {
    const std::int32_t next = at(position).next;
    const Slot* slot = next < 0 ? nullptr : find(at(position).id, at(next).id);
    if (slot) heap.push_back({slot->rank, position, slot->merged});
    return slot != nullptr;
  };
  for (std::int32_t i = 0; i + 1 < count; ++i) candidate(i);
  std::make_heap(heap.begin(), heap.end(), after);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), after);
    const BpeScratch::Candidate top = heap.back();
    heap.pop_back();
    // Entries are not taken back when a neighbour changes; they are recognised here instead. A swallowed symbol has id -1.
    if (at(top.position).id < 0 || at(top.position).next < 0) continue;
    const std::int32_t right = at(top.position).next;
    const Slot* slot = find(at(top.position).id, at(right).id);
    if (slot == nullptr || slot->merged != top.merged) continue;
    at(top.position).id = top.merged;
    at(top.position).next = at(right).next;
    at(right).id = -1;
    if (at(top.position).next >= 0) at(at(top.position).next).previous = top.position;
    if (at(top.position).previous >= 0 && candidate(at(top.position).previous)) std::push_heap(heap.begin(), heap.end(), after);
    if (candidate(top.position)) std::push_heap(heap.begin(), heap.end(), after);
  }
  for (std::int32_t i = 0; i >= 0; i = at(i).next) ids.push_back(at(i).id);
}

}  // namespace godwit::text
