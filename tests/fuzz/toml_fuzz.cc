// Any bytes are a configuration or an error; what is accepted says the same when written and read again. Up to the first NUL the bytes are
// a --set, behind it the file.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace godwit;
  using T = ConfigType;
  static const std::vector<ConfigKey> keys = {
      {.section = "a", .key = "b", .type = T::integer, .fallback = 1, .minimum = 0, .maximum = 9.2e18},
      {.section = "a", .key = "r", .type = T::real, .maximum = 1e9},
      {.section = "a", .key = "t", .type = T::text, .choices = {"x", "y"}},
      {.section = "a", .key = "s", .type = T::texts},
      {.section = "a", .key = "n", .type = T::reals},
      {.section = "a", .key = "p", .type = T::tables},
      {.section = "a", .key = "f", .type = T::boolean},
  };
  static const std::vector<OpenSection> open_sections = {{"m", {"a", "b", "key"}}};
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t end = all.find('\0');
  std::vector<std::string> sets;
  if (end != std::string_view::npos) sets.emplace_back(all.substr(0, end));
  const auto config = Config::parse(end == std::string_view::npos ? all : all.substr(end + 1), "fuzz", sets, keys, open_sections);
  if (!config.ok()) return 0;
  const std::string written = config->toml();
  const auto again = Config::parse(written, "written", {}, keys, open_sections);
  CHECK(again.ok(), "{}\n{}", again.error().message, written);
  CHECK(again->toml() == written, "{}\nreads back as\n{}", written, again->toml());
  return 0;
}
