// Runs stories of faults: the run undisturbed, the run with its faults, and whether the end is the one the story expects.
//
// A run is a process of its own (`godwit train`). When its supervisor dies, or stops on request, the same command is given again, as
// whoever owns the run would; only a run that commits nothing new in twenty starts is given up.
#pragma once

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "guard/story.h"

namespace godwit::guard {

// One start of a run.
struct Start {
  std::string command = "train";
  std::filesystem::path config;
  std::filesystem::path run;
  std::filesystem::path output;  // takes what it prints
  std::vector<std::string> sets;
  int workers = 0;
  std::string verify;            // "": as it is
  std::filesystem::path faults;  // a story; "": none
  // Called several times a second while it runs, for as long as it says true; then the run is killed.
  std::function<bool()> go_on;
};

// Ends with the process: its wait status.
using Launcher = std::function<Result<int>(const Start&)>;
// `binary` train …, or rl …, with `arguments` behind. The process leads a group of its own, and dies with this one.
[[nodiscard]] Launcher process_launcher(std::filesystem::path binary, std::vector<std::string> arguments = {});

enum class Verdict : std::uint8_t {
  passed,
  failed,   // something the story expects does not hold
  invalid,  // a fault the story orders has not struck: nothing was shown
};
[[nodiscard]] std::string_view verdict_name(Verdict verdict);

struct CaseResult {
  std::string story;
  Verdict verdict = Verdict::failed;
  std::vector<std::string> reasons;  // what does not hold, or did not strike
  std::size_t ordered = 0;           // faults of the story
  std::uint64_t struck = 0;          // times that faults struck
  std::map<std::string, std::uint64_t> counters;
  std::string state;  // finished, waiting, or how far it came
  std::optional<bool> digest_equal;
  double seconds = 0;
  Json guard;  // RUN/guard.json at the end
};

struct ChaosOptions {
  Launcher launch;
  std::filesystem::path directory;  // of all runs; exists
  std::filesystem::path text;       // to train on; empty: one is made
  double patience_seconds = 120;    // for a step to be committed
  std::function<void(const std::string&)> say;
  std::function<bool()> interrupted;
};

class Chaos {
 public:
  explicit Chaos(ChaosOptions options) : options_(std::move(options)) {}

  // The undisturbed run is made once for stories of equal settings. An error: the story could not be run at all.
  [[nodiscard]] Result<CaseResult> run(const Story& story);

 private:
  struct End;
  [[nodiscard]] Result<Start> start_of(const Story& story, const std::filesystem::path& directory);
  [[nodiscard]] Result<Digest> undisturbed(const Story& story);
  [[nodiscard]] Result<End> until_it_ends(const Story& story, Start start);
  void judge(const Story& story, const End& end, CaseResult& result);

  ChaosOptions options_;
  std::map<std::string, Digest> digests_;  // of undisturbed runs, by settings
};

}  // namespace godwit::guard
