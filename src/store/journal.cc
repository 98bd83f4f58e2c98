#include "store/journal.h"

#include <algorithm>
#include <system_error>

#include "base/json.h"
#include "base/log.h"

namespace godwit::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view file_name = "journal.jsonl";
constexpr std::string_view before_hash = ",\"hash\":\"", after_hash = "\"}";
constexpr std::size_t hash_digits = 64;
constexpr std::size_t line_end_bytes = before_hash.size() + hash_digits + after_hash.size();
constexpr std::uint64_t bytes_max = std::uint64_t{16} << 30;

std::string first_previous() {
  return std::string(hash_digits, '0');
}

struct Line {
  std::string text;  // without the line feed
  std::string hash;
};

Line write_line(const JournalEntry& entry, std::string_view previous) {
  Json json{{"step", entry.step}, {"digest", hex(entry.digest)}, {"verdict", entry.verdict}};
  if (!entry.note.empty()) json["note"] = entry.note;
  json["previous"] = previous;
  Line line{write_json(json), {}};
  line.text.pop_back();
  line.hash = hex(sha256(as_bytes(line.text)));
  line.text.append(before_hash).append(line.hash).append(after_hash);
  return line;
}

// Reads a line and checks that it is exactly what write_line makes of its content.
Result<JournalEntry> read_line(std::string_view text, std::string_view previous, std::string_view name) {
  if (text.size() < line_end_bytes || !text.ends_with(after_hash) || !text.substr(text.size() - line_end_bytes).starts_with(before_hash))
    return differs_error("{}: does not end with its hash: it was changed after it was written", name);
  const std::string_view body = text.substr(0, text.size() - line_end_bytes);
  const std::string_view stated = text.substr(body.size() + before_hash.size(), hash_digits);
  const std::string hash = hex(sha256(as_bytes(body)));
  if (hash != stated) return differs_error("{}: has the hash {}, but says {}: it was changed after it was written", name, hash, stated);

  auto json = parse_json(text, name);
  if (!json.ok()) return Error{ErrorKind::differs, std::move(json).error().message};
  const auto text_of = [&](const char* key) -> const std::string* {
    const Json* found = json->find(key);
    return found != nullptr && found->is_string() ? &found->string() : nullptr;
  };
  const auto malformed = [&] { return differs_error("{}: is not a journal line of step, digest, verdict, note and previous", name); };
  if (!json->is_object() || !json->contains("step") || !(*json)["step"].is_number_unsigned()) return malformed();
  const std::string *const digest = text_of("digest"), *const verdict = text_of("verdict"), *const before = text_of("previous");
  if (digest == nullptr || verdict == nullptr || before == nullptr) return malformed();
  const auto parsed = parse_digest(*digest);
  if (!parsed.ok()) return malformed();
  if (*before != previous) {
    return differs_error(
        "{}: follows a line with the hash {}, but the one before it has {}: a line was taken out, "
        "put in or moved",
        name, *before, previous);
  }
  const std::string* const note = text_of("note");
  JournalEntry entry{(*json)["step"].get<std::uint64_t>(), *parsed, *verdict, note == nullptr ? std::string() : *note};
  if (write_line(entry, previous).text != text) return malformed();
  return entry;
}

struct Checked {
  std::vector<JournalEntry> entries;
  std::string last_hash = first_previous();
  std::uint64_t whole_bytes = 0;  // of the lines that are complete
  std::uint64_t torn_bytes = 0;
};

Result<Checked> check(std::string_view text, std::string_view name) {
  Checked checked;
  while (!text.empty()) {
    const std::string line_name = fmt::format("{}: line {}", name, checked.entries.size() + 1);
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      // A crash leaves the beginning of a line. More than a whole line without its line feed is another flaw.
      const std::size_t hash = text.find(before_hash);
      if (hash != std::string_view::npos && text.size() > hash + line_end_bytes)
        return differs_error("{}: does not end with its hash: it was changed after it was written", line_name);
      checked.torn_bytes = text.size();
      break;
    }
    TRY_ASSIGN(auto entry, read_line(text.substr(0, end), checked.last_hash, line_name));
    checked.last_hash = text.substr(end - after_hash.size() - hash_digits, hash_digits);
    checked.entries.push_back(std::move(entry));
    checked.whole_bytes += end + 1;
    text.remove_prefix(end + 1);
  }
  return checked;
}

}  // namespace

Result<Journal> Journal::open(const fs::path& directory) {
  TRY(create_directories_durably(directory));
  const fs::path path = directory / file_name;
  Journal journal;
  TRY_ASSIGN(auto file, AppendFile::open(path));
  TRY_ASSIGN(const std::string text, read_file(path, bytes_max));
  TRY_ASSIGN(auto checked, check(text, path.string()));
  if (checked.torn_bytes != 0) {
    log_warning("{}: line {} is torn, as a crash leaves it; its {} bytes are cut off", path.string(), checked.entries.size() + 1,
                checked.torn_bytes);
    TRY(file.truncate(checked.whole_bytes));
  }
  journal.entries_ = std::move(checked.entries);
  journal.last_hash_ = std::move(checked.last_hash);
  journal.file_ = std::move(file);
  return journal;
}

Result<Journal::Content> Journal::read(const fs::path& directory) {
  const fs::path path = directory / file_name;
  TRY_ASSIGN(const std::string text, read_file(path, bytes_max));
  TRY_ASSIGN(auto checked, check(text, path.string()));
  return Content{std::move(checked.entries), checked.torn_bytes != 0};
}

std::optional<Digest> Journal::committed(std::uint64_t step) const {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->step == step && entry->verdict == "commit") return entry->digest;
  }
  return std::nullopt;
}

Result<void> Journal::append(const JournalEntry& entry) {
  auto line = write_line(entry, last_hash_);
  TRY(file_->append(line.text + "\n"));
  TRY(file_->sync());
  entries_.push_back(entry);
  last_hash_ = std::move(line.hash);
  return {};
}

}  // namespace godwit::store
