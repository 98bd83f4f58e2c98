#include "guard/trust.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <set>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "guard/trust_database.h"

namespace godwit::guard {

namespace {

constexpr std::int64_t day_s = 86'400;

bool same_device(const DeviceIdentity& a, const DeviceIdentity& b) {
  return a.backend == b.backend && a.number == b.number && a.name == b.name;
}

bool is_qualification(Known known) {
  return known == Known::qualified || known == Known::qualified_short;
}

int days_of(Known known) {
  return known == Known::qualified ? full_days : short_days;
}

std::string note_text(const TrustNote& note) {
  return fmt::format("{} {}{}", known_name(note.what), local_time_text(note.at), note.text.empty() ? "" : ": " + note.text);
}

// The last note that lowers trust in the device, if it was not qualified in full for anything since.
const TrustNote* lowered_by(std::span<const TrustNote> notes, const DeviceIdentity& device) {
  const TrustNote* last = nullptr;
  for (const TrustNote& note : notes) {
    if (!same_device(note.device, device)) continue;
    if (lowers(note.what)) last = &note;
    if (note.what == Known::qualified && note.device == device) last = nullptr;
  }
  return last;
}

// A database that is damaged is moved out of the way, by one of those who find it so.
Result<void> set_aside(const fs::path& file, const std::string& why) {
  TRY_ASSIGN(const LockFile lock,
             LockFile::acquire(file.parent_path() / "trust.lock", file.string(), "try again", std::chrono::seconds(10)));
  const auto again = read_trust(file);
  if (again.ok() || again.error().kind != ErrorKind::differs) return {};  // somebody else has
  std::string aside;
  for (int number = 0; aside.empty() || fs::exists(aside); ++number) {
    aside = fmt::format("{}.damaged-{}{}", file.string(), unix_time(), number == 0 ? "" : fmt::format("-{}", number));
  }
  const fs::path journal = file.string() + "-journal";
  if (fs::exists(journal)) TRY(rename_durably(journal, aside + "-journal"));
  TRY(rename_durably(file, aside));
  log_warning("what was known of devices is damaged and not believed ({}); it is set aside as {}, nothing is known from here on", why,
              aside);
  return {};
}

}  // namespace

std::string_view known_name(Known known) {
  switch (known) {
    case Known::qualified:
      return "qualified";
    case Known::qualified_short:
      return "qualified short";
    case Known::refused:
      return "refused";
    case Known::finding:
      return "finding";
    case Known::quarantined:
      return "quarantined";
    case Known::complaint:
      return "complaint";
    case Known::moved_away:
      return "moved away";
  }
  return "";
}

bool lowers(Known known) {
  return known == Known::refused || known == Known::finding || known == Known::quarantined || known == Known::complaint;
}

fs::path state_directory() {
  const auto given = [](const char* name) -> const char* {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? value : nullptr;
  };
  if (const char* own = given("GODWIT_STATE_DIR")) return fs::path(own);
  if (const char* state = given("XDG_STATE_HOME")) return fs::path(state) / "godwit";
  const char* home = given("HOME");
  return fs::path(home != nullptr ? home : "/tmp") / ".local" / "state" / "godwit";
}

Admission admission(std::span<const TrustNote> notes, const DeviceIdentity& device, std::string_view program, std::int64_t now) {
  const TrustNote* good = nullptr;     // the qualification that admits it
  const TrustNote* lowered = nullptr;  // what only a full one can outweigh
  const TrustNote* other = nullptr;    // a qualification for these programs, when something about the device was otherwise
  bool known = false;                  // it was qualified for anything
  for (const TrustNote& note : notes) {
    if (!same_device(note.device, device)) continue;
    if (lowers(note.what)) {
      lowered = &note;
      good = nullptr;
    }
    if (!is_qualification(note.what)) continue;
    known = true;
    if (note.program != program) continue;
    if (note.device != device) {
      other = &note;
      continue;
    }
    if (note.what == Known::qualified) lowered = nullptr;
    if (lowered == nullptr && (good == nullptr || note.what == Known::qualified || good->what == Known::qualified_short)) good = &note;
  }
  if (lowered != nullptr) return {false, fmt::format("{}; only a full qualification after that counts", note_text(*lowered))};
  if (good != nullptr) {
    const int days = days_of(good->what);
    if (now - good->at <= days * day_s)
      return {true, fmt::format("{} {}, in {:.0f} s", known_name(good->what), local_time_text(good->at), good->seconds)};
    return {false,
            fmt::format("it was {} on {}, more than {} day{} ago", known_name(good->what), local_time_text(good->at), days,
                        days == 1 ? "" : "s")};
  }
  if (other != nullptr)
    return {false, fmt::format("it has changed since it was qualified: {}", identity_difference(other->device, device))};
  return {false, known ? "it was qualified for other programs, not for these" : "it was never qualified"};
}

Standing standing(std::span<const TrustNote> notes, const DeviceIdentity& device, std::int64_t now) {
  Standing result;
  std::set<std::string> programs;
  const TrustNote* newest = nullptr;  // qualification that holds
  const TrustNote* stale = nullptr;
  for (const TrustNote& note : notes) {
    if (!same_device(note.device, device)) continue;
    result.findings += note.what == Known::finding;
    result.quarantines += note.what == Known::quarantined;
    if (!is_qualification(note.what)) continue;
    const bool holds = note.device == device && now - note.at <= days_of(note.what) * day_s;
    if (!holds) {
      stale = &note;
      continue;
    }
    programs.insert(note.program);
    if (newest == nullptr || newest->what != Known::qualified || note.what == Known::qualified) newest = &note;
  }
  if (const TrustNote* lowered = lowered_by(notes, device)) {
    result.word = lowered->what == Known::finding || lowered->what == Known::complaint ? "doubted" : std::string(known_name(lowered->what));
    result.text = note_text(*lowered);
  } else if (newest != nullptr) {
    result.word = known_name(newest->what);
    result.text = fmt::format("{} for {} set{} of programs, last {}", newest->what == Known::qualified ? "in full" : "in short",
                              programs.size(), programs.size() == 1 ? "" : "s", local_time_text(newest->at));
  } else if (stale != nullptr) {
    result.word = "stale";
    const std::string changed = identity_difference(stale->device, device);
    result.text = fmt::format("qualified {}, {}", local_time_text(stale->at), changed.empty() ? "too long ago" : changed);
  } else {
    result.word = device.library.empty() ? "linked" : "unknown";
    result.text = device.library.empty() ? "part of this program: needs no qualification" : "never qualified";
  }
  return result;
}

Result<void> Trust::note(const TrustNote& note) const {
  TrustNote dated = note;
  if (dated.at == 0) dated.at = unix_time();
  TRY(create_directories_durably(directory_));
  Result<void> noted = append_trust(file(), dated);
  if (noted.ok() || noted.error().kind != ErrorKind::differs) return noted;
  TRY(set_aside(file(), noted.error().message));
  return append_trust(file(), dated);
}

namespace {

void note_quietly(const Trust& trust, Known what, const DeviceIdentity& device, const std::string& run, const std::string& text) {
  TrustNote note{.what = what, .device = device};
  note.source = run;
  note.text = text;
  const auto noted = trust.note(note);
  if (!noted.ok()) log_warning("'{} {}' is not noted: {}", device.option(), known_name(what), noted.error().message);
}

}  // namespace

void Trust::note_finding(const DeviceIdentity& device, const std::string& run, const std::string& text) const {
  note_quietly(*this, Known::finding, device, run, text);
}
void Trust::note_quarantine(const DeviceIdentity& device, const std::string& run, const std::string& text) const {
  note_quietly(*this, Known::quarantined, device, run, text);
}
void Trust::note_complaint(const DeviceIdentity& device, const std::string& run, const std::string& text) const {
  note_quietly(*this, Known::complaint, device, run, text);
}
void Trust::note_moved_away(const DeviceIdentity& device, const std::string& run, const std::string& text) const {
  note_quietly(*this, Known::moved_away, device, run, text);
}

Result<std::vector<TrustNote>> Trust::notes() const {
  auto notes = read_trust(file());
  if (notes.ok() || notes.error().kind != ErrorKind::differs) return notes;
  TRY(set_aside(file(), notes.error().message));
  return read_trust(file());
}

Result<Admission> Trust::admits(const DeviceIdentity& device, std::string_view program) const {
  TRY_ASSIGN(const std::vector<TrustNote> all, notes());
  return admission(all, device, program, unix_time());
}

}  // namespace godwit::guard
