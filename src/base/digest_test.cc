// What could go wrong: the digest is not the one its definition gives, or two different states share one.
#include "base/digest.h"

#include <gtest/gtest.h>

namespace godwit {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(DigestTest, KnownAnswers) {
  // FIPS 180-4's "abc"; XXH3-128 of nothing from xxhash's own sanity test.
  EXPECT_EQ(hex(sha256(bytes_of("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(hash_block({})), "99aa06d3014798d86001c324468d497f");
  Sha256 sha;
  sha.update("a");
  sha.update("");
  sha.update("bc");
  EXPECT_EQ(sha.finish(), sha256(bytes_of("abc")));
}

TEST(DigestTest, HexReadsBackAndRefusesTheRest) {
  const Digest digest = sha256(bytes_of("abc"));
  EXPECT_EQ(parse_digest(hex(digest)).value(), digest);
  EXPECT_EQ(parse_block_hash(hex(hash_block({}))).value(), hash_block({}));
  EXPECT_FALSE(parse_digest("ab").ok());
  EXPECT_FALSE(parse_digest(std::string(64, 'A')).ok());
  EXPECT_FALSE(parse_digest(std::string(63, 'a') + "g").ok());
}

TEST(DigestTest, BlocksAre64KiB) {
  std::vector<std::byte> bytes(2 * digest_block_bytes + 1);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 % 251);
  const auto blocks = hash_blocks(bytes);
  ASSERT_EQ(blocks.size(), 3u);
  EXPECT_EQ(blocks[1], hash_block(std::span(bytes).subspan(digest_block_bytes, digest_block_bytes)));
  EXPECT_EQ(blocks[2], hash_block(std::span(bytes).last(1)));
  EXPECT_TRUE(hash_blocks({}).empty());
}

// The definition at the head of digest.h, written out by hand.
TEST(DigestTest, StateDigestIsTheSha256OfItsDefinition) {
  const std::string data = "12345678";
  std::string serial = "godwit state digest 1\n";
  auto u32 = [&](std::uint32_t v) { serial.append(reinterpret_cast<const char*>(&v), 4); };
  auto u64 = [&](std::uint64_t v) { serial.append(reinterpret_cast<const char*>(&v), 8); };
  u32(3);
  serial += "w.a";
  u32(3);
  serial += "F32";
  u32(2);
  u64(1);
  u64(2);
  u64(8);
  u64(1);
  const auto block = hash_block(bytes_of(data));
  serial.append(reinterpret_cast<const char*>(block.bytes.data()), 16);
  u64(1);
  const std::uint64_t shape[] = {1, 2};
  const TensorDigest tensor = tensor_digest("w.a", "F32", shape, bytes_of(data));
  EXPECT_EQ(state_digest(std::span(&tensor, 1)), sha256(bytes_of(serial)));
}

TEST(DigestTest, EverythingCounts) {
  const std::uint64_t flat[] = {2}, row[] = {1, 2};
  const std::string data = "12345678", other = "12345679";
  const std::vector<TensorDigest> variants = {
      tensor_digest("a", "F32", flat, bytes_of(data)), tensor_digest("b", "F32", flat, bytes_of(data)),
      tensor_digest("a", "I32", flat, bytes_of(data)), tensor_digest("a", "F32", row, bytes_of(data)),
      tensor_digest("a", "F32", flat, bytes_of(other))};
  for (std::size_t i = 0; i < variants.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(state_digest(std::span(&variants[i], 1)), state_digest(std::span(&variants[j], 1)));
  }
  const std::vector<TensorDigest> swapped = {variants[1], variants[0]};
  EXPECT_NE(state_digest(std::span(variants).first(2)), state_digest(swapped));
  EXPECT_NE(state_digest({}), state_digest(std::span(variants).first(1)));
}

}  // namespace
}  // namespace godwit
