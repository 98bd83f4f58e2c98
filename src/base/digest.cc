#include "base/digest.h"

#include <openssl/evp.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // XXH3_128bits becomes the one for this machine's instruction set
#else
#include <xxhash.h>
#endif

#include <bit>
#include <cstring>

namespace godwit {
namespace {

static_assert(std::endian::native == std::endian::little, "digests and files hold little-endian bytes as they lie in memory");

template <typename Integer>
void add_integer(Sha256& sha, Integer value) {
  sha.update(std::as_bytes(std::span(&value, 1)));
}

void add_text(Sha256& sha, std::string_view text) {
  add_integer(sha, static_cast<std::uint32_t>(text.size()));
  sha.update(text);
}

int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

template <std::size_t count>
Result<std::array<std::byte, count>> parse_hex(std::string_view text) {
  std::array<std::byte, count> bytes{};
  bool valid = text.size() == 2 * count;
  for (std::size_t i = 0; valid && i < count; ++i) {
    const int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
    valid = high >= 0 && low >= 0;
    bytes[i] = static_cast<std::byte>((high << 4 | low) & 0xff);
  }
  if (!valid) return input_error("'{}' is not a digest of {} hexadecimal digits", text.substr(0, 80), 2 * count);
  return bytes;
}

}  // namespace

std::string hex(std::span<const std::byte> bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    text += digits[std::to_integer<unsigned>(byte) >> 4];
    text += digits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

Result<Digest> parse_digest(std::string_view text) {
  TRY_ASSIGN(const auto bytes, parse_hex<32>(text));
  return Digest{bytes};
}

Result<BlockHash> parse_block_hash(std::string_view text) {
  TRY_ASSIGN(const auto bytes, parse_hex<16>(text));
  return BlockHash{bytes};
}

BlockHash hash_block(std::span<const std::byte> bytes) {
  CHECK(bytes.size() <= digest_block_bytes, "a block has at most {} bytes, this one {}", digest_block_bytes, bytes.size());
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  BlockHash hash;
  static_assert(sizeof canonical.digest == sizeof hash.bytes);
  std::memcpy(hash.bytes.data(), canonical.digest, sizeof canonical.digest);
  return hash;
}

std::vector<BlockHash> hash_blocks(std::span<const std::byte> bytes) {
  std::vector<BlockHash> blocks;
  blocks.reserve((bytes.size() + digest_block_bytes - 1) / digest_block_bytes);
  while (!bytes.empty()) {
    const auto block = bytes.first(std::min(bytes.size(), digest_block_bytes));
    blocks.push_back(hash_block(block));
    bytes = bytes.subspan(block.size());
  }
  return blocks;
}

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  CHECK(context_->evp != nullptr && EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr) == 1, "OpenSSL has no SHA-256");
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  CHECK(context_ != nullptr, "a digest was added to after its end");
  CHECK(EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) == 1, "EVP_DigestUpdate failed");
}

void Sha256::update(std::string_view text) {
  update(std::as_bytes(std::span(text.data(), text.size())));
}

Digest Sha256::finish() {
  CHECK(context_ != nullptr, "a digest was finished twice");
  Digest digest;
  CHECK(EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(digest.bytes.data()), nullptr) == 1,
        "EVP_DigestFinal_ex failed");
  context_.reset();
  return digest;
}

Digest sha256(std::span<const std::byte> bytes) {
  Sha256 sha;
  sha.update(bytes);
  return sha.finish();
}

TensorDigest tensor_digest(std::string_view name, std::string_view dtype, std::span<const std::uint64_t> shape,
                           std::span<const std::byte> bytes) {
  return {std::string(name), std::string(dtype), {shape.begin(), shape.end()}, bytes.size(), hash_blocks(bytes)};
}

StateDigest::StateDigest() {
  sha_.update("godwit state digest 1\n");
}

void StateDigest::add(const TensorDigest& tensor) {
  CHECK(tensor.blocks.size() == (tensor.bytes + digest_block_bytes - 1) / digest_block_bytes, "{}: {} bytes but {} block hashes",
        tensor.name, tensor.bytes, tensor.blocks.size());
  add_text(sha_, tensor.name);
  add_text(sha_, tensor.dtype);
  add_integer(sha_, static_cast<std::uint32_t>(tensor.shape.size()));
  for (const std::uint64_t dimension : tensor.shape) add_integer(sha_, dimension);
  add_integer(sha_, tensor.bytes);
  add_integer(sha_, static_cast<std::uint64_t>(tensor.blocks.size()));
  sha_.update(std::as_bytes(std::span(tensor.blocks)));
  ++count_;
}

Digest StateDigest::finish() {
  add_integer(sha_, count_);
  return sha_.finish();
}

Digest state_digest(std::span<const TensorDigest> tensors) {
  StateDigest digest;
  for (const auto& tensor : tensors) digest.add(tensor);
  return digest.finish();
}

}  // namespace godwit
