#include "serve/keys.h"

#include "base/file.h"

namespace godwit::serve {

namespace {

constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 20;

std::string_view trimmed(std::string_view line) {
  const std::size_t begin = line.find_first_not_of(" \t\r");
  return begin == std::string_view::npos ? std::string_view() : line.substr(begin, line.find_last_not_of(" \t\r") + 1 - begin);
}

}  // namespace

Result<Keys> Keys::load(const std::filesystem::path& path) {
  TRY_ASSIGN(const std::string text, read_file(path, file_bytes_max));
  return parse(text, path.string());
}

Result<Keys> Keys::parse(std::string_view text, std::string_view name) {
  Keys keys;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view key = trimmed(text.substr(begin, end - begin));
    if (!key.empty() && key[0] != '#') keys.digests_.insert(sha256(as_bytes(key)));
    begin = end + 1;
  }
  if (keys.digests_.empty()) return input_error("{} holds no key; write one on a line of its own", name);
  return keys;
}

std::optional<std::string> Keys::key_of(std::string_view authorization) const {
  constexpr std::string_view scheme = "Bearer ";
  std::string_view key;
  if (authorization.size() > scheme.size() && (authorization[0] | 0x20) == 'b' &&
      authorization.substr(1, scheme.size() - 1) == scheme.substr(1)) {
    key = trimmed(authorization.substr(scheme.size()));
  }
  if (needed() && (key.empty() || !digests_.contains(sha256(as_bytes(key))))) return std::nullopt;
  return std::string(key);
}

std::uint64_t owner_of(std::string_view key, std::string_view user) {
  Sha256 sha;
  sha.update(key);
  sha.update(std::string_view("\0", 1));  // a header holds none: no key ends where another's user begins
  sha.update(user);
  const Digest digest = sha.finish();
  std::uint64_t owner = 0;
  for (std::size_t i = 0; i < sizeof owner; ++i) owner = owner << 8 | std::to_integer<std::uint64_t>(digest.bytes[i]);
  return owner == 0 ? 1 : owner;
}

}  // namespace godwit::serve
