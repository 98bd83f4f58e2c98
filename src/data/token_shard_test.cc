// What could go wrong: ids that come back changed, above all a damaged file that is taken for a good one.
#include "data/token_shard.h"

#include <numeric>

#include "data/test_files.h"

namespace godwit::data {
namespace {

const Digest key = sha256(as_bytes("key"));

std::filesystem::path write_shard(const TestFiles& files, std::span<const std::int32_t> ids, std::uint32_t width) {
  const auto path = files.write("shard", "");
  auto writer = TokenShardWriter::create(path, key, width).value();
  writer.append(ids.first(ids.size() / 3)).value();
  writer.append(ids.subspan(ids.size() / 3)).value();
  writer.count_document(123);
  writer.commit().value();
  return path;
}

std::vector<std::int32_t> ids_up_to(std::int32_t id_max, std::size_t count) {
  std::vector<std::int32_t> ids(count);
  for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<std::int32_t>((i * 2654435761u) % (static_cast<std::uint32_t>(id_max) + 1u));
  ids.back() = id_max;
  return ids;
}

TEST(token_shard, ids_come_back_in_two_bytes_and_in_four) {
  const TestFiles files;
  EXPECT_EQ(shard_width(65536), 2u);
  EXPECT_EQ(shard_width(65537), 4u);
  for (const auto& [width, id_max] : {std::pair(2u, 65535), std::pair(4u, 0x7FFFFFFF)}) {
    for (const std::size_t count : {1u, 32767u, 32768u, 32769u, 100000u}) {
      const auto ids = ids_up_to(id_max, count);
      const auto path = write_shard(files, ids, width);
      const auto shard = TokenShard::open(path, key);
      ASSERT_TRUE(shard.ok()) << message(shard);
      EXPECT_EQ(shard->figures().ids, count);
      EXPECT_EQ(shard->figures().documents, 1u);
      EXPECT_EQ(shard->figures().text_bytes, 123u);
      EXPECT_EQ(shard->figures().id_max, static_cast<std::uint64_t>(id_max));
      EXPECT_EQ(shard->width(), width);
      std::vector<std::int32_t> read(count);
      shard->read(0, read).value();
      EXPECT_EQ(read, ids);
      std::vector<std::int32_t> last(1);
      shard->read(count - 1, last).value();
      EXPECT_EQ(last[0], id_max);
    }
  }
}

TEST(token_shard, every_changed_byte_is_found) {
  const TestFiles files;
  for (const std::uint32_t width : {2u, 4u}) {
    const auto path = write_shard(files, ids_up_to(60000, 40), width);
    const std::string good = TestFiles::read(path);
    for (std::size_t at = 0; at < good.size(); ++at) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << at % 8));
      const auto shard = TokenShard::open(files.write("bad", bad), key);
      ASSERT_FALSE(shard.ok()) << "byte " << at;
      ASSERT_EQ(shard.error().kind, ErrorKind::differs) << message(shard);
    }
  }
}

TEST(token_shard, damage_in_any_block_is_found) {
  const TestFiles files;
  const auto path = write_shard(files, ids_up_to(60000, 100000), 2);
  const std::string good = TestFiles::read(path);
  for (const std::size_t at : {64 + 65535, 64 + 65536, 64 + 199999}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    const auto shard = TokenShard::open(files.write("bad", bad), key);
    EXPECT_THAT(message(shard), testing::HasSubstr(fmt::format("block {}", (at - 64) / 65536)));
  }
}

TEST(token_shard, missing_and_extra_bytes_and_another_key_are_found) {
  const TestFiles files;
  const auto path = write_shard(files, ids_up_to(60000, 40), 2);
  const std::string good = TestFiles::read(path);
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto shard = TokenShard::open(files.write("bad", good.substr(0, size)), key);
    ASSERT_FALSE(shard.ok());
    ASSERT_EQ(shard.error().kind, ErrorKind::differs);
  }
  EXPECT_EQ(TokenShard::open(files.write("bad", good + '\0'), key).error().kind, ErrorKind::differs);
  EXPECT_EQ(TokenShard::open(path, sha256(as_bytes("another"))).error().kind, ErrorKind::differs);
  EXPECT_TRUE(TokenShard::open(path, key).ok());
}

TEST(token_shard, what_changes_after_it_was_opened_is_never_read) {
  const TestFiles files;
  const auto ids = ids_up_to(60000, 100000);
  const auto path = write_shard(files, ids, 2);
  const std::string good = TestFiles::read(path);
  const auto shard = TokenShard::open(path, key).value();
  std::vector<std::int32_t> some(5000);
  const auto read = [&](std::uint64_t begin) { return shard.read(begin, some); };

  std::string bad = good;
  bad[64 + 70000] = static_cast<char>(bad[64 + 70000] ^ 1);  // in block 1: ids 32768 to 65535
  files.write("shard", bad);
  EXPECT_THAT(message(read(40000)), testing::HasSubstr("the 64 KiB block 1 of its ids was changed"));
  EXPECT_EQ(read(30000).error().kind, ErrorKind::differs) << "it reaches into the block";
  EXPECT_TRUE(read(0).ok());
  EXPECT_TRUE(read(70000).ok());

  std::filesystem::resize_file(path, 64 + 150000);
  EXPECT_EQ(read(70000).error().kind, ErrorKind::differs);
  EXPECT_THAT(message(read(95000)), testing::HasSubstr("bytes before what is read there"));
  std::filesystem::remove(path);
  EXPECT_EQ(read(0).error().kind, ErrorKind::differs);

  files.write("shard", good);
  ASSERT_TRUE(read(40000).ok()) << "put back, it is as good as before";
  EXPECT_TRUE(std::equal(some.begin(), some.end(), ids.begin() + 40000));
}

TEST(token_shard, without_commit_there_is_none) {
  const TestFiles files;
  const auto path = files.cache();
  std::filesystem::create_directory(path);
  { TokenShardWriter::create(path / "shard", key, 2).value().append(std::vector<std::int32_t>{1, 2}).value(); }
  EXPECT_TRUE(std::filesystem::is_empty(path));
}

}  // namespace
}  // namespace godwit::data
