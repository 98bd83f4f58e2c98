// The kinds of data. Each opens what its settings say; settings.h says what they are.
#pragma once

#include <memory>
#include <span>

#include "data/dataset.h"
#include "data/settings.h"

namespace godwit::data {

using OpenKind = Result<std::unique_ptr<Dataset>> (*)(const DataSettings& settings, const DatasetOptions& options);

struct Kind {
  const char* name;
  OpenKind open;
};

[[nodiscard]] std::span<const Kind> all_kinds();

// Opens settings of any kind.
[[nodiscard]] Result<std::unique_ptr<Dataset>> open_dataset(const DataSettings& settings, const DatasetOptions& options);

// Text: the ids of every source, the last `validation` of each source's ids apart; windows over the rest, joined in the order of the
// sources (windows.h). Validation takes its ids in order, windows one behind the other; the last may be shorter.
[[nodiscard]] Result<std::unique_ptr<Dataset>> open_text(const DataSettings& settings, const DatasetOptions& options);

// Rows of ids: a JSON array of arrays of one length T. Each row is a sample of T − 1 predictions; rows in order, wrapping. The last
// `validation` of the rows are apart.
[[nodiscard]] Result<std::unique_ptr<Dataset>> open_ids(const DataSettings& settings, const DatasetOptions& options);

// Weighted parts. Sample i is the next one of the first part p with
//     uniform_f64(u64 at index i of (seed, Purpose::mix, step = 0)) · (w_0 + … + w_last) < w_0 + … + w_p,
// sums from the left in double. Each part's samples come in the order they have alone. Validation is that of the parts, one behind the
// other.
[[nodiscard]] Result<std::unique_ptr<Dataset>> open_mix(const DataSettings& settings, const DatasetOptions& options);

// Documents of problems (document.h), one a sample: document i is problem i of the training split, which begins again where it ends; it is
// long or short as is_long (task.h) says of i. Validation is the first documents of the evaluation split.
[[nodiscard]] Result<std::unique_ptr<Dataset>> open_task(const DataSettings& settings, const DatasetOptions& options);

// Conversations (chat_file.h), one a sample: sample i is conversation Permutation(n, seed, i / n)(i mod n) of the n to train on. The last
// `validation` of each file's are apart, in order. Ids are those of text/chat.h's lessons, in the format of the tokenizer's template.
[[nodiscard]] Result<std::unique_ptr<Dataset>> open_chat(const DataSettings& settings, const DatasetOptions& options);

// 1234567 → "1,234,567"
[[nodiscard]] std::string grouped(std::uint64_t number);

}  // namespace godwit::data
