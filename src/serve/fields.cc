#include "serve/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/config.h"
#include "infer/answer_text.h"

namespace godwit::serve {

std::optional<std::int64_t> whole_number(const Json& value) {
  if (value.kind() == Json::Kind::signed_integer) return value.get<std::int64_t>();
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return static_cast<std::int64_t>(number);
    return std::nullopt;
  }
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    if (std::abs(number) <= 0x1p53 && number == std::floor(number)) return static_cast<std::int64_t>(number);
  }
  return std::nullopt;
}

std::string shown(const Json& value) {
  if (value.is_array() || value.is_object()) return fmt::format("an {}", value.type_name());
  constexpr std::size_t shown_bytes_max = 60;
  std::string text = write_json(value);
  if (text.size() <= shown_bytes_max) return text;
  text.resize(shown_bytes_max);
  // The cut may have halved a character.
  return infer::readable(text) + "…";
}

Fields::Fields(const Json& object, std::string prefix, std::optional<ApiError>& fault)
    : object_(object), prefix_(std::move(prefix)), fault_(fault) {
  if (object.is_object() || fault_) return;
  std::string name = prefix_.empty() ? "" : prefix_.substr(0, prefix_.size() - 1);
  fault_ = ApiError{400, fmt::format("{} must be a JSON object, not {}", name.empty() ? "the body" : name, shown(object)), name};
}

const Json* Fields::take(std::string_view name) {
  asked_.emplace_back(name);
  if (fault_) return nullptr;
  const Json* value = object_.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::optional<std::int64_t> Fields::integer(std::string_view name, std::int64_t minimum, std::int64_t maximum) {
  const Json* value = take(name);
  if (value == nullptr) return std::nullopt;
  const std::optional<std::int64_t> number = whole_number(*value);
  if (!number || *number < minimum || *number > maximum) {
    refuse(name, fmt::format("must be a whole number from {} to {}, not {}", minimum, maximum, shown(*value)));
    return std::nullopt;
  }
  return number;
}

std::optional<double> Fields::number(std::string_view name, double minimum, double maximum) {
  const Json* value = take(name);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : std::numeric_limits<double>::quiet_NaN();
  if (!(number >= minimum && number <= maximum)) {
    refuse(name, fmt::format("must be a number from {} to {}, not {}", minimum, maximum, shown(*value)));
    return std::nullopt;
  }
  return number;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Json* value = take(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    refuse(name, fmt::format("must be true or false, not {}", shown(*value)));
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<std::string> Fields::text(std::string_view name) {
  const Json* value = take(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    refuse(name, fmt::format("must be a string, not {}", shown(*value)));
    return std::nullopt;
  }
  return value->string();
}

const Json* Fields::any(std::string_view name) {
  return take(name);
}

void Fields::refuse(std::string_view name, std::string message, std::string code) {
  if (fault_) return;
  const std::string full = full_name(name);
  fault_ = ApiError{400, fmt::format("{} {}", full, message), full, std::move(code)};
}

void Fields::finish(std::span<const Unsupported> unsupported) {
  if (fault_) return;
  for (const auto& [key, value] : object_.items()) {
    if (std::ranges::find(asked_, key) != asked_.end()) continue;
    const auto known = std::ranges::find(unsupported, std::string_view(key), &Unsupported::name);
    if (known != unsupported.end()) {
      if (value.is_null() || write_json(value) == known->neutral) continue;
      refuse(key, fmt::format("is not supported by this server{}{}", known->advice.empty() ? "" : "; ", known->advice),
             "unsupported_parameter");
      return;
    }
    const std::string near = nearest_name(key, asked_);
    refuse(key.substr(0, 200), fmt::format("is not a parameter{}", near.empty() ? "" : fmt::format("; did you mean {}?", full_name(near))),
           "unknown_parameter");
    return;
  }
}

}  // namespace godwit::serve
