// Token shards: the ids of one source on disk. Derived data: a shard that is missing or damaged is made again.
//
// All integers little-endian:
//
//     16 bytes  "godwit tokens 1\n"
//     u32       bytes per id: 2 or 4
//     u32       0
//     32 bytes  key: what the ids were made from (text_dataset.cc)
//     u64       0
//     the ids
//     per 64 KiB of them, 16 bytes XXH3-128 (the last block may be shorter)
//     u64       number of ids
//     u64       number of documents
//     u64       bytes of text they stand for
//     u64       largest id
//     32 bytes  SHA-256 of everything but the ids and itself
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"

namespace godwit::data {

struct ShardFigures {
  std::uint64_t ids = 0;
  std::uint64_t documents = 0;
  std::uint64_t text_bytes = 0;
  std::uint64_t id_max = 0;
};

// Two bytes hold every id of a vocabulary this large.
[[nodiscard]] constexpr std::uint32_t shard_width(std::int64_t vocab_size) {
  return vocab_size <= 65536 ? 2 : 4;
}

// Writes aside and puts the whole shard in place at commit(). After an error only destruction is allowed. Not thread-safe.
class TokenShardWriter {
 public:
  [[nodiscard]] static Result<TokenShardWriter> create(const std::filesystem::path& path, const Digest& key, std::uint32_t width);
  // CHECKs that ids fit the width.
  [[nodiscard]] Result<void> append(std::span<const std::int32_t> ids);
  void count_document(std::uint64_t text_bytes);
  [[nodiscard]] const ShardFigures& figures() const { return figures_; }
  [[nodiscard]] Result<void> commit();

 private:
  TokenShardWriter(DurableWriter file, std::uint32_t width) : file_(std::move(file)), width_(width) {}
  [[nodiscard]] Result<void> end_block();

  DurableWriter file_;
  Sha256 frame_;  // over header, hashes and figures
  std::vector<std::byte> block_;
  std::vector<BlockHash> hashes_;
  ShardFigures figures_;
  std::uint32_t width_;
};

// A finished shard, read from the disk whenever ids are asked for: not mapped, since a file that is cut under a mapping ends the process,
// and never believed: the hashes of its blocks are kept in memory. Immutable; readable from many threads at once.
class TokenShard {
 public:
  // Verifies every byte of the file. ErrorKind::differs if it is damaged or was not made from what `key` names. `beat` is called now and
  // then; may be empty.
  [[nodiscard]] static Result<TokenShard> open(const std::filesystem::path& path, const Digest& key,
                                               const std::function<void()>& beat = nullptr);

  [[nodiscard]] const ShardFigures& figures() const { return figures_; }
  [[nodiscard]] std::uint32_t width() const { return width_; }
  // ids[begin …]; the range must exist. ErrorKind::differs if the file is gone, or a block they lie in is not what it was when it was
  // opened; one that has taken its place since then and holds the same is as good.
  [[nodiscard]] Result<void> read(std::uint64_t begin, std::span<std::int32_t> ids) const;

 private:
  [[nodiscard]] std::uint64_t ids_bytes() const { return figures_.ids * width_; }
  [[nodiscard]] Result<void> read_block(std::uint64_t block, std::vector<std::byte>& bytes) const;

  std::filesystem::path path_;
  std::vector<BlockHash> hashes_;
  ShardFigures figures_;
  std::uint32_t width_ = 0;
};

}  // namespace godwit::data
