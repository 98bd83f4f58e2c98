// The file behind guard/trust.h: notes in SQLite, chained by hashes, for several processes at once.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "guard/trust.h"

namespace godwit::guard {

// All notes; none where there is no file. An error of kind `differs` if the file is damaged: not a database, not of this shape, or a note
// whose hash is not that of the notes up to it.
[[nodiscard]] Result<std::vector<TrustNote>> read_trust(const std::filesystem::path& file);
// Adds one behind the others, durably; makes the file if there is none. The same error if what is there is damaged.
[[nodiscard]] Result<void> append_trust(const std::filesystem::path& file, const TrustNote& note);

}  // namespace godwit::guard
