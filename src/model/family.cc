#include "model/family.h"

#include <cmath>

#include "base/math.h"
#include "base/random.h"

namespace godwit::model {

Result<const Family*> find_family(std::string_view name, std::string_view source) {
  std::string known;
  for (const Family* family : all_families()) {
    if (family->name == name) return family;
    known += (known.empty() ? "" : ", ") + std::string(family->name);
  }
  return input_error("{}: model_type '{}' is not a family godwit knows; it knows: {}", source, name, known);
}

Result<std::unique_ptr<Model>> model_from_config(const Json& config, std::string_view source) {
  if (!config.is_object()) return input_error("{}: a model's config must be a JSON object", source);
  const Json* type = config.find("model_type");
  if (type == nullptr || !type->is_string()) return input_error("{}: model_type is missing; godwit reads deepseek_v3", source);
  TRY_ASSIGN(const Family* family, find_family(type->get<std::string>(), source));
  return family->from_config(config, source);
}

// Box–Muller on two fp64 uniforms of one Philox block: sqrt(−2 log u)·cos(2πv), u in (0, 1].
std::vector<float> initial_values(const Model& model, std::size_t parameter, std::uint64_t seed) {
  const Parameter& p = model.parameters()[parameter];
  std::vector<float> values(static_cast<std::size_t>(p.shape.count()), p.init == Parameter::Init::one ? 1.0f : 0.0f);
  if (p.init != Parameter::Init::normal) return values;
  const RandomStream stream(seed, Purpose::init, parameter);
  const double range = model.initializer_range();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto words = stream.words(i);
    const double u = 1.0 - uniform_f64(words[0] | std::uint64_t{words[1]} << 32);
    const double v = uniform_f64(words[2] | std::uint64_t{words[3]} << 32);
    values[i] = static_cast<float>(range * (std::sqrt(-2.0 * math::log(u)) * math::cos_pi(2.0 * v)));
  }
  return values;
}

}  // namespace godwit::model
