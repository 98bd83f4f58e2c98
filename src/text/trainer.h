// Trains a byte-level BPE vocabulary: DeepSeek-V3's pre-tokenizer, then the most frequent pair becomes a token, again and again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "text/tokenizer.h"

namespace godwit::text {

struct TrainerOptions {
  std::int32_t vocab_size = 0;      // of the whole tokenizer, control tokens included; fewer if the text has no more pairs
  std::uint64_t min_frequency = 2;  // a pair seen less often is not worth a token
  bool merge_digits = true;         // false: every digit stays a token of its own, which helps arithmetic
};

struct TrainerProgress {
  enum class Stage { reading, merging } stage;
  std::uint64_t done, total;  // bytes of the file, or tokens
};

// The result depends on the texts and options only: counts are 64 bits wide, ties go to the smaller pair of ids, nothing depends on the
// order of a hash table. Memory grows with the number of different words, not with the text. Not thread-safe.
class Trainer {
 public:
  [[nodiscard]] static Result<Trainer> create(TrainerOptions options, std::function<void(const TrainerProgress&)> progress = {});
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  // Counts the words of one document.
  [[nodiscard]] Result<void> add_text(std::string_view text);
  // Counts those of a file of any size, read in blocks that are cut where a line ends and the next begins with a letter, digit or mark of
  // ASCII: there a word ends anyway. A block of 8 MiB without such a place is cut between two characters.
  [[nodiscard]] Result<void> add_file(const std::filesystem::path& path);

  // An input error if no text was added or the vocabulary is smaller than the bytes and control tokens.
  [[nodiscard]] Result<Tokenizer> train();

 private:
  struct State;
  explicit Trainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace godwit::text
