// A story of faults: a text that says what a run is, what goes wrong in it and how it must end. docs/stories.md has the language.
//
//     train nano 40 steps on 2 workers
//     at step 7 in backward: kill worker 1
//     at step 19: flip a high bit in 3 matmul accumulators on worker 0
//     expect finished, replays >= 1, digest = undisturbed
//
// `godwit chaos` runs stories (guard/chaos.h); `godwit train --faults FILE` takes the faults of one alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "guard/fault.h"

namespace godwit::guard {

struct Expectation {
  enum class Kind : std::uint8_t {
    finished,     // the run's last step is committed
    waiting,      // the run waits for its owner, a disk or a trusted CPU, and says why
    refused,      // started again, it is refused: what it needs is not what it was
    digest,       // of the final state: that of the run without the faults
    counter,      // `counter` `comparison` `value`
    quarantined,  // `worker`
    named,        // `worker`, at most `value` steps after a fault struck it for the first time
  };
  Kind kind = Kind::finished;
  std::string text = {};        // as the story says it
  std::string counter = {};     // one of counter_names()
  std::string comparison = {};  // ">=", "=", "<="
  std::uint64_t value = 0;
  int worker = -1;
};
// "replays", "respawns" …
[[nodiscard]] std::span<const std::string> counter_names();
// "replays >= 1"
[[nodiscard]] bool holds(std::uint64_t counted, std::string_view comparison, std::uint64_t value);

struct Story {
  std::filesystem::path file;  // where it was read from; empty: from a text
  std::string name;            // of its file, without ".story"
  std::string command;         // train, or rl: then what docs/stories.md says of it
  std::string preset;
  std::uint64_t steps = 0;
  int workers = 1;
  std::vector<std::string> sets;  // "data.batch=4"
  std::string verify = "inline";
  std::uint64_t seed = 0;  // of the faults
  int busy_threads = 0;    // that compute beside the disturbed run and are none of it
  std::vector<Fault> faults;
  std::vector<Expectation> expectations;
};

// Errors are of kind input and name file, line, word and the nearest word that would do there.
[[nodiscard]] Result<Story> parse_story(std::string_view text, std::string_view source);
[[nodiscard]] Result<Story> load_story(const std::filesystem::path& path);

}  // namespace godwit::guard
