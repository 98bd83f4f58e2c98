#include "infer/pages.h"

#include <algorithm>

#include "base/check.h"

namespace godwit::infer {

std::int64_t common_beginning(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

Pages::Pages(std::int64_t count, std::int64_t size) : size_(size), pages_(static_cast<std::size_t>(count)) {
  for (std::int64_t page = count; page-- > 0;) free_.push_back(static_cast<std::int32_t>(page));
}

Pages::Found Pages::find(std::uint64_t owner, Chain before, std::span<const std::int32_t> ids) {
  Found found{.pages = {}, .end = before};
  if (owner == 0) return found;
  const auto size = static_cast<std::size_t>(size_);
  for (; ids.size() >= size; ids = ids.subspan(size)) {
    const auto known = known_.find(Key(owner, found.end, {ids.begin(), ids.begin() + size_}));
    if (known == known_.end()) break;
    use(known->second.page);
    found.pages.push_back(known->second.page);
    found.end = known->second.end;
  }
  return found;
}

std::optional<Pages::Alike> Pages::find_alike(std::uint64_t owner, Chain before, std::span<const std::int32_t> ids) {
  if (owner == 0) return std::nullopt;
  const std::vector<std::int32_t> begin(ids.begin(), ids.begin() + std::min(std::ssize(ids), size_));
  // Keys are in lexicographic order: the longest common beginning is one of the two neighbours'.
  const auto after = known_.lower_bound(Key(owner, before, begin));
  Alike best;
  const auto consider = [&](std::map<Key, Known>::const_iterator known) {
    const auto& [its_owner, its_before, its_ids] = known->first;
    if (its_owner != owner || its_before != before) return;
    const std::int64_t rows = common_beginning(its_ids, begin);
    if (rows > best.rows) best = {known->second.page, rows};
  };
  if (after != known_.end()) consider(after);
  if (after != known_.begin()) consider(std::prev(after));
  if (best.rows == 0) return std::nullopt;
  use(best.page);
  return best;
}

std::optional<std::int32_t> Pages::take() {
  std::int32_t page = 0;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (!idle_.empty()) {
    page = idle_.front();
    idle_.pop_front();
    Page& forgotten = pages_[static_cast<std::size_t>(page)];
    known_.erase(*forgotten.known);
    forgotten.known.reset();
  } else {
    return std::nullopt;
  }
  pages_[static_cast<std::size_t>(page)].users = 1;
  return page;
}

Pages::Kept Pages::keep(std::uint64_t owner, Chain before, std::span<const std::int32_t> ids, std::int32_t page) {
  CHECK(!ids.empty() && std::ssize(ids) <= size_, "{} ids in a page of {}", ids.size(), size_);
  if (owner == 0) return {page, 0};
  const auto [place, fresh] = known_.try_emplace(Key(owner, before, {ids.begin(), ids.end()}));
  Known& known = place->second;
  if (fresh) {
    known = {page, ++last_};
    pages_[static_cast<std::size_t>(page)].known = place;
  } else if (known.page != page) {
    use(known.page);
    give_back(page);
  }
  return {known.page, known.end};
}

void Pages::give_back(std::span<const std::int32_t> pages) {
  for (std::size_t i = pages.size(); i-- > 0;) give_back(pages[i]);
}

void Pages::use(std::int32_t page) {
  Page& used = pages_[static_cast<std::size_t>(page)];
  if (used.users++ == 0) idle_.erase(used.idle);
}

void Pages::give_back(std::int32_t page) {
  Page& back = pages_[static_cast<std::size_t>(page)];
  CHECK(back.users > 0, "page {} is not in use", page);
  if (--back.users > 0) return;
  if (back.known) {
    back.idle = idle_.insert(idle_.end(), page);
  } else {
    free_.push_back(page);
  }
}

}  // namespace godwit::infer
