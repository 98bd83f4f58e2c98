#include "bench/storm_agent.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>

#include "base/clock.h"
#include "base/file.h"

namespace godwit::bench {
namespace {

constexpr double read_every_s = 0.1;
constexpr double longest_stop_s = 6;

// 0: there is no such process, or it is dead and only waited for.
pid_t parent_of(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos || name_end + 4 >= text.size() || text[name_end + 2] == 'Z') return 0;
  pid_t parent = 0;
  std::from_chars(text.data() + name_end + 4, text.data() + text.size(), parent);
  return parent;
}

}  // namespace

bool Recovery::hang() const {
  return fault.find("it is stopped for") != std::string::npos || fault.find("it sleeps for") != std::string::npos ||
         fault.find("without getting on") != std::string::npos;
}

StormAgent::StormAgent(Options options)
    : options_(std::move(options)), random_(RandomStream(options_.seed, Purpose::fault, 0)), committed_at_(monotonic_seconds()) {}

std::optional<pid_t> StormAgent::supervisor() const {
  const auto holder = LockFile::holder(options_.run.lock());
  if (!holder.ok() || !holder->has_value()) return std::nullopt;
  const auto process = static_cast<pid_t>((*holder)->process);
  return parent_of(process) == getpid() ? std::optional(process) : std::nullopt;
}

bool StormAgent::of_run(pid_t process) const {
  const auto first = supervisor();
  return first && (process == *first || parent_of(process) == *first);
}

void StormAgent::look() {
  const double now = monotonic_seconds();
  std::error_code missing;
  const auto bytes = fs::file_size(options_.run.journal() / "journal.jsonl", missing);
  if (!missing && bytes != journal_bytes_) {
    journal_bytes_ = bytes;
    committed_at_ = now;
    if (gone_at_) recoveries_.push_back({"supervisor", now - *gone_at_});
    gone_at_.reset();
  }
  std::erase_if(stopped_, [&](const Stopped& each) {
    if (each.until > now) return false;
    send(each.process, SIGCONT);
    return true;
  });
  if (now - read_at_ < read_every_s) return;
  read_at_ = now;
  read_guard();
  if (!resting_ && step_ >= strike_at_) strike();
}

void StormAgent::read_guard() {
  const auto text = read_file(options_.run.guard(), std::uint64_t{1} << 24);
  if (!text.ok()) return;
  auto json = parse_json(*text, "guard.json");
  if (!json.ok() || !json->is_object()) return;
  guard_ = std::move(json).value();
  step_ = std::max(step_, guard_.value<std::uint64_t>("step", 0));
  const Json* list = guard_.find("recoveries");
  if (list == nullptr || !list->is_array() || list->size() == 0) return;
  if (!stale_.empty() && write_json(*list) == stale_) return;
  stale_.clear();
  for (; recoveries_read_ < list->size(); ++recoveries_read_) {
    const Json& each = (*list)[recoveries_read_];
    recoveries_.push_back({each.value<std::string>("fault", ""), each.value("seconds", 0.0)});
  }
}

void StormAgent::supervisor_ended() {
  read_guard();
  const Json* list = guard_.is_object() ? guard_.find("recoveries") : nullptr;
  stale_ = list == nullptr ? "" : write_json(*list);
  recoveries_read_ = 0;
  stopped_.clear();  // they go with it
  if (!gone_at_) gone_at_ = monotonic_seconds();
}

void StormAgent::rest() {
  resting_ = true;
  for (Stopped& each : stopped_) each.until = 0;
}

void StormAgent::send(pid_t process, int signal) {
  if (process > 0 && of_run(process)) ::kill(process, signal);
}

void StormAgent::strike() {
  const auto first = supervisor();
  if (!first || !guard_.is_object()) return;
  struct Victim {
    const char* name;
    pid_t process;
  };
  std::vector<Victim> victims = {{"the supervisor", *first}};
  const auto add = [&](const char* name, const Json& each) {
    const pid_t process = each.is_object() && each.value("pid", Json()).is_number() ? each.value("pid", 0) : 0;
    if (process > 0 && parent_of(process) == *first) victims.push_back({name, process});
  };
  if (const Json* keeper = guard_.find("keeper")) add("the keeper", *keeper);
  if (const Json* workers = guard_.find("workers"); workers != nullptr && workers->is_array()) {
    for (const Json& worker : *workers) add("a worker", worker);
  }
  if (victims.size() == 1) return;  // they are about to be there
  const Victim& victim = victims[random_.below(victims.size())];
  const bool kill = options_.only_kills || random_.f64() < 0.6;
  if (kill) {
    send(victim.process, SIGKILL);
  } else {
    send(victim.process, SIGSTOP);
    stopped_.push_back({victim.process, monotonic_seconds() + longest_stop_s * random_.f64()});
  }
  ++struck_[fmt::format("{} to {}", kill ? "SIGKILL" : "SIGSTOP, SIGCONT", victim.name)];
  strike_at_ = step_ + 1 + static_cast<std::uint64_t>(-std::log(1 - random_.f64()) * options_.steps_between);
}

}  // namespace godwit::bench
