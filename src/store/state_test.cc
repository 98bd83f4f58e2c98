// What could go wrong: a block is hashed twice or not at all when threads share a tensor, so that the digest depends on their number.
#include "store/state.h"

#include <gtest/gtest.h>

#include <array>

namespace godwit::store {
namespace {

struct HashedMemory {
  std::vector<std::vector<std::byte>> bytes;
  StateList list;
  void add(std::string name, std::string dtype, std::vector<std::uint64_t> shape, std::size_t size) {
    auto& content = bytes.emplace_back(size);
    for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<std::byte>((i * 2654435761u + bytes.size()) >> 7);
    list.push_back({std::move(name), std::move(dtype), std::move(shape), content});
  }
};

TEST(State, TheDigestIsThatOfEachTensorWhateverTheThreads) {
  HashedMemory memory;
  memory.bytes.reserve(5);
  memory.add("run.step", "U64", {}, 8);
  memory.add("empty", "F32", {0, 4}, 0);
  memory.add("small", "F32", {3}, 12);
  memory.add("odd", "F32", {1000003}, 4000012);
  memory.add("even", "F32", {32, 16384}, 2097152);
  std::vector<TensorDigest> expected;
  for (const auto& tensor : memory.list) expected.push_back(tensor_digest(tensor.name, tensor.dtype, tensor.shape, tensor.bytes));
  for (const int threads : {-1, 0, 1, 2, 3, 5, 64}) {
    EXPECT_EQ(digest_tensors(memory.list, threads), expected) << threads;
    EXPECT_EQ(digest_state(memory.list, threads), state_digest(expected)) << threads;
  }
  memory.bytes[3][4000011] ^= std::byte{1};
  EXPECT_NE(digest_state(memory.list, 2), state_digest(expected));
}

TEST(State, AnEmptyListHasADigest) {
  EXPECT_TRUE(digest_tensors({}, 4).empty());
  EXPECT_EQ(digest_state({}, 4), state_digest({}));
}

}  // namespace
}  // namespace godwit::store
