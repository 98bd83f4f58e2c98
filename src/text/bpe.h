// Byte-pair encoding of one piece: the bytes, then again and again the pair of lowest rank, the leftmost first, until none is left.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace godwit::text {

// Room for one thread's work.
struct BpeScratch {
  struct Symbol {
    std::int32_t id, previous, next;
  };
  struct Candidate {
    std::uint32_t rank;
    std::int32_t position;
    std::int32_t merged;
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

// Immutable once filled; usable from many threads, each with its own scratch.
class Bpe {
 public:
  std::array<std::int32_t, 256> byte_ids{};
  // Whole pieces that skip the merging (ignore_merges); empty when off.
  std::unordered_map<std::string, std::int32_t> whole_pieces;

  void reserve(std::size_t merges);
  // A pair met again takes the later rank, as in Hugging Face's map.
  void add_merge(std::int32_t left, std::int32_t right, std::uint32_t rank, std::int32_t merged);

  // Appends the ids of a piece. O(n log n), also for a piece of a million equal bytes. A piece must be shorter than 2^31 bytes.
  void encode(std::string_view piece, std::vector<std::int32_t>& ids, BpeScratch& scratch) const;

 private:
  struct Slot {
    std::uint64_t pair;
    std::uint32_t rank;
    std::int32_t merged;
  };
  const Slot* find(std::int32_t left, std::int32_t right) const;
  void encode_short(std::string_view piece, std::vector<std::int32_t>& ids) const;
  void encode_long(std::string_view piece, std::vector<std::int32_t>& ids, BpeScratch& scratch) const;

  std::vector<Slot> slots_;  // open addressing, a power of two of them
};

}  // namespace godwit::text
