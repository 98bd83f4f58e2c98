#include "store/state.h"

#include <algorithm>

#include "store/spread.h"

namespace godwit::store {
namespace {

// A thread takes this much at a time: enough to hide the hand-over, few enough that the threads end together.
constexpr std::size_t blocks_at_once = 16;
// Below this a thread costs more than it saves.
constexpr std::size_t bytes_per_thread = std::size_t{1} << 20;

struct Piece {
  std::size_t tensor = 0, block = 0;
};

}  // namespace

std::vector<TensorDigest> digest_tensors(const StateList& state, int threads) {
  std::vector<TensorDigest> digests;
  std::vector<Piece> pieces;
  std::size_t total = 0;
  for (const auto& tensor : state) {
    const std::size_t blocks = (tensor.bytes.size() + digest_block_bytes - 1) / digest_block_bytes;
    for (std::size_t block = 0; block < blocks; block += blocks_at_once) pieces.push_back({digests.size(), block});
    digests.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.bytes.size(), std::vector<BlockHash>(blocks)});
    total += tensor.bytes.size();
  }
  const auto useful = static_cast<int>(std::min<std::size_t>(total / bytes_per_thread + 1, 1024));
  spread(pieces.size(), std::min(threads, useful), [&](std::size_t index) {
    const auto [tensor, first] = pieces[index];
    auto& blocks = digests[tensor].blocks;
    const std::span<const std::byte> bytes = state[tensor].bytes;
    for (std::size_t block = first; block < std::min(first + blocks_at_once, blocks.size()); ++block) {
      const std::size_t start = block * digest_block_bytes;
      blocks[block] = hash_block(bytes.subspan(start, std::min(digest_block_bytes, bytes.size() - start)));
    }
  });
  return digests;
}

Digest digest_state(const StateList& state, int threads) {
  return state_digest(digest_tensors(state, threads));
}

}  // namespace godwit::store
