// Rules followed token by token.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/error.h"
#include "infer/grammar.h"
#include "infer/grammar/rules.h"
#include "infer/grammar/token_trie.h"

namespace godwit::infer {

// `controls[i]` is the id of the token that the rules call first_control + i. Finishes the rules. Input errors: those of Rules::finish, a
// vocabulary without an end of sequence.
[[nodiscard]] Result<std::shared_ptr<const Grammar>> token_grammar(Rules rules, Rules::RuleId root, std::vector<std::int32_t> controls,
                                                                   std::shared_ptr<const TokenTrie> trie);

}  // namespace godwit::infer
