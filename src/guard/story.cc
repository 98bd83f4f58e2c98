#include "guard/story.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "base/file.h"
#include "guard/story_acts.h"
#include "guard/story_words.h"
#include "program/op.h"

namespace godwit::guard {
namespace {

constexpr std::uint64_t story_bytes_max = std::uint64_t{1} << 20;
constexpr std::uint64_t without_end = std::numeric_limits<std::uint64_t>::max();
const std::array presets = {"nano", "micro", "mini"};
const std::array<std::string, 16> counters = {
    "replays", "confirmations",       "respawns",           "rollbacks", "quarantined", "skipped", "findings",     "resends", "slow",
    "faults",  "checkpoints_refused", "checkpoints_failed", "stops",     "restarts",    "moves",   "moves_refused"};

// ---- Who passes which phase ----

struct Passer {
  Phase phase;
  bool supervisor, keeper, worker, candidate;
};
constexpr Passer passers[] = {
    {Phase::starting, true, true, true, true},     {Phase::preparing, false, true, true, true},
    {Phase::idle, false, true, true, true},        {Phase::loading, false, true, false, false},
    {Phase::batch, false, true, false, false},     {Phase::asking, false, true, false, false},
    {Phase::forward, false, false, true, true},    {Phase::backward, false, false, true, true},
    {Phase::sending, false, false, true, true},    {Phase::evaluating, false, false, true, false},
    {Phase::comparing, false, false, false, true}, {Phase::joining, false, true, false, false},
    {Phase::judging, false, true, false, false},   {Phase::applying, false, true, false, false},
    {Phase::digesting, false, true, false, false}, {Phase::committing, true, false, false, false},
    {Phase::committed, true, false, false, false}, {Phase::moving, true, false, false, false},
    {Phase::moved, true, false, false, false},     {Phase::writing, true, false, false, false},
};

bool passes(Role role, bool candidate, Phase phase) {
  const Passer& passer = passers[static_cast<std::size_t>(phase)];
  if (role == Role::worker) return candidate ? passer.candidate : passer.worker;
  return role == Role::supervisor ? passer.supervisor : passer.keeper;
}

std::vector<std::string> phases_of(const Point& at) {
  std::vector<std::string> names;
  for (const Passer& passer : passers) {
    if (passes(at.role, at.candidate, passer.phase) && passer.phase != Phase::writing) names.emplace_back(phase_name(passer.phase));
  }
  return names;
}

std::string_view passer_name(const Point& at) {
  return at.candidate ? "candidate" : role_name(at.role);
}

// ---- Lines ----

struct When {
  bool range = false;  // more than one step
  bool place = false, every_time = false;
  std::optional<Phase> phase = {};
  std::optional<std::uint64_t> times = {};
};

bool steps(Sentence& s, Fault& fault, When& when) {
  if (s.words({"at", "step"})) {
    const auto step = s.count(0, "a step");
    if (step) fault.at.step = fault.last_step = *step;
    return step.has_value();
  }
  when.range = true;
  fault.last_step = without_end;
  if (s.words({"every", "step"})) return true;
  if (s.words({"from", "step"})) {
    const auto step = s.count(0, "a step");
    if (step) fault.at.step = *step;
    return step.has_value();
  }
  if (!s.word("steps")) return false;
  const auto first = s.count(0, "a step");
  const auto last = first && s.word("to") ? s.count(*first, fmt::format("a step, {} or later", *first)) : std::nullopt;
  if (!last) return false;
  fault.at.step = *first;
  fault.last_step = *last;
  return true;
}

bool place(Sentence& s, Fault& fault, When& when) {
  if (s.word("anywhere")) {
    fault.any_phase = when.place = true;
    fault.in_op = "*";
    return true;
  }
  if (!s.word("in")) return true;
  when.place = true;
  if (s.word("op")) {
    for (const program::Op* op : program::all_ops()) {
      if (!s.word(op->name)) continue;
      fault.any_phase = true;
      fault.in_op = op->name;
      return true;
    }
    return false;
  }
  for (const Passer& passer : passers) {
    if (!s.word(phase_name(passer.phase))) continue;
    when.phase = passer.phase;
    return true;
  }
  return false;
}

bool probability_and_times(Sentence& s, Fault& fault, When& when) {
  if (s.words({"with", "probability"})) {
    const auto rate = s.number<double>(0, 1, "a probability, 0 to 1");
    if (!rate) return false;
    fault.rate = *rate;
  }
  if (!s.word(",")) return true;
  if (s.words({"every", "time"})) return when.every_time = true;
  if (!s.words({"up", "to"})) return false;
  when.times = s.count(1, "a number of times");
  return when.times && s.one_of(std::array{"times", "time"});
}

// Of an act that is nobody's own: whoever passes that phase.
void take_passer_of(Phase phase, Point& at) {
  at.candidate = passes(Role::worker, true, phase) && !passes(Role::worker, false, phase);
  at.role = at.candidate || passes(Role::worker, false, phase) ? Role::worker
            : passes(Role::keeper, false, phase)               ? Role::keeper
                                                               : Role::supervisor;
}

// Where and how often, as far as the line leaves it open.
Result<void> settle(const Sentence& s, const When& when, Parts& parts) {
  Fault& fault = parts.fault;
  if (parts.role) {
    fault.at.role = *parts.role;
  } else if (when.phase) {
    take_passer_of(*when.phase, fault.at);
  } else {
    fault.at.role = fault.any_phase ? Role::worker : Role::supervisor;
  }
  if (parts.only && (fault.any_phase || when.phase.value_or(*parts.only) != *parts.only)) {
    return s.error(fmt::format("this happens in {} and nowhere else; leave out where", phase_name(*parts.only)));
  }
  // A writer passes its only phase as the supervisor whose child it is: its disk fails, but it dies by its own name.
  const bool writes = parts.only || fault.act == Act::disk || fault.act == Act::terminate;
  if (when.phase && (!passes(fault.at.role, fault.at.candidate, *when.phase) || (when.phase == Phase::writing && !writes))) {
    return s.error(fmt::format("the {} is never in {}; it passes {}", passer_name(fault.at), phase_name(*when.phase),
                               fmt::join(phases_of(fault.at), ", ")));
  }
  if (!fault.in_op.empty() && fault.in_op != "*" && fault.at.role != Role::worker) {
    return s.error(fmt::format("the {} passes no ops, only phases; \"in op\" is for workers", role_name(fault.at.role)));
  }
  const Phase usual = fault.at.role == Role::worker                                      ? Phase::forward
                      : fault.at.role == Role::keeper                                    ? Phase::applying
                      : fault.act >= Act::rot_checkpoint && fault.act <= Act::rot_tokens ? Phase::committed
                                                                                         : Phase::committing;
  fault.at.phase = parts.only ? *parts.only : when.phase.value_or(parts.usual.value_or(usual));
  const bool lasting = fault.act == Act::slow || fault.act == Act::poison;
  fault.once_a_step = when.range && fault.rate == 1 && !when.every_time && !lasting;
  fault.count = when.times.value_or(when.range || when.every_time || lasting ? 0 : 1);
  return {};
}

Result<void> fault_line(Sentence& s, Story& story) {
  Fault fault;
  When when;
  Parts parts{.fault = fault};
  if (!steps(s, fault, when) || !place(s, fault, when) || !probability_and_times(s, fault, when) || !s.word(":")) return s.error();
  if (!act(s, parts)) return s.error();
  while (!s.at_end()) {
    if (!modifier(s, parts)) return s.error();
  }
  TRY(settle(s, when, parts));
  fault.text = s.line();
  story.faults.push_back(std::move(fault));
  return {};
}

Result<void> train_line(Sentence& s, Story& story, std::string_view command) {
  if (!story.preset.empty()) return s.error("a story trains once");
  story.command = command;
  const auto preset = s.one_of(presets);
  if (!preset) return s.error();
  const auto count = s.count(1, "a number of steps");
  if (!count || !s.words({"steps", "on"})) return s.error();
  const auto workers = s.number<int>(0, 64, "a number of workers");
  if (!workers || !s.one_of(std::array{"workers", "worker"})) return s.error();
  story.preset = *preset;
  story.steps = *count;
  story.workers = *workers;
  if (s.at_end()) return {};
  if (!s.word("with")) return s.error();
  do {
    const auto set = s.any_word("section.key=value");
    if (!set || set->find('=') == std::string::npos) return s.error("after \"with\" stand settings of the run: section.key=value …");
    story.sets.push_back(*set);
  } while (!s.at_end());
  return {};
}

bool expectation(Sentence& s, Expectation& made) {
  using Kind = Expectation::Kind;
  if (s.word("finished")) return true;
  if (s.word("waiting")) {
    made.kind = Kind::waiting;
    return true;
  }
  if (s.word("refused")) {
    made.kind = Kind::refused;
    return true;
  }
  if (s.words({"digest", "=", "undisturbed"})) {
    made.kind = Kind::digest;
    return true;
  }
  const auto worker_number = [&] {
    const auto number = s.word("worker") ? s.number<int>(0, 1 << 20, "a worker's number") : std::nullopt;
    if (number) made.worker = *number;
    return number.has_value();
  };
  if (s.word("named")) {
    made.kind = Kind::named;
    if (!worker_number() || !s.word("within")) return false;
    const auto within = s.count(0, "a number of steps");
    if (within) made.value = *within;
    return within && s.one_of(std::array{"steps", "step"});
  }
  if (const auto counter = s.one_of(counters)) {
    made.kind = Kind::counter;
    made.counter = *counter;
    const auto comparison = s.one_of(std::array{">=", "=", "<="});
    const auto value = comparison ? s.count(0) : std::nullopt;
    if (!value) return false;
    made.comparison = *comparison;
    made.value = *value;
    return true;
  }
  made.kind = Kind::quarantined;
  return worker_number() && s.word("quarantined");
}

Result<void> expect_line(Sentence& s, Story& story) {
  do {
    Expectation made;
    const std::size_t begin = s.position();
    if (!expectation(s, made)) return s.error();
    made.text = s.text_from(begin);
    story.expectations.push_back(std::move(made));
  } while (s.word(","));
  return s.at_end() ? Result<void>() : s.error();
}

Result<void> line(Sentence& s, Story& story) {
  for (const std::string_view command : {"train", "rl"}) {
    if (s.word(command)) return train_line(s, story, command);
  }
  if (s.word("expect")) return expect_line(s, story);
  if (s.word("verify")) {
    const auto how = s.one_of(std::array{"inline", "dual", "off"});
    if (!how || !s.at_end()) return s.error();
    story.verify = *how;
    return {};
  }
  if (s.word("seed")) {
    const auto seed = s.count(0);
    if (!seed || !s.at_end()) return s.error();
    story.seed = *seed;
    return {};
  }
  if (s.word("beside")) {
    const auto threads = s.number<int>(1, 64, "a number of threads");
    if (!threads || !s.words({"busy", "threads"}) || !s.at_end()) return s.error();
    story.busy_threads = *threads;
    return {};
  }
  return fault_line(s, story);
}

}  // namespace

std::span<const std::string> counter_names() {
  return counters;
}

bool holds(std::uint64_t counted, std::string_view comparison, std::uint64_t value) {
  if (comparison == ">=") return counted >= value;
  if (comparison == "<=") return counted <= value;
  CHECK(comparison == "=", "{} compares nothing", comparison);
  return counted == value;
}

Result<Story> parse_story(std::string_view text, std::string_view source) {
  Story story;
  std::size_t number = 0;
  while (!text.empty()) {
    std::string_view here = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(here.size() + 1, text.size()));
    ++number;
    here = here.substr(0, here.find('#'));
    if (here.ends_with('\r')) here.remove_suffix(1);
    if (here.find_first_not_of(" \t") == std::string_view::npos) continue;
    Sentence sentence(here, fmt::format("{}:{}", source, number));
    TRY(line(sentence, story));
  }
  if (story.preset.empty()) return input_error("{}: has no line \"train PRESET N steps on W workers\"", source);
  if (story.expectations.empty()) return input_error("{}: has no line \"expect finished, …\"; without one, every end would do", source);
  for (std::size_t i = 0; i < story.faults.size(); ++i) {
    Fault& fault = story.faults[i];
    fault.seed = fault.spoil.seed = story.seed * 1000003 + i;
    if (fault.at.worker >= story.workers && story.workers > 0) {
      return input_error("{}: \"{}\": there are workers 0 to {}", source, fault.text, story.workers - 1);
    }
  }
  return story;
}

Result<Story> load_story(const std::filesystem::path& path) {
  TRY_ASSIGN(const std::string text, read_file(path, story_bytes_max));
  TRY_ASSIGN(Story story, parse_story(text, path.string()));
  story.file = path;
  story.name = path.stem().string();
  return story;
}

}  // namespace godwit::guard
