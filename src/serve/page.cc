#include "serve/page.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/digest.h"

namespace godwit::serve {

namespace {

// Scripts, styles, fonts and connections of this server alone; nothing inline, nothing framed.
constexpr const char* content_security_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri "
    "'none'; "
    "form-action 'none'; frame-ancestors 'none'";

std::string content_type(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 10> types{{
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".mjs", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".webmanifest", "application/manifest+json"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".ico", "image/x-icon"},
      {".woff2", "font/woff2"},
  }};
  for (const auto& [ending, type] : types) {
    if (name.ends_with(ending)) return std::string(type);
  }
  return "application/octet-stream";
}

const std::string& tag_of(const PageFile& file) {
  static const std::map<std::string_view, std::string> tags = [] {
    std::map<std::string_view, std::string> made;
    for (const PageFile& each : page_files()) {
      made.emplace(each.name, "\"" + hex(sha256(std::as_bytes(std::span(each.bytes)))).substr(0, 32) + "\"");
    }
    return made;
  }();
  return tags.at(file.name);
}

}  // namespace

bool page_response(std::string_view path, std::string_view if_none_match, HttpResponse& response) {
  const std::string_view name = path == "/" ? "index.html" : path.substr(std::min<std::size_t>(1, path.size()));
  const auto files = page_files();
  const auto file = std::ranges::find(files, name, &PageFile::name);
  if (file == files.end()) return false;
  const std::string& tag = tag_of(*file);
  const bool known = if_none_match.find(tag) != std::string_view::npos;
  response.status = known ? 304 : 200;
  response.content_type = content_type(name);
  if (!known) response.body = file->bytes;
  response.headers = {
      {"ETag", tag},
      {"Cache-Control", "no-cache"},
      {"Content-Security-Policy", content_security_policy},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
  };
  return true;
}

}  // namespace godwit::serve
