// The journal of a run: one line per committed step, chained by SHA-256, durable before append returns.
//
// RUN/journal/journal.jsonl. A line is JSON: {"step", "digest", "verdict", "note"?, "previous", "hash"}; `hash` is the SHA-256 of the
// line's own text before the hash member, `previous` the hash of the line before (the first line's is 64 zeros). A torn last line is what a
// crash leaves and is cut off; any other flaw is an error that names the line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"

namespace godwit::store {

struct JournalEntry {
  std::uint64_t step = 0;  // the state's step after the commit
  Digest digest;           // of the state after the commit
  // "commit"; "skip": committed without its batch; "rollback": what was committed after this step counts no more; "start", "extend", "move"
  // …
  std::string verdict;
  std::string note;  // for people and audits; may be empty
};

// What a journal holds, in memory.
class JournalChain {
 public:
  [[nodiscard]] const std::vector<JournalEntry>& entries() const { return entries_; }
  // The digest committed for a step (its latest line of "commit" or "skip"), if any.
  [[nodiscard]] std::optional<Digest> committed(std::uint64_t step) const;
  // The line that continues the chain with this entry, with its line feed.
  [[nodiscard]] std::string line(const JournalEntry& entry) const;
  // Takes the entry in; `line` is what line(entry) gave.
  void add(JournalEntry entry, std::string_view line);

 private:
  std::vector<JournalEntry> entries_;
  std::unordered_map<std::uint64_t, std::size_t> commits_;  // step → index of its latest committing line
  std::string last_hash_ = std::string(64, '0');
  friend class Journal;
};

class Journal {
 public:
  // Opens or creates; reads and checks every line. The caller holds the run's lock.
  [[nodiscard]] static Result<Journal> open(const std::filesystem::path& directory);
  // Reads and checks without writing (status, verify, audit): a torn last line is reported by `torn`.
  struct Content {
    std::vector<JournalEntry> entries;
    bool torn = false;
  };
  [[nodiscard]] static Result<Content> read(const std::filesystem::path& directory);

  [[nodiscard]] const std::vector<JournalEntry>& entries() const { return chain_.entries(); }
  [[nodiscard]] std::optional<Digest> committed(std::uint64_t step) const { return chain_.committed(step); }

  // Appends one line and makes it durable before returning. After an error the journal is latched: every later append fails with the same
  // error until it is opened again. Not thread-safe.
  [[nodiscard]] Result<void> append(const JournalEntry& entry);

  // What it is made of, for a ledger (ledger.h): the last line with its line feed, empty where there is none.
  struct Parts {
    JournalChain chain;
    AppendFile file;
    std::string last_line;
  };
  [[nodiscard]] Parts release() &&;

 private:
  Journal() = default;
  struct Checked;
  [[nodiscard]] static Result<Checked> check(std::string_view text, std::string_view name);
  JournalChain chain_;
  std::string last_line_;
  std::optional<AppendFile> file_;
};

}  // namespace godwit::store
