// The chat page's files, which lie in the binary.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "serve/http.h"

namespace godwit::serve {

struct PageFile {
  std::string_view name;  // "index.html", "fonts/a.woff2"
  std::string_view bytes;
};

// src/serve/page, as the build found it; sorted by name.
[[nodiscard]] std::span<const PageFile> page_files();

// The file for a path, "/" being index.html, or nothing. Known by its content's digest: a client that has it is told so (304).
[[nodiscard]] bool page_response(std::string_view path, std::string_view if_none_match, HttpResponse& response);

}  // namespace godwit::serve
