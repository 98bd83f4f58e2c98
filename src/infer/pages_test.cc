// A page could be given to two, be lost, or be found by whom it does not belong to.
#include "infer/pages.h"

#include <gtest/gtest.h>

#include <set>

namespace godwit::infer {
namespace {

using Ids = std::vector<std::int32_t>;

// Takes pages for `ids`, keeps the full ones, and returns all.
std::vector<std::int32_t> fill(Pages& pages, std::uint64_t owner, const Ids& ids) {
  Pages::Found found = pages.find(owner, 0, ids);
  const auto size = static_cast<std::size_t>(pages.size());
  while (found.pages.size() * size < ids.size()) {
    const std::size_t at = found.pages.size() * size;
    found.pages.push_back(pages.take().value());
    if (at + size > ids.size()) break;
    const Pages::Kept kept = pages.keep(owner, found.end, std::span(ids).subspan(at, size), found.pages.back());
    found.pages.back() = kept.page;
    found.end = kept.end;
  }
  return found.pages;
}

TEST(Pages, AreFoundByOwnerAndWholeBeginning) {
  Pages pages(8, 2);
  const auto first = fill(pages, 5, {1, 2, 3, 4, 5});
  EXPECT_EQ(pages.used(), 3);
  pages.give_back(first);
  EXPECT_EQ(pages.used(), 0);
  EXPECT_EQ(pages.kept(), 2);
  const auto found = [&](std::uint64_t owner, const Ids& ids) {
    const Pages::Found f = pages.find(owner, 0, ids);
    pages.give_back(f.pages);
    return f.pages;
  };
  EXPECT_EQ(found(5, {1, 2, 3, 4}), (Ids{first[0], first[1]}));
  EXPECT_EQ(found(5, {1, 2, 3}), (Ids{first[0]}));
  EXPECT_EQ(found(5, {1}), Ids{});
  EXPECT_EQ(found(5, {3, 4}), Ids{}) << "the same ids behind another beginning";
  EXPECT_EQ(found(6, {1, 2, 3, 4}), Ids{});
  pages.give_back(fill(pages, 0, {1, 2, 3, 4}));
  EXPECT_EQ(found(0, {1, 2, 3, 4}), Ids{});
}

TEST(Pages, TheLongestCommonBeginningIsFound) {
  Pages pages(12, 4);
  const auto first = fill(pages, 5, {1, 2, 3, 4, 1, 2, 3, 4});
  const auto second = fill(pages, 5, {1, 2, 3, 4, 1, 5, 5, 5});
  pages.give_back(fill(pages, 6, {1, 2, 3, 9}));
  const Pages::Found head = pages.find(5, 0, Ids{1, 2, 3, 4});
  const auto alike = [&](std::uint64_t owner, Pages::Chain before, const Ids& ids) {
    const auto found = pages.find_alike(owner, before, ids);
    if (found) pages.give_back(std::span(&found->page, 1));
    return found ? std::pair(found->page, found->rows) : std::pair(-1, std::int64_t{0});
  };
  EXPECT_EQ(alike(5, head.end, {1, 2, 3, 9}), std::pair(first[1], std::int64_t{3}));
  EXPECT_EQ(alike(5, head.end, {1, 2}), std::pair(first[1], std::int64_t{2}));
  EXPECT_EQ(alike(5, head.end, {1, 5, 5, 4}), std::pair(second[1], std::int64_t{3}));
  EXPECT_EQ(alike(5, head.end, {1, 4, 5, 5}).second, 1);
  EXPECT_EQ(alike(5, head.end, {1, 2, 3, 4, 7, 7}), std::pair(first[1], std::int64_t{4})) << "no more than a page";
  EXPECT_EQ(alike(5, head.end, {2}).first, -1);
  EXPECT_EQ(alike(5, head.end, {}).first, -1);
  EXPECT_EQ(alike(5, 0, {1, 2, 3, 9}), std::pair(first[0], std::int64_t{3}));
  // One that is not full is found for what it holds, and as a whole by nobody.
  const std::int32_t part = pages.take().value();
  EXPECT_EQ(pages.keep(5, head.end, Ids{7, 7, 7}, part).page, part);
  EXPECT_EQ(alike(5, head.end, {7, 7, 7, 7}), std::pair(part, std::int64_t{3}));
  EXPECT_EQ(pages.find(5, head.end, Ids{7, 7, 7, 7}).pages.size(), 0u);
  EXPECT_EQ(alike(7, 0, {1, 2, 3, 9}).first, -1) << "another owner's";
  EXPECT_EQ(alike(0, 0, {1, 2, 3, 9}).first, -1);
}

TEST(Pages, WhatIsUsedIsNeverTaken) {
  Pages pages(4, 1);
  const auto used = fill(pages, 1, {7, 8});
  pages.give_back(fill(pages, 1, {9, 9}));
  EXPECT_EQ(pages.available(), 2);
  const std::int32_t a = pages.take().value();
  const std::int32_t b = pages.take().value();
  EXPECT_EQ((std::set<std::int32_t>{used[0], used[1], a, b}.size()), 4u);
  EXPECT_FALSE(pages.take());
  const std::vector<std::int32_t> all = {a, b};
  pages.give_back(all);
  EXPECT_EQ(pages.available(), 2);
  EXPECT_EQ(pages.find(1, 0, Ids{9, 9}).pages.size(), 0u) << "what was taken is forgotten";
  EXPECT_EQ(pages.find(1, 0, Ids{7, 8}).pages, used);
}

TEST(Pages, TheLongestUnusedIsForgottenFirstAndEndsBeforeBeginnings) {
  Pages pages(4, 1);
  pages.give_back(fill(pages, 1, {1, 2}));
  pages.give_back(fill(pages, 1, {3, 4}));
  pages.give_back(pages.find(1, 0, Ids{1, 2}).pages);
  std::vector<std::int32_t> taken = {pages.take().value()};
  EXPECT_EQ(pages.kept(), 3);
  const Pages::Found found = pages.find(1, 0, Ids{3, 4});
  EXPECT_EQ(found.pages.size(), 1u) << "4 is forgotten, 3 is not";
  pages.give_back(found.pages);
  EXPECT_EQ(pages.find(1, 0, Ids{1, 2}).pages.size(), 2u);
}

TEST(Pages, TwoThatFillTheSamePageShareIt) {
  Pages pages(4, 1);
  const std::int32_t a = pages.take().value();
  const std::int32_t b = pages.take().value();
  const Pages::Kept first = pages.keep(3, 0, Ids{6}, a);
  const Pages::Kept second = pages.keep(3, 0, Ids{6}, b);
  EXPECT_EQ(first.page, a);
  EXPECT_EQ(second.page, a);
  EXPECT_EQ(first.end, second.end);
  EXPECT_EQ(pages.used(), 1);
  pages.give_back(std::span(&a, 1));
  EXPECT_EQ(pages.used(), 1) << "the other one still uses it";
  pages.give_back(std::span(&a, 1));
  EXPECT_EQ(pages.used(), 0);
}

}  // namespace
}  // namespace godwit::infer
