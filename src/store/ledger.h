// The journal of a run (journal.h) for whoever must not wait for the disk: lines are posted, and written by a thread of their own
// (append_later.h, which says how it meets errors, signals and fork).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "store/append_later.h"
#include "store/journal.h"

namespace godwit::store {

// open, post, entries and committed: one thread. Everything else: any.
class Ledger {
 public:
  // Opens or creates, reads and checks every line, cuts a torn one off; waits for the disk. The caller holds the run's lock.
  [[nodiscard]] static Result<std::unique_ptr<Ledger>> open(const std::filesystem::path& directory, Patience patience = {});

  // All lines, durable or not.
  [[nodiscard]] const std::vector<JournalEntry>& entries() const { return chain_.entries(); }
  [[nodiscard]] std::optional<Digest> committed(std::uint64_t step) const { return chain_.committed(step); }

  // Never waits for the disk. Lines reach it in the order of their calls.
  void post(JournalEntry entry);

  // As of AppendLater; counted since open.
  [[nodiscard]] std::uint64_t posted() const { return file_.posted(); }
  [[nodiscard]] std::uint64_t durable() const { return file_.durable(); }
  bool wait_durable(std::uint64_t count, std::chrono::milliseconds timeout) const { return file_.wait_durable(count, timeout); }
  [[nodiscard]] int descriptor() const { return file_.descriptor(); }
  void acknowledge() { file_.acknowledge(); }
  [[nodiscard]] std::optional<std::string> trouble() const { return file_.trouble(); }
  [[nodiscard]] std::optional<Error> fatal() const { return file_.fatal(); }

 private:
  Ledger(Journal::Parts parts, Patience patience)
      : chain_(std::move(parts.chain)), file_(std::move(parts.file), std::move(parts.last_line), patience) {}
  JournalChain chain_;
  AppendLater file_;
};

}  // namespace godwit::store
