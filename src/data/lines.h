// Files of one JSON object a line.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "data/answers.h"

namespace godwit::data {

// take(line, place, share) of every line that is not blank: its place is "path:7", the share that of the text up to its end. An error ends it.
template <typename Take>
Result<void> each_line(const std::filesystem::path& path, std::string_view text, const Take& take) {
  std::string_view rest = text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (trimmed(line).empty()) continue;
    TRY(take(line, fmt::format("{}:{}", path.string(), number),
             static_cast<double>(text.size() - rest.size()) / static_cast<double>(text.size())));
  }
  return {};
}

}  // namespace godwit::data
