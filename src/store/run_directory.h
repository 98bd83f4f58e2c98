// What a run directory holds, by name: the one place that knows the paths.
//
//   config.toml  sources.json  model/config.json  model/run.json  tokenizer/  journal/  checkpoints/<step>/  metrics.jsonl  log.txt
//   best.json  data/  rewards/<step>.json  samples.jsonl  lock  guard.json  faults.jsonl  placement.json  move.json  move.lock
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/error.h"

namespace godwit::store {

struct RunDirectory {
  std::filesystem::path root;

  [[nodiscard]] std::filesystem::path config() const { return root / "config.toml"; }
  [[nodiscard]] std::filesystem::path sources() const { return root / "sources.json"; }  // the files that the data came from
  [[nodiscard]] std::filesystem::path model_config() const { return root / "model" / "config.json"; }
  [[nodiscard]] std::filesystem::path model_run() const { return root / "model" / "run.json"; }
  [[nodiscard]] std::filesystem::path tokenizer() const { return root / "tokenizer"; }
  [[nodiscard]] std::filesystem::path journal() const { return root / "journal"; }
  [[nodiscard]] std::filesystem::path checkpoints() const { return root / "checkpoints"; }
  [[nodiscard]] std::filesystem::path metrics() const { return root / "metrics.jsonl"; }
  [[nodiscard]] std::filesystem::path log() const { return root / "log.txt"; }
  [[nodiscard]] std::filesystem::path best() const { return root / "best.json"; }
  [[nodiscard]] std::filesystem::path data() const { return root / "data"; }
  [[nodiscard]] std::filesystem::path rewards() const { return root / "rewards"; }        // scores that came from outside
  [[nodiscard]] std::filesystem::path samples() const { return root / "samples.jsonl"; }  // completions now and then, for people
  [[nodiscard]] std::filesystem::path lock() const { return root / "lock"; }
  [[nodiscard]] std::filesystem::path guard() const { return root / "guard.json"; }          // what the supervisor tells while it runs
  [[nodiscard]] std::filesystem::path placement() const { return root / "placement.json"; }  // where workers sit
  [[nodiscard]] std::filesystem::path move_request() const { return root / "move.json"; }    // where they are asked to go
  [[nodiscard]] std::filesystem::path move_lock() const { return root / "move.lock"; }       // of whoever asks
  [[nodiscard]] std::filesystem::path faults() const { return root / "faults.jsonl"; }       // faults on purpose that struck
};

// The evaluated step with the lowest validation loss; its checkpoint is kept. Not part of the state: how often a run evaluates changes no
// bits.
struct Best {
  std::uint64_t step = 0;
  double validation_loss = 0;
};
[[nodiscard]] Result<std::optional<Best>> read_best(const RunDirectory& run);
[[nodiscard]] Result<void> write_best(const RunDirectory& run, const Best& best);

}  // namespace godwit::store
