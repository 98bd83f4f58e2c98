#include "kernel.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace godwit::opencl {

namespace {

constexpr std::int64_t rounded_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Asking for an attribute the op does not have is a bug of a kernel's plan.
const Call::Attribute& attribute_of(const Call& call, std::string_view name) {
  for (const Call::Attribute& attribute : call.attributes) {
    if (attribute.name == name) return attribute;
  }
  std::fprintf(stderr, "a kernel asks for the attribute %.*s, which its op does not have\n", static_cast<int>(name.size()), name.data());
  std::abort();
}

}  // namespace

std::int64_t View::count() const {
  std::int64_t product = 1;
  for (int i = 0; i < rank; ++i) product *= shape[i];
  return product;
}

std::int64_t Call::integer(std::string_view name) const {
  return attribute_of(*this, name).integer;
}

double Call::real(std::string_view name) const {
  return attribute_of(*this, name).real;
}

Argument Plan::scratch(std::int64_t bytes) {
  const Place place{Place::Kind::scratch, 0, scratch_bytes_, bytes};
  scratch_bytes_ += rounded_up(bytes, GODWIT_ALIGNMENT);
  return place;
}

Range Plan::elements(std::int64_t count) const {
  const std::int64_t group = call_.traits.style == Style::wide ? 128 : std::min(256, call_.traits.group_max);
  return {1, {static_cast<std::size_t>(rounded_up(count, group)), 1, 1}, {static_cast<std::size_t>(group), 1, 1}};
}

Range Plan::rows(std::int64_t count) const {
  if (call_.traits.style == Style::wide) return items(count);
  return {1, {static_cast<std::size_t>(count) * 64, 1, 1}, {64, 1, 1}};
}

void Plan::launch(std::string_view source, std::string_view function, std::vector<Argument> arguments, const Range& range,
                  std::string_view defines) {
  if (range.global[0] * range.global[1] * range.global[2] == 0) return;
  std::string all(defines);
  const auto define_types = [&](const char* what, const std::vector<View>& views) {
    for (std::size_t i = 0; i < views.size() && i < 2; ++i) {
      if (views[i].bf16()) all += fmt::format("{}-D{}{}_BF16", all.empty() ? "" : " ", what, i);
    }
  };
  define_types("IN", call_.in);
  define_types("OUT", call_.out);
  launches_.push_back({std::string(source), std::move(all), std::string(function), std::move(arguments), range});
}

}  // namespace godwit::opencl
