// What a story can do to a run: the part of a fault's line behind the colon.
#pragma once

#include <optional>

#include "guard/fault.h"
#include "guard/story_words.h"

namespace godwit::guard {

struct Parts {
  Fault& fault;
  std::optional<Role> role = std::nullopt;    // said by the act
  std::optional<Phase> usual = std::nullopt;  // where it strikes unless the line says
};

// Reads an act, or says false: the sentence then knows what was wanted.
bool act(Sentence& s, Parts& parts);
// What may follow it ("for 3 seconds"), one at a time.
bool modifier(Sentence& s, Parts& parts);

}  // namespace godwit::guard
