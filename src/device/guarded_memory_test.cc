// A write just outside could go unseen: beyond a border of pages, or within the page.
#include "device/guarded_memory.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace godwit::device {
namespace {

TEST(GuardedMemory, AByteBesideItIsSeen) {
  for (const std::int64_t bytes : {1, 512, 1000, 4096, 8191, 100'000}) {
    GuardedMemory memory(bytes);
    ASSERT_NE(memory.data(), nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % 512, 0u);
    memory.data()[0] = memory.data()[bytes - 1] = std::byte{1};
    EXPECT_EQ(memory.edge(), GuardedMemory::Edge::whole);
    if (bytes % 512 == 0) {
      EXPECT_DEATH(memory.data()[bytes] = std::byte{1}, "") << bytes;
    } else {
      memory.data()[bytes] ^= std::byte{1};
      EXPECT_EQ(memory.edge(), GuardedMemory::Edge::behind) << bytes;
      memory.data()[bytes] ^= std::byte{1};
    }
    const bool page_begins = reinterpret_cast<std::uintptr_t>(memory.data()) % 4096 == 0;
    if (page_begins) {
      EXPECT_DEATH(memory.data()[-1] = std::byte{1}, "") << bytes;
    } else {
      memory.data()[-1] ^= std::byte{1};
      EXPECT_EQ(memory.edge(), GuardedMemory::Edge::before) << bytes;
    }
    EXPECT_DEATH(memory.data()[-8192] = std::byte{1}, "") << bytes;
    EXPECT_DEATH(memory.data()[bytes + 8192] = std::byte{1}, "") << bytes;
  }
}

TEST(GuardedMemory, MovesWithItsPages) {
  GuardedMemory memory(700);
  std::byte* data = memory.data();
  GuardedMemory other(std::move(memory));
  EXPECT_EQ(other.data(), data);
  EXPECT_EQ(other.edge(), GuardedMemory::Edge::whole);
}

}  // namespace
}  // namespace godwit::device
