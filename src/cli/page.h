// The frame of a page that needs nothing else: no scripts, no fonts, no network. Well-formed as XML too.
#pragma once

#include <string>
#include <string_view>

namespace godwit::cli {

// `title` is text, `body` the markup below the heading.
[[nodiscard]] std::string html_page(std::string_view title, std::string_view body);

}  // namespace godwit::cli
