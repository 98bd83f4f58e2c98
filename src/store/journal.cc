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

// Without the line feed.
std::string write_line(const JournalEntry& entry, std::string_view previous) {
  Json json{{"step", entry.step}, {"digest", hex(entry.digest)}, {"verdict", entry.verdict}};
  if (!entry.note.empty()) json["note"] = entry.note;
  json["previous"] = previous;
  std::string line = write_json(json);
  line.pop_back();
  const std::string hash = hex(sha256(as_bytes(line)));
  return line.append(before_hash).append(hash).append(after_hash);
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
  if (write_line(entry, previous) != text) return malformed();
  return entry;
}

// The hash in a whole line, with or without its line feed.
std::string_view hash_in(std::string_view line) {
  return line.substr(line.rfind(after_hash) - hash_digits, hash_digits);
}

}  // namespace

std::optional<Digest> JournalChain::committed(std::uint64_t step) const {
  const auto found = commits_.find(step);
  if (found == commits_.end()) return std::nullopt;
  return entries_[found->second].digest;
}

std::string JournalChain::line(const JournalEntry& entry) const {
  return write_line(entry, last_hash_) + '\n';
}

void JournalChain::add(JournalEntry entry, std::string_view line) {
  if (entry.verdict == "commit" || entry.verdict == "skip") commits_[entry.step] = entries_.size();
  if (entry.verdict == "rollback") std::erase_if(commits_, [&](const auto& commit) { return commit.first > entry.step; });
  entries_.push_back(std::move(entry));
  last_hash_ = hash_in(line);
}

struct Journal::Checked {
  JournalChain chain;
  std::string_view last_line;     // whole, with its line feed
  std::uint64_t whole_bytes = 0;  // of the lines that are complete
  std::uint64_t torn_bytes = 0;
};

Result<Journal::Checked> Journal::check(std::string_view text, std::string_view name) {
  Checked checked;
  JournalChain& chain = checked.chain;
  while (!text.empty()) {
    const std::string line_name = fmt::format("{}: line {}", name, chain.entries().size() + 1);
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      // A crash leaves the beginning of a line. More than a whole line without its line feed is another flaw.
      const std::size_t hash = text.find(before_hash);
      if (hash != std::string_view::npos && text.size() > hash + line_end_bytes)
        return differs_error("{}: does not end with its hash: it was changed after it was written", line_name);
      checked.torn_bytes = text.size();
      break;
    }
    TRY_ASSIGN(auto entry, read_line(text.substr(0, end), chain.last_hash_, line_name));
    checked.last_line = text.substr(0, end + 1);
    chain.add(std::move(entry), checked.last_line);
    checked.whole_bytes += end + 1;
    text.remove_prefix(end + 1);
  }
  return checked;
}

Result<Journal> Journal::open(const fs::path& directory) {
  TRY(create_directories_durably(directory));
  const fs::path path = directory / file_name;
  Journal journal;
  TRY_ASSIGN(auto file, AppendFile::open(path));
  TRY_ASSIGN(const std::string text, read_file(path, bytes_max));
  TRY_ASSIGN(auto checked, check(text, path.string()));
  if (checked.torn_bytes != 0) {
    log_warning("{}: line {} is torn, as a crash leaves it; its {} bytes are cut off", path.string(), checked.chain.entries().size() + 1,
                checked.torn_bytes);
    TRY(file.truncate(checked.whole_bytes));
  }
  journal.chain_ = std::move(checked.chain);
  journal.last_line_ = checked.last_line;
  journal.file_ = std::move(file);
  return journal;
}

Result<Journal::Content> Journal::read(const fs::path& directory) {
  const fs::path path = directory / file_name;
  TRY_ASSIGN(const std::string text, read_file(path, bytes_max));
  TRY_ASSIGN(auto checked, check(text, path.string()));
  return Content{std::move(checked.chain.entries_), checked.torn_bytes != 0};
}

Result<void> Journal::append(const JournalEntry& entry) {
  std::string line = chain_.line(entry);
  TRY(file_->append(line));
  TRY(file_->sync());
  chain_.add(entry, line);
  last_line_ = std::move(line);
  return {};
}

Journal::Parts Journal::release() && {
  return {std::move(chain_), std::move(*file_), std::move(last_line_)};
}

}  // namespace godwit::store
