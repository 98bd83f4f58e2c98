// First byte even: the rest is a tokenizer.json, and a text that is encoded with it if it loads. Odd: the rest is a text, which must come
// back from its ids, from the stream decoder too.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "text/tokenizer.h"
#include "text/trainer.h"

using godwit::text::StreamDecoder;
using godwit::text::Tokenizer;
using godwit::text::Trainer;

namespace {

// A tokenizer with a few merges, digits and line ends among them.
Tokenizer small_tokenizer() {
  auto trainer = Trainer::create({.vocab_size = 300});
  CHECK(trainer.ok(), "{}", trainer.error().message);
  CHECK(trainer->add_text("the cat and the hat 123 123\n\nthat that <a> <a> \xC3\xA9\xC3\xA9 \xC3\xA9\xC3\xA9").ok(),
        "a plain text was refused");
  auto tokenizer = trainer->train();
  CHECK(tokenizer.ok(), "{}", tokenizer.error().message);
  return *tokenizer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    const auto tokenizer = Tokenizer::from_json(std::string(rest), "fuzz");
    if (!tokenizer.ok()) return 0;
    const auto ids = tokenizer->encode(rest.substr(0, 256));  // may fail: the file brings its own regexes
    if (ids.ok()) CHECK(tokenizer->decode(*ids).ok(), "an id that encode gave does not decode");
    return 0;
  }
  static const Tokenizer tokenizer = small_tokenizer();
  const auto ids = tokenizer.encode(rest);
  CHECK(ids.ok(), "{}", ids.error().message);
  const auto text = tokenizer.decode(*ids);
  CHECK(text.ok() && *text == rest, "the text did not come back");
  StreamDecoder decoder(tokenizer);
  std::string joined;
  for (const std::int32_t id : *ids) joined += decoder.push(id);
  CHECK(joined + decoder.flush() == rest, "the stream decoder lost or changed bytes");
  return 0;
}
