// The pages of a cache: which are in use, and which hold a beginning that others may find.
//
// A page is known by its owner, the chain of pages before it and its ids, all compared: what is found is what was asked for, not what has
// its hash. Full pages are shared; where no full one is found, the one whose ids begin alike can be, for its first rows to be copied. What
// nobody uses is kept until its room is needed, the longest unused first; a chain is given back from its end, so that no page is forgotten
// before those that follow it.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

namespace godwit::infer {

// Ids that both begin with.
[[nodiscard]] std::int64_t common_beginning(std::span<const std::int32_t> a, std::span<const std::int32_t> b);

class Pages {
 public:
  // `size`: positions of a page.
  Pages(std::int64_t count, std::int64_t size);

  // The end of a chain of known pages; 0 is the empty one's.
  using Chain = std::uint64_t;
  struct Found {
    std::vector<std::int32_t> pages;
    Chain end = 0;
  };
  // The longest known chain of whole pages of `ids` behind `before`; the caller uses its pages from now on. Owner 0 finds nothing.
  [[nodiscard]] Found find(std::uint64_t owner, Chain before, std::span<const std::int32_t> ids);
  // Of the pages known behind `before`, the one with the longest beginning in common with `ids`, and how long that is; the caller uses it
  // from now on.
  struct Alike {
    std::int32_t page = 0;
    std::int64_t rows = 0;
  };
  [[nodiscard]] std::optional<Alike> find_alike(std::uint64_t owner, Chain before, std::span<const std::int32_t> ids);
  // A page to write to, used by the caller from now on: a free one, or the kept one that was unused longest. None: all are in use.
  [[nodiscard]] std::optional<std::int32_t> take();
  // `page`, used by the caller, holds `ids` behind the chain `before`, fills up no more and may be found from now on. Where an equal one is
  // known, that is the one the caller uses from now on, and `page` is given back.
  struct Kept {
    std::int32_t page = 0;
    Chain end = 0;
  };
  [[nodiscard]] Kept keep(std::uint64_t owner, Chain before, std::span<const std::int32_t> ids, std::int32_t page);
  // The caller no longer uses these, in the order of their positions.
  void give_back(std::span<const std::int32_t> pages);

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(pages_.size()); }
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::int64_t kept() const { return static_cast<std::int64_t>(idle_.size()); }
  // What take() can still give.
  [[nodiscard]] std::int64_t available() const { return kept() + static_cast<std::int64_t>(free_.size()); }
  [[nodiscard]] std::int64_t used() const { return count() - available(); }

 private:
  using Key = std::tuple<std::uint64_t, Chain, std::vector<std::int32_t>>;  // owner, chain before, ids
  struct Known {
    std::int32_t page = 0;
    Chain end = 0;  // never given twice
  };
  struct Page {
    std::int64_t users = 0;
    std::optional<std::map<Key, Known>::iterator> known;
    std::list<std::int32_t>::iterator idle;  // while known and unused
  };
  void use(std::int32_t page);
  void give_back(std::int32_t page);

  std::int64_t size_;
  std::vector<Page> pages_;
  std::vector<std::int32_t> free_;
  std::list<std::int32_t> idle_;  // known and unused, the longest unused first
  std::map<Key, Known> known_;
  Chain last_ = 0;
};

}  // namespace godwit::infer
