#include "data/token_shard.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

namespace godwit::data {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are little-endian and read in place");

struct Header {
  char magic[16];
  std::uint32_t width;
  std::uint32_t zero;
  std::byte key[32];
  std::uint64_t zeros;
};
struct Footer {
  std::uint64_t ids, documents, text_bytes, id_max;
  std::byte frame[32];
};
static_assert(sizeof(Header) == 64 && sizeof(Footer) == 64);

constexpr std::string_view magic = "godwit tokens 1\n";
constexpr std::size_t counted_bytes = 32;  // of the footer, before the digest

Header make_header(const Digest& key, std::uint32_t width) {
  Header header{};
  std::memcpy(header.magic, magic.data(), magic.size());
  header.width = width;
  std::memcpy(header.key, key.bytes.data(), key.bytes.size());
  return header;
}

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

Error damaged(const std::filesystem::path& path, std::string_view what) {
  return differs_error("{}: {}", path.string(), what);
}

}  // namespace

Result<TokenShardWriter> TokenShardWriter::create(const std::filesystem::path& path, const Digest& key, std::uint32_t width) {
  CHECK(width == 2 || width == 4, "ids of {} bytes", width);
  TRY_ASSIGN(DurableWriter file, DurableWriter::create(path));
  TokenShardWriter writer(std::move(file), width);
  const Header header = make_header(key, width);
  writer.frame_.update(bytes_of(header));
  TRY(writer.file_.append(bytes_of(header)));
  writer.block_.reserve(digest_block_bytes);
  return writer;
}

Result<void> TokenShardWriter::append(std::span<const std::int32_t> ids) {
  for (const std::int32_t id : ids) {
    CHECK(id >= 0 && (width_ == 4 || id <= 0xFFFF), "the id {} does not fit {} bytes", id, width_);
    const auto bytes = bytes_of(id);
    block_.insert(block_.end(), bytes.begin(), bytes.begin() + width_);
    if (block_.size() == digest_block_bytes) TRY(end_block());
    figures_.id_max = std::max(figures_.id_max, static_cast<std::uint64_t>(id));
  }
  figures_.ids += ids.size();
  return {};
}

void TokenShardWriter::count_document(std::uint64_t text_bytes) {
  ++figures_.documents;
  figures_.text_bytes += text_bytes;
}

Result<void> TokenShardWriter::end_block() {
  hashes_.push_back(hash_block(block_));
  TRY(file_.append(block_));
  block_.clear();
  return {};
}

Result<void> TokenShardWriter::commit() {
  if (!block_.empty()) TRY(end_block());
  Footer footer{figures_.ids, figures_.documents, figures_.text_bytes, figures_.id_max, {}};
  const auto hashes = std::as_bytes(std::span(hashes_));
  frame_.update(hashes);
  frame_.update(bytes_of(footer).first(counted_bytes));
  const Digest frame = frame_.finish();
  std::memcpy(footer.frame, frame.bytes.data(), frame.bytes.size());
  TRY(file_.append(hashes));
  TRY(file_.append(bytes_of(footer)));
  return file_.commit();
}

Result<TokenShard> TokenShard::open(const std::filesystem::path& path, const Digest& key) {
  TokenShard shard;
  TRY_ASSIGN(shard.file_, MappedFile::open(path));
  const std::span<const std::byte> file = shard.file_.bytes();
  if (file.size() < sizeof(Header) + sizeof(Footer)) return damaged(path, fmt::format("only {} bytes long", file.size()));
  Header header;
  Footer footer;
  std::memcpy(&header, file.data(), sizeof header);
  std::memcpy(&footer, file.data() + file.size() - sizeof footer, sizeof footer);
  const bool ours = header.width == 2 || header.width == 4;
  if (!ours || std::memcmp(&header, bytes_of(make_header(key, header.width)).data(), sizeof header) != 0) {
    return damaged(path, "its header is not the one expected");
  }

  const std::uint64_t room = file.size() - sizeof header - sizeof footer;
  if (footer.ids > room / header.width) return damaged(path, fmt::format("says it has {} ids in {} bytes", footer.ids, file.size()));
  const std::uint64_t ids_bytes = footer.ids * header.width;
  const std::uint64_t blocks = (ids_bytes + digest_block_bytes - 1) / digest_block_bytes;
  if (room - ids_bytes != blocks * sizeof(BlockHash)) {
    return damaged(path, fmt::format("{} bytes long, not the {} of {} ids", file.size(),
                                     sizeof header + ids_bytes + blocks * sizeof(BlockHash) + sizeof footer, footer.ids));
  }
  const auto ids = file.subspan(sizeof header, ids_bytes);
  const auto hashes = file.subspan(sizeof header + ids_bytes, blocks * sizeof(BlockHash));
  Sha256 frame;
  frame.update(bytes_of(header));
  frame.update(hashes);
  frame.update(bytes_of(footer).first(counted_bytes));
  if (std::memcmp(frame.finish().bytes.data(), footer.frame, sizeof footer.frame) != 0) return damaged(path, "its frame was changed");
  shard.file_.read_ahead();
  for (std::uint64_t block = 0; block < blocks; ++block) {
    const std::uint64_t begin = block * digest_block_bytes;
    const BlockHash hash = hash_block(ids.subspan(begin, std::min<std::uint64_t>(digest_block_bytes, ids_bytes - begin)));
    if (std::memcmp(&hash, hashes.data() + block * sizeof hash, sizeof hash) != 0) {
      return damaged(path, fmt::format("the 64 KiB block {} of its ids was changed", block));
    }
  }
  shard.figures_ = {footer.ids, footer.documents, footer.text_bytes, footer.id_max};
  shard.width_ = header.width;
  return shard;
}

void TokenShard::read(std::uint64_t begin, std::span<std::int32_t> ids) const {
  CHECK(begin <= figures_.ids && ids.size() <= figures_.ids - begin, "ids {} + {} of {}", begin, ids.size(), figures_.ids);
  const std::byte* from = file_.bytes().data() + sizeof(Header) + begin * width_;
  for (std::int32_t& id : ids) {
    id = 0;
    std::memcpy(&id, from, width_);
    from += width_;
  }
}

}  // namespace godwit::data
