#include "data/source.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace godwit::data {
namespace {

constexpr std::size_t document_bytes_max = std::size_t{1} << 30;
constexpr std::size_t read_bytes = std::size_t{1} << 20;
constexpr std::size_t surroundings_bytes = 1024;  // on each side of a cut
constexpr int candidates_max = 256;

struct NotText {
  std::string_view extension;
  std::string_view advice;
};
constexpr std::array not_texts{
    NotText{".json", "write one object a line into a .jsonl"},
    NotText{".gz", "unpack it first"},
    NotText{".bz2", "unpack it first"},
    NotText{".xz", "unpack it first"},
    NotText{".zst", "unpack it first"},
    NotText{".zip", "unpack it first"},
    NotText{".parquet", "convert it to .jsonl first"},
    NotText{".arrow", "convert it to .jsonl first"},
};

// A file read in order, its digest taken on the way.
class Reader {
 public:
  static Result<Reader> open(const std::filesystem::path& path) {
    std::error_code code;
    const auto status = std::filesystem::status(path, code);
    if (!std::filesystem::exists(status)) return input_error("{}: there is no such file", path.string());
    if (!std::filesystem::is_regular_file(status)) return input_error("{}: is not a regular file", path.string());
    Reader reader;
    reader.path_ = path;
    errno = 0;
    reader.file_.open(path, std::ios::binary);
    if (!reader.file_) return input_error("{}: cannot open: {}", path.string(), std::generic_category().message(errno));
    return reader;
  }

  // Adds up to `bytes` to `buffer`; fewer only at the end.
  Result<void> append_to(std::string& buffer, std::size_t bytes) {
    const std::size_t held = buffer.size();
    buffer.resize(held + bytes);
    errno = 0;
    file_.read(buffer.data() + held, static_cast<std::streamsize>(bytes));
    const auto got = static_cast<std::size_t>(file_.gcount());
    buffer.resize(held + got);
    if (file_.bad()) return world_error("{}: cannot read: {}", path_.string(), std::generic_category().message(errno));
    sha_.update(std::string_view(buffer).substr(held));
    bytes_ += got;
    ended_ = file_.eof();
    return {};
  }

  bool ended() const { return ended_; }
  std::uint64_t bytes() const { return bytes_; }
  Digest digest() { return sha_.finish(); }

 private:
  std::filesystem::path path_;
  std::ifstream file_;
  Sha256 sha_;
  std::uint64_t bytes_ = 0;
  bool ended_ = false;
};

bool is_visible(char c) {
  return c > ' ' && c < 0x7F;
}

// Tokenizes one source into one shard.
class Tokenization {
 public:
  Tokenization(const Source& source, const text::Tokenizer& tokenizer, std::int32_t eos, TokenShardWriter& shard,
               const TokenizeOptions& options, Reader reader)
      : source_(source), tokenizer_(tokenizer), eos_(eos), shard_(shard), options_(options), reader_(std::move(reader)) {}

  Result<void> run() {
    TRY(source_.text_key.empty() ? one_document() : lines());
    if (reader_.bytes() != source_.bytes || reader_.digest() != source_.digest) {
      return input_error("{}: changed while it was read; start again when nothing writes to it", source_.path.string());
    }
    return {};
  }

 private:
  Result<void> report(std::uint64_t bytes_done) {
    if (options_.interrupted && options_.interrupted()) {
      return Error{ErrorKind::stopped, fmt::format("stopped on request while tokenizing {}", source_.path.string())};
    }
    if (options_.progress) options_.progress(bytes_done);
    return {};
  }

  Result<void> append(std::string_view text) {
    TRY_ASSIGN(const auto ids, tokenizer_.encode(text));
    return shard_.append(ids);
  }
  Result<void> end_document(std::uint64_t text_bytes) {
    shard_.count_document(text_bytes);
    return shard_.append(std::span(&eos_, 1));
  }

  Result<void> one_document() {
    std::string buffer;
    std::size_t wanted = options_.piece_bytes;
    while (true) {
      TRY(reader_.append_to(buffer, wanted - std::min(wanted, buffer.size())));
      if (reader_.ended()) break;
      TRY_ASSIGN(const std::size_t cut, find_cut(buffer, tokenizer_));
      if (cut == 0) {
        if (wanted >= document_bytes_max) {
          return input_error("{}: {} bytes without a line break at which it could be cut; break the text into lines or several files",
                             source_.path.string(), buffer.size());
        }
        wanted *= 2;
        continue;
      }
      TRY(append(std::string_view(buffer).substr(0, cut)));
      buffer.erase(0, cut);
      wanted = options_.piece_bytes;
      TRY(report(reader_.bytes() - buffer.size()));
    }
    TRY(append(buffer));
    if (reader_.bytes() > 0) TRY(end_document(reader_.bytes()));
    return report(reader_.bytes());
  }

  Result<void> lines() {
    std::string buffer;
    std::uint64_t number = 0;
    while (!reader_.ended() || !buffer.empty()) {
      const std::size_t held = buffer.size();
      if (!reader_.ended()) TRY(reader_.append_to(buffer, read_bytes));
      std::size_t begin = 0;
      for (std::size_t end = buffer.find('\n', held); end != std::string::npos; end = buffer.find('\n', begin)) {
        TRY(line(std::string_view(buffer).substr(begin, end - begin), ++number));
        begin = end + 1;
      }
      if (reader_.ended() && begin < buffer.size()) {
        TRY(line(std::string_view(buffer).substr(begin), ++number));
        begin = buffer.size();
      }
      buffer.erase(0, begin);
      if (buffer.size() > document_bytes_max) {
        return input_error("{}:{}: a line of more than {} bytes", source_.path.string(), number + 1, document_bytes_max);
      }
      TRY(report(reader_.bytes() - buffer.size()));
    }
    return {};
  }

  Result<void> line(std::string_view text, std::uint64_t number) {
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) return {};
    const std::string place = fmt::format("{}:{}", source_.path.string(), number);
    TRY_ASSIGN(const Json object, parse_json(text, place, {.bytes_max = document_bytes_max}));
    if (!object.is_object())
      return input_error("{}: not a JSON object but {}; each line is {{\"{}\": …}}", place, object.type_name(), source_.text_key);
    const Json* found = object.find(source_.text_key);
    if (found == nullptr)
      return input_error("{}: has no key \"{}\" but {}; [data] text names the key", place, source_.text_key, keys(object));
    if (!found->is_string()) return input_error("{}: \"{}\" is not a string but {}", place, source_.text_key, found->type_name());
    const auto& document = found->string();
    if (document.empty()) return {};
    TRY(append(document));
    return end_document(document.size());
  }

  static std::string keys(const Json& object) {
    constexpr std::size_t shown_max = 8;
    std::string list;
    std::size_t shown = 0;
    for (const auto& [key, value] : object.items()) {
      if (shown++ == shown_max) return list + " …";
      list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", key);
    }
    return list.empty() ? "none at all" : list;
  }

  const Source& source_;
  const text::Tokenizer& tokenizer_;
  std::int32_t eos_;
  TokenShardWriter& shard_;
  const TokenizeOptions& options_;
  Reader reader_;
};

}  // namespace

Result<Source> open_source(const std::filesystem::path& path, const std::string& text_key, const std::function<void()>& beat) {
  const std::string extension = path.extension().string();
  for (const NotText& kind : not_texts) {
    if (extension == kind.extension)
      return input_error("{}: {} is neither plain text nor .jsonl; {}", path.string(), extension, kind.advice);
  }
  TRY_ASSIGN(Reader reader, Reader::open(path));
  std::string buffer;
  while (!reader.ended()) {
    buffer.clear();
    TRY(reader.append_to(buffer, read_bytes));
    if (beat) beat();
  }
  return Source{path, extension == ".jsonl" ? text_key : std::string(), reader.bytes(), reader.digest()};
}

Result<void> tokenize(const Source& source, const text::Tokenizer& tokenizer, std::int32_t eos, TokenShardWriter& shard,
                      const TokenizeOptions& options) {
  CHECK(options.piece_bytes > 0, "pieces of no bytes");
  TRY_ASSIGN(Reader reader, Reader::open(source.path));
  return Tokenization(source, tokenizer, eos, shard, options, std::move(reader)).run();
}

Result<std::size_t> find_cut(std::string_view text, const text::Tokenizer& tokenizer) {
  int candidates = 0;
  // What follows the cut must be seen, too: the last bytes only serve as surroundings, where there are more.
  const std::size_t last = text.size() - std::min(text.size() / 2, surroundings_bytes);
  for (std::size_t cut = last; cut > 0 && candidates < candidates_max; --cut) {
    if (cut >= text.size() || text[cut - 1] != '\n' || !is_visible(text[cut])) continue;
    ++candidates;
    const std::size_t begin = cut - std::min(cut, surroundings_bytes);
    const auto before = text.substr(begin, cut - begin);
    const auto after = text.substr(cut, surroundings_bytes);
    TRY_ASSIGN(auto apart, tokenizer.encode(before));
    TRY_ASSIGN(const auto right, tokenizer.encode(after));
    apart.insert(apart.end(), right.begin(), right.end());
    TRY_ASSIGN(const auto joined, tokenizer.encode(text.substr(begin, before.size() + after.size())));
    if (joined == apart) return cut;
  }
  return std::size_t{0};
}

}  // namespace godwit::data
