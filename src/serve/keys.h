// Who may ask, and whose cached prompts are whose.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"

namespace godwit::serve {

class Keys {
 public:
  // Nobody needs a key.
  Keys() = default;
  // A key a line; blank lines and lines that begin with # are not keys. A file without any is an input error: it would lock everybody out,
  // or nobody.
  [[nodiscard]] static Result<Keys> load(const std::filesystem::path& path);
  [[nodiscard]] static Result<Keys> parse(std::string_view text, std::string_view name);

  [[nodiscard]] bool needed() const { return !digests_.empty(); }
  // The key of an Authorization header ("Bearer KEY"), where it is one of these; without keys to be had, whatever it says, "" for nothing.
  // How long it takes says nothing of the keys: digests are compared.
  [[nodiscard]] std::optional<std::string> key_of(std::string_view authorization) const;

 private:
  struct Less {
    bool operator()(const Digest& a, const Digest& b) const { return a.bytes < b.bytes; }
  };
  std::set<Digest, Less> digests_;
};

// Whose cache: a number of key and user that nobody can guess or choose, never 0.
[[nodiscard]] std::uint64_t owner_of(std::string_view key, std::string_view user);

}  // namespace godwit::serve
