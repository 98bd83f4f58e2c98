// Any bytes are a schema or an error; what is accepted has a way on from its beginning, and from wherever a few steps lead.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "infer/grammar.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace godwit;
  static const text::Tokenizer tokenizer = text::Tokenizer::bytes();
  static const infer::GrammarVocabulary vocabulary(tokenizer);
  if (size == 0) return 0;
  // The last byte chooses the ways.
  const auto grammar = infer::Grammar::json(std::string_view(reinterpret_cast<const char*>(data), size - 1), vocabulary);
  if (!grammar.ok()) return 0;
  const auto state = (*grammar)->begin();
  std::vector<std::uint8_t> allowed(static_cast<std::size_t>(tokenizer.vocab_size()));
  std::uint32_t random = data[size - 1];
  for (int step = 0; step < 64; ++step) {
    state->allowed(allowed);
    std::vector<std::int32_t> ids;
    for (std::size_t id = 0; id < allowed.size(); ++id) {
      if (allowed[id] != 0) ids.push_back(static_cast<std::int32_t>(id));
    }
    CHECK(!ids.empty(), "nothing may follow");
    random = random * 1664525 + 1013904223;
    const std::int32_t id = ids[(random >> 8) % ids.size()];
    CHECK(state->push(id), "the mask allows {}, push() does not", id);
    if (id == tokenizer.eos()) break;
  }
  return 0;
}
