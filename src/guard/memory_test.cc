// A process that writes just outside a piece of shared memory could write into the next one.
#include "guard/memory.h"

#include <gtest/gtest.h>

#include <cstring>

namespace godwit::guard {
namespace {

TEST(SharedMemory, LiesBetweenPagesThatNobodyMayTouch) {
  SharedMemory memory = SharedMemory::create("test", 8192).value();
  std::byte* data = memory.map(true).value();
  std::memset(data, 7, 8192);
  EXPECT_DEATH(data[8192] = std::byte{1}, "");
  EXPECT_DEATH(data[-1] = std::byte{1}, "");
  std::byte* read_only = memory.map(false).value();
  EXPECT_EQ(read_only[8191], std::byte{7});
  EXPECT_DEATH(read_only[0] = std::byte{1}, "");
}

TEST(SharedMemory, MayBeMappedAgainAndMoved) {
  SharedMemory memory = SharedMemory::create("test", 700).value();
  std::byte* data = memory.map(true).value();
  data[699] = std::byte{3};
  SharedMemory moved(std::move(memory));
  EXPECT_EQ(moved.data(), data);
  EXPECT_EQ(moved.map(true).value()[699], std::byte{3});
}

}  // namespace
}  // namespace godwit::guard
