// The open list of model families: one file in families/ each.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "model/model.h"

namespace godwit::model {

struct Family {
  std::string_view name;  // config.json's model_type
  // A config.json (old and new spellings). Errors name the key, both values and the way out; `source` opens them ("m/config.json").
  Result<std::unique_ptr<Model>> (*from_config)(const Json& config, std::string_view source);
  // A full config of a preset, or null if it has none of that name. Keys of the caller's own are laid over it before from_config.
  const Json* (*preset)(std::string_view name);
  std::vector<std::string_view> (*presets)();
};

[[nodiscard]] std::span<const Family* const> all_families();
// By model_type; an unknown one is an input error that names those known.
[[nodiscard]] Result<const Family*> find_family(std::string_view name, std::string_view source);
[[nodiscard]] Result<std::unique_ptr<Model>> model_from_config(const Json& config, std::string_view source);

}  // namespace godwit::model
