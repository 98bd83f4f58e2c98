#include "store/ledger.h"

#include <utility>

namespace godwit::store {

Result<std::unique_ptr<Ledger>> Ledger::open(const std::filesystem::path& directory, Patience patience) {
  TRY_ASSIGN(Journal journal, Journal::open(directory));
  return std::unique_ptr<Ledger>(new Ledger(std::move(journal).release(), patience));
}

void Ledger::post(JournalEntry entry) {
  std::string line = chain_.line(entry);
  chain_.add(std::move(entry), line);
  file_.post(std::move(line));
}

}  // namespace godwit::store
