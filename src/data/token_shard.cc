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

Result<TokenShard> TokenShard::open(const std::filesystem::path& path, const Digest& key, const std::function<void()>& beat) {
  TokenShard shard;
  shard.path_ = path;
  std::error_code code;
  const std::uint64_t file_bytes = std::filesystem::file_size(path, code);
  if (code) return input_error("{}: {}", path.string(), code.message());
  if (file_bytes < sizeof(Header) + sizeof(Footer)) return damaged(path, fmt::format("only {} bytes long", file_bytes));
  Header header;
  Footer footer;
  TRY(read_range(path, 0, std::as_writable_bytes(std::span(&header, 1))));
  TRY(read_range(path, file_bytes - sizeof footer, std::as_writable_bytes(std::span(&footer, 1))));
  const bool ours = header.width == 2 || header.width == 4;
  if (!ours || std::memcmp(&header, bytes_of(make_header(key, header.width)).data(), sizeof header) != 0) {
    return damaged(path, "its header is not the one expected");
  }

  const std::uint64_t room = file_bytes - sizeof header - sizeof footer;
  if (footer.ids > room / header.width) return damaged(path, fmt::format("says it has {} ids in {} bytes", footer.ids, file_bytes));
  shard.figures_ = {footer.ids, footer.documents, footer.text_bytes, footer.id_max};
  shard.width_ = header.width;
  const std::uint64_t blocks = (shard.ids_bytes() + digest_block_bytes - 1) / digest_block_bytes;
  if (room - shard.ids_bytes() != blocks * sizeof(BlockHash)) {
    return damaged(path, fmt::format("{} bytes long, not the {} of {} ids", file_bytes,
                                     sizeof header + shard.ids_bytes() + blocks * sizeof(BlockHash) + sizeof footer, footer.ids));
  }
  shard.hashes_.resize(blocks);
  TRY(read_range(path, sizeof header + shard.ids_bytes(), std::as_writable_bytes(std::span(shard.hashes_))));
  Sha256 frame;
  frame.update(bytes_of(header));
  frame.update(std::as_bytes(std::span(shard.hashes_)));
  frame.update(bytes_of(footer).first(counted_bytes));
  if (std::memcmp(frame.finish().bytes.data(), footer.frame, sizeof footer.frame) != 0) return damaged(path, "its frame was changed");
  std::vector<std::byte> bytes;
  for (std::uint64_t block = 0; block < blocks; ++block) {
    TRY(shard.read_block(block, bytes));
    if (beat) beat();
  }
  return shard;
}

Result<void> TokenShard::read_block(std::uint64_t block, std::vector<std::byte>& bytes) const {
  const std::uint64_t begin = block * digest_block_bytes;
  bytes.resize(static_cast<std::size_t>(std::min<std::uint64_t>(digest_block_bytes, ids_bytes() - begin)));
  const Result<void> read = read_range(path_, sizeof(Header) + begin, bytes);
  if (!read.ok()) return read.error().kind == ErrorKind::input ? Error{ErrorKind::differs, read.error().message} : read.error();
  if (const BlockHash hash = hash_block(bytes); hash != hashes_[block]) {
    return damaged(path_, fmt::format("the 64 KiB block {} of its ids was changed: it has the hash {}, not {}", block, hex(hash),
                                      hex(hashes_[block])));
  }
  return {};
}

Result<void> TokenShard::read(std::uint64_t begin, std::span<std::int32_t> ids) const {
  CHECK(begin <= figures_.ids && ids.size() <= figures_.ids - begin, "ids {} + {} of {}", begin, ids.size(), figures_.ids);
  const std::uint64_t per_block = digest_block_bytes / width_;
  std::vector<std::byte> bytes;
  while (!ids.empty()) {
    const std::uint64_t block = begin / per_block, first = begin % per_block;
    TRY(read_block(block, bytes));
    const auto here = static_cast<std::size_t>(std::min<std::uint64_t>(ids.size(), per_block - first));
    const std::byte* from = bytes.data() + first * width_;
    for (std::int32_t& id : ids.first(here)) {
      id = 0;
      std::memcpy(&id, from, width_);
      from += width_;
    }
    ids = ids.subspan(here);
    begin += here;
  }
  return {};
}

}  // namespace godwit::data
