#include "base/temporary_directory.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace godwit {

Result<TemporaryDirectory> TemporaryDirectory::create() {
  std::error_code error;
  std::string pattern = (std::filesystem::temp_directory_path(error) / "godwit-XXXXXX").string();
  if (error) return world_error("there is no directory for temporary files: {}; set TMPDIR", error.message());
  if (::mkdtemp(pattern.data()) == nullptr) return world_error("{} cannot be made: {}; set TMPDIR", pattern, std::strerror(errno));
  return TemporaryDirectory(pattern);
}

TemporaryDirectory::TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace godwit
