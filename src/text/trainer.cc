#include "text/trainer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/pre_tokenizer.h"
#include "text/special_tokens.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"

namespace godwit::text {
namespace {

constexpr std::size_t block_bytes = std::size_t{8} << 20;
constexpr std::uint64_t progress_every_tokens = 64;

struct TransparentHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

bool is_digits(std::string_view piece) {
  return std::ranges::all_of(piece, [](char c) { return c >= '0' && c <= '9'; });
}

// Where a block may end: behind the last newline that is followed by a visible ASCII character; else between two characters.
std::size_t safe_cut(std::string_view block) {
  for (std::size_t i = block.size() - 1; i > block.size() / 2; --i) {
    if (block[i - 1] == '\n' && block[i] > ' ' && block[i] < 0x7F) return i;
  }
  return block.size() - incomplete_tail(block);
}

// A word as the ids of its symbols so far, and how often it occurs.
struct Word {
  std::vector<std::int32_t> symbols;
  std::uint64_t count;
};

// The loop of byte-pair encoding over counted words.
class Merger {
 public:
  // Ids as make_tokenizer_json gives them: 0–2 specials, then the bytes in the order of their characters.
  explicit Merger(std::vector<std::pair<std::string, std::uint64_t>> counted) {
    std::array<std::pair<std::string, char>, 256> alphabet;
    for (std::size_t byte = 0; byte < 256; ++byte) alphabet[byte] = {byte_characters()[byte], static_cast<char>(byte)};
    std::ranges::sort(alphabet);
    tokens_.assign(3, std::string());
    std::array<std::int32_t, 256> byte_ids{};
    for (const auto& [character, byte] : alphabet) {
      byte_ids[static_cast<unsigned char>(byte)] = static_cast<std::int32_t>(tokens_.size());
      ids_.emplace(std::string(1, byte), static_cast<std::int32_t>(tokens_.size()));
      tokens_.emplace_back(1, byte);
    }
    words_.reserve(counted.size());
    for (const auto& [text, count] : counted) {
      Word word{{}, count};
      for (const char byte : text) word.symbols.push_back(byte_ids[static_cast<unsigned char>(byte)]);
      words_.push_back(std::move(word));
    }
    for (std::size_t index = 0; index < words_.size(); ++index) count_pairs(index);
    announce();
  }

  // The next merge, or nothing when no pair is frequent enough.
  bool step(std::uint64_t min_frequency, std::vector<Merge>& merges) {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      Pair& pair = pairs_.at(top.key);
      if (top.count != pair.count) {  // counts only fall, so the entry is put back lower
        if (pair.count > 0) queue_.push({pair.count, top.key});
        continue;
      }
      if (top.count < std::max<std::uint64_t>(min_frequency, 1)) return false;
      merge(top.key, merges);
      return true;
    }
    return false;
  }

  std::size_t token_count() const { return tokens_.size(); }

 private:
  struct Pair {
    std::uint64_t count = 0;
    std::vector<std::uint32_t> words;  // may hold words twice, and words that lost the pair since
    bool announced = false;
    bool merged = false;
  };
  struct Candidate {
    std::uint64_t count;
    std::uint64_t key;
    bool operator<(const Candidate& other) const { return count != other.count ? count < other.count : key > other.key; }
  };

  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }

  void count_pairs(std::size_t index) {
    const Word& word = words_[index];
    for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      const std::uint64_t key = key_of(word.symbols[i], word.symbols[i + 1]);
      Pair& pair = pairs_[key];
      pair.count += word.count;
      if (pair.words.empty() || pair.words.back() != index) pair.words.push_back(static_cast<std::uint32_t>(index));
      if (!pair.announced) {
        pair.announced = true;
        fresh_.push_back(key);
      }
    }
  }

  void uncount_pairs(std::size_t index) {
    const Word& word = words_[index];
    for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) pairs_.at(key_of(word.symbols[i], word.symbols[i + 1])).count -= word.count;
  }

  // Pairs enter the queue with the count they have when all words are done.
  void announce() {
    for (const std::uint64_t key : fresh_) queue_.push({pairs_.at(key).count, key});
    fresh_.clear();
  }

  void merge(std::uint64_t key, std::vector<Merge>& merges) {
    const auto left = static_cast<std::int32_t>(key >> 32);
    const auto right = static_cast<std::int32_t>(key & 0xFFFFFFFF);
    const std::string& left_bytes = tokens_[static_cast<std::size_t>(left)];
    const std::string& right_bytes = tokens_[static_cast<std::size_t>(right)];
    // A merged pair comes back where another way led to one of its tokens; it keeps its first rank.
    if (!std::exchange(pairs_.at(key).merged, true)) merges.emplace_back(left_bytes, right_bytes);
    std::string joined = left_bytes + right_bytes;
    const auto [entry, is_new] = ids_.emplace(joined, static_cast<std::int32_t>(tokens_.size()));
    const std::int32_t id = entry->second;
    if (is_new) tokens_.push_back(std::move(joined));

    std::vector<std::uint32_t> where = std::move(pairs_.at(key).words);
    std::ranges::sort(where);
    where.erase(std::unique(where.begin(), where.end()), where.end());
    for (const std::uint32_t index : where) {
      auto& symbols = words_[index].symbols;
      bool found = false;
      for (std::size_t i = 0; i + 1 < symbols.size() && !found; ++i) found = symbols[i] == left && symbols[i + 1] == right;
      if (!found) continue;
      uncount_pairs(index);
      std::size_t kept = 0;
      for (std::size_t i = 0; i < symbols.size(); ++kept) {
        const bool joins = i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right;
        symbols[kept] = joins ? id : symbols[i];
        i += joins ? 2 : 1;
      }
      symbols.resize(kept);
      count_pairs(index);
    }
    if (!is_new) reannounce(id);
    announce();
  }

  // Two ways led to one token, so pairs with it can have become more frequent than their entries in the queue say.
  void reannounce(std::int32_t id) {
    for (const auto& [key, pair] : pairs_) {
      const bool concerned = static_cast<std::int32_t>(key >> 32) == id || static_cast<std::int32_t>(key & 0xFFFFFFFF) == id;
      if (concerned && pair.announced && pair.count > 0) queue_.push({pair.count, key});
    }
  }

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::vector<Word> words_;
  std::unordered_map<std::uint64_t, Pair> pairs_;
  std::vector<std::uint64_t> fresh_;
  std::priority_queue<Candidate> queue_;
};

}  // namespace

struct Trainer::State {
  TrainerOptions options;
  std::function<void(const TrainerProgress&)> progress;
  PreTokenizer pre_tokenizer;
  RegexScratch scratch;
  std::unordered_map<std::string, std::uint64_t, TransparentHash, std::equal_to<>> counts;
  bool any_text = false;
};

Trainer::Trainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Result<Trainer> Trainer::create(TrainerOptions options, std::function<void(const TrainerProgress&)> progress) {
  if (options.vocab_size < static_cast<std::int32_t>(tokens_without_merges)) {
    return input_error("a vocabulary of {} is too small; 256 bytes and {} control tokens are {}", options.vocab_size,
                       tokens_without_merges - 256, tokens_without_merges);
  }
  constexpr std::int32_t vocab_max = 1 << 22;
  if (options.vocab_size > vocab_max) return input_error("a vocabulary of {} is too large; at most {}", options.vocab_size, vocab_max);
  auto pre_tokenizer = PreTokenizer::from_json(deepseek_pre_tokenizer(), "pre_tokenizer");
  CHECK(pre_tokenizer.ok(), "{}", pre_tokenizer.error().message);
  auto state = std::make_unique<State>();
  state->options = options;
  state->progress = std::move(progress);
  state->pre_tokenizer = std::move(pre_tokenizer).value();
  return Trainer(std::move(state));
}

Result<void> Trainer::add_text(std::string_view text) {
  const auto count = [&](std::string_view piece) {
    const auto known = state_->counts.find(piece);
    if (known != state_->counts.end()) {
      ++known->second;
    } else {
      state_->counts.emplace(piece, 1);
    }
  };
  for (std::size_t position = 0; position < text.size(); ++position) {  // a byte that is no UTF-8 stands alone and merges with nothing
    const std::size_t end = valid_run_end(text, position);
    const std::string_view run = text.substr(position, end - position);
    TRY(state_->pre_tokenizer.split({run, has_newer_characters(run)}, state_->scratch, count));
    position = end;
  }
  state_->any_text = state_->any_text || !text.empty();
  return {};
}

Result<void> Trainer::add_file(const std::filesystem::path& path) {
  std::error_code missing;
  if (std::filesystem::is_directory(path, missing)) return input_error("{} is a directory, not a text", path.string());
  std::ifstream file(path, std::ios::binary);
  if (!file) return input_error("{}: cannot be read: {}", path.string(), std::strerror(errno));
  const std::uintmax_t size = std::filesystem::file_size(path, missing);
  const std::uint64_t total = missing ? 0 : static_cast<std::uint64_t>(size);
  std::string block;
  std::uint64_t done = 0;
  for (bool more = true; more;) {
    const std::size_t held = block.size();
    block.resize(block_bytes);
    file.read(block.data() + held, static_cast<std::streamsize>(block_bytes - held));
    block.resize(held + static_cast<std::size_t>(file.gcount()));
    if (file.bad()) return world_error("{}: reading failed: {}", path.string(), std::strerror(errno));
    more = !file.eof();
    const std::size_t cut = more ? safe_cut(block) : block.size();
    TRY(add_text(std::string_view(block).substr(0, cut)));
    block.erase(0, cut);
    done += cut;
    if (state_->progress) state_->progress({TrainerProgress::Stage::reading, done, std::max(done, total)});
  }
  return {};
}

Result<Tokenizer> Trainer::train() {
  if (!state_->any_text) return input_error("there is no text to train a tokenizer on");
  std::vector<std::pair<std::string, std::uint64_t>> counted;
  for (const auto& [word, count] : state_->counts) {
    if (word.size() > 1 && (state_->options.merge_digits || !is_digits(word))) counted.emplace_back(word, count);
  }
  std::ranges::sort(counted);
  Merger merger(std::move(counted));
  std::vector<Merge> merges;
  const auto wanted = static_cast<std::uint64_t>(state_->options.vocab_size);
  constexpr std::size_t added_later = tokens_without_merges - 256 - 3;
  while (merger.token_count() + added_later < wanted && merger.step(state_->options.min_frequency, merges)) {
    const std::uint64_t tokens = merger.token_count() + added_later;
    if (state_->progress && (tokens % progress_every_tokens == 0 || tokens == wanted)) {
      state_->progress({TrainerProgress::Stage::merging, tokens, wanted});
    }
  }
  return own_tokenizer(merges);
}

}  // namespace godwit::text
