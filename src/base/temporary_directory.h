// A directory for files that nobody needs later, removed with the object.
#pragma once

#include <filesystem>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace godwit {

class TemporaryDirectory {
 public:
  // Where the system keeps such (TMPDIR).
  [[nodiscard]] static Result<TemporaryDirectory> create();
  TemporaryDirectory(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  // It stays on the disk, for whoever must look into it.
  std::filesystem::path keep() && { return std::exchange(path_, {}); }

 private:
  explicit TemporaryDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;  // empty: moved from
};

}  // namespace godwit
