#include "data/kinds.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace godwit::data {

std::span<const Kind> all_kinds() {
  static constexpr std::array kinds{Kind{"text", open_text}, Kind{"ids", open_ids}, Kind{"chat", open_chat}, Kind{"task", open_task}, Kind{"mix", open_mix}};
  return kinds;
}

Result<std::unique_ptr<Dataset>> open_dataset(const DataSettings& settings, const DatasetOptions& options) {
  CHECK(options.vocab_size > 0, "a vocabulary of {}", options.vocab_size);
  const auto kind = std::ranges::find(all_kinds(), std::string_view(settings.kind), &Kind::name);
  CHECK(kind != all_kinds().end(), "no kind of data is called {}", settings.kind);
  return kind->open(settings, options);
}

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}

}  // namespace godwit::data
