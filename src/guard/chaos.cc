#include "guard/chaos.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "store/journal.h"
#include "store/run_directory.h"

namespace godwit::guard {
namespace {

constexpr int exit_refused = 2, exit_stopped = 75;
constexpr int starts_without_progress_max = 20;
constexpr auto look_every = std::chrono::milliseconds(20);
constexpr double waiting_seconds = 3;  // in which a run that waits would have found a reason to go on
constexpr std::size_t words_of_text = 6000;

const char* config_text = R"([model]
preset = "{}"
[tokenizer]
kind = "bytes"
[data]
kind = "text"
path = ["{}"]
sequence = 32
batch = 8
validation = 0.1
[optimizer]
lr = 3e-3
warmup = 5
schedule = "cosine"
[run]
steps = {}
seed = 7
checkpoint_every = 10
evaluate_every = 20
)";

// Rewards that completions of a model which knows nothing yet differ in.
const char* rl_config_text = R"([model]
preset = "{}"
[tokenizer]
kind = "characters"
[rl]
task = "parity"
options = {{ bits = 4 }}
prompts = 6
group = 4
max_tokens = 12
rewards = {{ format = 1.0, length = 0.5 }}
[optimizer]
lr = 3e-3
warmup = 5
[run]
steps = {}
seed = 7
checkpoint_every = 10
)";

std::string made_text() {
  constexpr std::string_view words[] = {"godwit", "flies", "over", "open",  "sea",  "and",  "never", "lands",
                                        "before", "the",   "far",  "shore", "with", "wind", "at",    "night"};
  RandomSequence random(RandomStream(1, Purpose::test, 0));
  std::string text;
  for (std::size_t i = 1; i <= words_of_text; ++i) {
    text += words[random.below(std::size(words))];
    text += i % 8 == 0 ? ".\n" : " ";
  }
  return text;
}

// The last committed step and its digest.
std::optional<store::JournalEntry> last_commit(const fs::path& run) {
  const auto content = store::Journal::read(store::RunDirectory{run}.journal());
  if (!content.ok() || content->entries.empty()) return std::nullopt;
  return content->entries.back();
}

std::uint64_t journal_bytes(const fs::path& run) {
  std::error_code missing;
  const auto bytes = fs::file_size(store::RunDirectory{run}.journal() / "journal.jsonl", missing);
  return missing ? 0 : bytes;
}

Json guard_record(const fs::path& run) {
  const auto text = read_file(run / "guard.json");
  if (!text.ok()) return {};
  const auto json = parse_json(*text, "guard.json");
  return json.ok() && json->is_object() ? *json : Json();
}

std::string last_lines(const fs::path& output) {
  const auto text = read_file(output);
  if (!text.ok() || text->empty()) return "";
  std::size_t begin = text->size() - 1;
  for (int lines = 0; begin > 0; --begin) {
    if ((*text)[begin - 1] == '\n' && ++lines == 3) break;
  }
  return text->substr(begin, text->find_last_not_of('\n') + 1 - begin);
}

// Other work on this machine.
class BusyThreads {
 public:
  explicit BusyThreads(int count) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this] {
        while (!over_.load(std::memory_order_relaxed)) {
        }
      });
    }
  }
  ~BusyThreads() {
    over_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  BusyThreads(const BusyThreads&) = delete;
  BusyThreads& operator=(const BusyThreads&) = delete;

 private:
  std::atomic<bool> over_ = false;
  std::vector<std::thread> threads_;
};

// What the log of faults tells.
struct Struck {
  std::vector<std::uint64_t> times;  // by fault
  std::vector<std::uint64_t> told;   // by fault: what exactly was done
  std::map<int, std::uint64_t> first_step_of_worker;
};

Struck struck_in(const fs::path& run, const std::vector<Fault>& faults) {
  Struck struck;
  struck.times.assign(faults.size(), 0);
  struck.told.assign(faults.size(), 0);
  const auto text = read_file(run / "faults.jsonl");
  if (!text.ok()) return struck;
  for (std::size_t begin = 0; begin < text->size();) {
    const std::size_t end = std::min(text->find('\n', begin), text->size());
    const auto line = parse_json(std::string_view(*text).substr(begin, end - begin), "faults.jsonl");
    begin = end + 1;
    if (!line.ok() || !line->is_object()) continue;
    const auto index = line->value("fault", faults.size());
    if (index >= faults.size() || line->value<std::string>("text", "") != faults[index].text) continue;
    if (line->contains("what")) ++struck.told[index];
    if (!line->contains("times")) continue;
    ++struck.times[index];
    if (const int worker = line->value("worker", -1); worker >= 0) {
      const auto step = line->value<std::uint64_t>("step", 0);
      const auto [first, fresh] = struck.first_step_of_worker.emplace(worker, step);
      if (!fresh) first->second = std::min(first->second, step);
    }
  }
  return struck;
}

// Whoever is handed such a fault says what it does; without a word nothing was done. (Frames are lost by whoever passes the point.)
bool is_told(const Fault& fault) {
  return fault.act >= Act::spoil && !(fault.act >= Act::lose_frame && fault.act <= Act::reset_link);
}

const Json* worker_of(const Json& guard, int number) {
  const Json* workers = guard.find("workers");
  if (workers == nullptr || !workers->is_array()) return nullptr;
  for (const Json& worker : *workers) {
    if (worker.is_object() && worker.value("number", -1) == number) return &worker;
  }
  return nullptr;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  return verdict == Verdict::passed ? "passed" : verdict == Verdict::failed ? "failed" : "invalid";
}

Launcher process_launcher(std::filesystem::path binary, std::vector<std::string> arguments) {
  return [binary = std::move(binary), arguments = std::move(arguments)](const Start& start) -> Result<int> {
    std::vector<std::string> words = {binary.string(),    start.command, start.config.string(),        "--run",
                                      start.run.string(), "--workers",   std::to_string(start.workers)};
    if (!start.verify.empty()) words.insert(words.end(), {"--verify", start.verify});
    if (!start.faults.empty()) words.insert(words.end(), {"--faults", start.faults.string()});
    for (const std::string& set : start.sets) words.insert(words.end(), {"--set", set});
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    const int output = ::open(start.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (output < 0) return world_error("{} cannot be opened: {}", start.output.string(), std::strerror(errno));
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
      setpgid(0, 0);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(127);
      dup2(output, STDOUT_FILENO);
      dup2(output, STDERR_FILENO);
      execv(pointers[0], pointers.data());
      _exit(127);
    }
    ::close(output);
    if (child < 0) return world_error("no process for {}: {}", binary.string(), std::strerror(errno));
    setpgid(child, child);  // whoever comes first
    int status = 0;
    for (bool killed = false; waitpid(child, &status, killed ? 0 : WNOHANG) == 0;) {
      std::this_thread::sleep_for(look_every);
      if (start.go_on && !start.go_on()) {
        ::kill(-child, SIGKILL);
        killed = true;
      }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return world_error("{} cannot be executed", binary.string());
    return status;
  };
}

struct Chaos::End {
  std::uint64_t step = 0;
  std::optional<Digest> digest;  // of that step
  std::uint64_t stops = 0, restarts = 0;
  bool waiting = false;
  bool refused = false;  // when it was started again
  std::string trouble;   // why it was given up
  Json guard;
};

Result<Start> Chaos::start_of(const Story& story, const fs::path& directory) {
  TRY(create_directories_durably(directory));
  Start start;
  start.command = story.command;
  start.config = directory / "config.toml";
  start.run = directory / "run";
  start.output = directory / "output.txt";
  start.sets = story.sets;
  if (story.command == "rl") {
    TRY(write_file_durably(start.config, fmt::format(fmt::runtime(rl_config_text), story.preset, story.steps)));
    return start;
  }
  // Its own: a story may damage it.
  const fs::path text = directory / "text.txt";
  if (options_.text.empty()) {
    TRY(write_file_durably(text, made_text()));
  } else {
    std::error_code error;
    fs::copy_file(options_.text, text, fs::copy_options::overwrite_existing, error);
    if (error) return world_error("{} cannot be copied: {}", options_.text.string(), error.message());
  }
  TRY(write_file_durably(start.config, fmt::format(fmt::runtime(config_text), story.preset, fs::absolute(text).string(), story.steps)));
  return start;
}

Result<Digest> Chaos::undisturbed(const Story& story) {
  const std::string settings = fmt::format("{} {} {} steps{}{}", story.command, story.preset, story.steps,
                                           story.sets.empty() ? "" : " with ", fmt::join(story.sets, " "));
  if (const auto known = digests_.find(settings); known != digests_.end()) return known->second;
  TRY_ASSIGN(Start start, start_of(story, options_.directory / fmt::format("undisturbed-{}", digests_.size() + 1)));
  Story calm = story;
  calm.name = "undisturbed, " + settings;
  TRY_ASSIGN(const End end, until_it_ends(calm, start));
  if (end.step != story.steps || !end.digest || !end.trouble.empty()) {
    return world_error("the undisturbed run of {} came to step {} of {}: {}", settings, end.step, story.steps,
                       end.trouble.empty() ? "it waits" : end.trouble);
  }
  digests_.emplace(settings, *end.digest);
  return *end.digest;
}

Result<Chaos::End> Chaos::until_it_ends(const Story& story, Start start) {
  End end;
  std::uint64_t bytes = journal_bytes(start.run);
  double progress_at = monotonic_seconds(), waiting_since = 0, said_at = 0;
  bool interrupted = false, stuck = false;
  start.go_on = [&] {
    const double now = monotonic_seconds();
    if (const std::uint64_t bytes_now = journal_bytes(start.run); bytes_now != bytes) {
      bytes = bytes_now;
      progress_at = now;
    }
    if (now - said_at >= 0.5) {
      said_at = now;
      const auto last = last_commit(start.run);
      if (options_.say) options_.say(fmt::format("{}: step {} of {}", story.name, last ? last->step : 0, story.steps));
      const bool waits = guard_record(start.run).value<std::string>("state", "") == "waiting";
      waiting_since = waits ? (waiting_since > 0 ? waiting_since : now) : 0;
    }
    interrupted = options_.interrupted && options_.interrupted();
    stuck = now - progress_at > options_.patience_seconds;
    end.waiting = waiting_since > 0 && now - waiting_since > waiting_seconds;
    return !interrupted && !stuck && !end.waiting;
  };
  std::uint64_t best = 0;
  for (int fruitless = 0; end.trouble.empty() && !end.waiting;) {
    progress_at = monotonic_seconds();
    waiting_since = 0;
    TRY_ASSIGN(const int status, options_.launch(start));
    if (interrupted) return Error{ErrorKind::stopped, "interrupted"};
    const auto last = last_commit(start.run);
    end.step = last ? last->step : 0;
    end.guard = guard_record(start.run);
    const bool exited = WIFEXITED(status);
    const int code = exited ? WEXITSTATUS(status) : 0;
    if (stuck) {
      end.trouble = fmt::format("no step was committed in {} s", options_.patience_seconds);
    } else if (end.guard.value<std::string>("state", "") == "waiting") {
      end.waiting = true;
    } else if (exited && code == 0 && end.step >= story.steps) {
      end.digest = last->digest;
      break;
    } else if (exited && code == exit_refused && end.stops + end.restarts > 0) {
      end.refused = true;
      break;
    } else if (exited && code == exit_stopped) {
      ++end.stops;
    } else if (!exited || code == 0) {
      ++end.restarts;
    } else {
      end.trouble = fmt::format("it ended with exit code {}: {}", code, last_lines(start.output));
    }
    fruitless = end.step > best ? 0 : fruitless + 1;
    best = std::max(best, end.step);
    if (fruitless >= starts_without_progress_max) end.trouble = fmt::format("{} starts without a new step", fruitless);
  }
  return end;
}

void Chaos::judge(const Story& story, const End& end, CaseResult& result) {
  const Struck struck = struck_in(options_.directory / story.name / "run", story.faults);
  for (std::size_t i = 0; i < story.faults.size(); ++i) {
    result.struck += struck.times[i];
    if (struck.times[i] == 0) {
      result.reasons.push_back(fmt::format("\"{}\" has not struck", story.faults[i].text));
    } else if (is_told(story.faults[i]) && struck.told[i] == 0) {
      result.reasons.push_back(fmt::format("\"{}\" was due, and nothing was done", story.faults[i].text));
    }
  }
  const bool invalid = !result.reasons.empty();
  for (const std::string& counter : counter_names()) result.counters[counter] = end.guard.value<std::uint64_t>(counter, 0);
  result.counters["stops"] = end.stops;
  result.counters["restarts"] = end.restarts;
  if (!end.trouble.empty()) result.reasons.push_back(end.trouble);
  const auto wrong = [&](const Expectation& expected, const std::string& instead) {
    result.reasons.push_back(fmt::format("\"{}\": {}", expected.text, instead));
  };
  for (const Expectation& expected : story.expectations) {
    const Json* worker = expected.worker >= 0 ? worker_of(end.guard, expected.worker) : nullptr;
    switch (expected.kind) {
      case Expectation::Kind::finished:
        if (result.state != "finished") wrong(expected, result.state);
        break;
      case Expectation::Kind::waiting:
        if (!end.waiting) wrong(expected, result.state);
        break;
      case Expectation::Kind::refused:
        if (!end.refused) wrong(expected, result.state);
        break;
      case Expectation::Kind::digest:
        if (!result.digest_equal.value_or(false)) wrong(expected, end.digest ? "it is another one" : "there is none");
        break;
      case Expectation::Kind::counter: {
        const std::uint64_t counted = result.counters[expected.counter];
        const bool own = expected.counter == "stops" || expected.counter == "restarts";
        if (!own && !end.guard.contains(expected.counter)) {
          wrong(expected, "RUN/guard.json does not say");
        } else if (!holds(counted, expected.comparison, expected.value)) {
          wrong(expected, fmt::format("it is {}", counted));
        }
        break;
      }
      case Expectation::Kind::quarantined:
        if (worker == nullptr || worker->value<std::string>("state", "") != "quarantined") {
          wrong(expected,
                worker == nullptr ? "RUN/guard.json does not know it" : "it is " + worker->value<std::string>("state", "in no state"));
        }
        break;
      case Expectation::Kind::named: {
        const auto first = struck.first_step_of_worker.find(expected.worker);
        const Json* at = worker == nullptr ? nullptr : worker->find("named_at");
        if (first == struck.first_step_of_worker.end()) {
          wrong(expected, "no fault has struck it");
        } else if (at == nullptr || !at->is_number()) {
          wrong(expected, "nobody has named it");
        } else if (at->get<std::uint64_t>() > first->second + expected.value) {
          wrong(expected, fmt::format("struck at step {}, named at step {}", first->second, at->get<std::uint64_t>()));
        }
        break;
      }
    }
  }
  result.verdict = invalid ? Verdict::invalid : result.reasons.empty() ? Verdict::passed : Verdict::failed;
}

Result<CaseResult> Chaos::run(const Story& story) {
  CHECK(!story.name.empty() && !story.file.empty(), "a story is run from its file");
  TRY_ASSIGN(const Digest wanted, undisturbed(story));
  const double began = monotonic_seconds();
  TRY_ASSIGN(Start start, start_of(story, options_.directory / story.name));
  std::error_code ignored;
  if (fs::exists(start.run, ignored)) return input_error("{} exists; a story needs a run of its own", start.run.string());
  start.workers = story.workers;
  start.verify = story.verify;
  start.faults = story.file;
  const BusyThreads busy(story.busy_threads);
  TRY_ASSIGN(const End end, until_it_ends(story, start));
  CaseResult result;
  result.story = story.name;
  result.ordered = story.faults.size();
  result.state = end.digest    ? "finished"
                 : end.waiting ? "waiting"
                 : end.refused ? "refused"
                               : fmt::format("at step {} of {}", end.step, story.steps);
  if (end.digest) result.digest_equal = *end.digest == wanted;
  result.guard = end.guard;
  judge(story, end, result);
  result.seconds = monotonic_seconds() - began;
  return result;
}

}  // namespace godwit::guard
