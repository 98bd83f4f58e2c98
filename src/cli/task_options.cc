#include "cli/task_options.h"

#include <string_view>

namespace godwit::cli {

Result<Json> task_options(const std::vector<std::string>& sets) {
  constexpr std::string_view prefix = "options.";
  Json options = Json::object();
  for (const std::string& set : sets) {
    const std::size_t equals = set.find('=');
    if (!set.starts_with(prefix) || equals == std::string::npos || equals == prefix.size() || equals + 1 == set.size()) {
      return input_error("--set {}: options.KEY=VALUE is wanted, as in --set options.bits=16", set);
    }
    const std::string value = set.substr(equals + 1);
    const auto number = parse_json(value, "value");
    options[set.substr(prefix.size(), equals - prefix.size())] = number.ok() && number->is_number() ? *number : Json(value);
  }
  return options;
}

}  // namespace godwit::cli
