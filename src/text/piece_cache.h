// Pieces met again in one text are copied from where their ids already stand. Direct-mapped: a newcomer takes the place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace godwit::text {

// Holds views into the text: good for one text only.
class PieceCache {
 public:
  explicit PieceCache(bool on) : entries_(on ? std::size_t{1} << 13 : 0) {}

  bool copy(std::string_view piece, std::vector<std::int32_t>& ids) {
    if (entries_.empty() || piece.size() > 64) return false;
    const Entry& entry = entries_[slot(piece)];
    if (entry.piece != piece) return false;
    for (std::size_t i = 0; i < entry.count; ++i) ids.push_back(ids[entry.begin + i]);
    return true;
  }
  void remember(std::string_view piece, std::size_t begin, std::size_t count) {
    if (!entries_.empty() && piece.size() <= 64) entries_[slot(piece)] = {piece, begin, count};
  }

 private:
  struct Entry {
    std::string_view piece;
    std::size_t begin = 0, count = 0;
  };
  std::size_t slot(std::string_view piece) const { return std::hash<std::string_view>()(piece) & (entries_.size() - 1); }

  std::vector<Entry> entries_;
};

}  // namespace godwit::text
