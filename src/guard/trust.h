// What is known of devices across runs: which programs they were qualified for, and what was found of them since. One small database for
// all of a user's runs on a machine.
//
// Trust is made by one thing alone: a qualification that the device passed (godwit qualify). Every other note lowers it, foremost what a
// device says of its own health: there is no note by which a device could praise itself.
//
// A device is admitted to programs by a qualification of exactly these programs on exactly this device (number, name, driver, library,
// instruction set), noted after everything that lowers trust in a device of that number and name:
//   - by a *full* one, not older than full_days;
//   - by a *short* one, not older than short_days, as long as nothing has lowered trust since the last full one for these programs.
// So a refusal, a finding or a quarantine asks for a full qualification. Being moved away from says nothing about a device.
//
// Every call opens the database, does one thing in one transaction and closes it: any number of processes may do so at once, also across
// fork. Every note carries a hash over itself. A database that cannot be read whole, or holds a note whose hash is wrong, is never
// believed: it is set aside beside itself ("trust.db.damaged-…") with a warning, and nothing is known then.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "guard/identity.h"

namespace godwit::guard {

inline constexpr int full_days = 30;
inline constexpr int short_days = 1;

enum class Known : std::uint8_t {
  qualified,        // passed a full qualification for `program`
  qualified_short,  // passed one without the warm phase
  refused,          // was qualified, and failed
  finding,          // a run found something of it in doubt that another device's answer has settled against it
  quarantined,      // a run uses it no more
  complaint,        // it said itself that it is not well (lost, out of order)
  moved_away,       // a run went on elsewhere; `text` says why
};
[[nodiscard]] std::string_view known_name(Known known);  // "qualified", "qualified short", …
// Whether the note asks for a new full qualification.
[[nodiscard]] bool lowers(Known known);

struct TrustNote {
  Known what = Known::finding;
  DeviceIdentity device;
  std::string program = {};  // digest of the programs, hexadecimal; of qualifications
  std::int64_t at = 0;       // seconds since 1970; 0: now
  double seconds = 0;        // how long it took; of qualifications
  std::string source = {};   // the run's directory, or the config that was qualified for
  std::string text = {};     // what exactly, for people
};

struct Admission {
  bool admitted = false;
  std::string why;  // "qualified 2031-05-07, 2.9 min"; or what is missing: "its driver has changed: …", "it was quarantined …"
};

// How a device stands, whatever the program: for people.
struct Standing {
  std::string word;  // "linked", "unknown", "qualified", "qualified short", "stale", "doubted", "refused", "quarantined"
  std::string text;  // one line: when, for how many programs, what since
  std::int64_t findings = 0;
  std::int64_t quarantines = 0;
};

// $GODWIT_STATE_DIR, else $XDG_STATE_HOME/godwit, else ~/.local/state/godwit.
[[nodiscard]] std::filesystem::path state_directory();

class Trust {
 public:
  // Touches nothing; the directory is made with the first note.
  explicit Trust(std::filesystem::path directory = state_directory()) : directory_(std::move(directory)) {}

  [[nodiscard]] Result<void> note(const TrustNote& note) const;
  // For whoever has something more urgent to do than to hear that a disk is full: a failure is a warning in the log.
  void note_finding(const DeviceIdentity& device, const std::string& run, const std::string& text) const;
  void note_quarantine(const DeviceIdentity& device, const std::string& run, const std::string& text) const;
  void note_complaint(const DeviceIdentity& device, const std::string& run, const std::string& text) const;
  void note_moved_away(const DeviceIdentity& device, const std::string& run, const std::string& text) const;

  // All notes, in the order they were made; none where there is no database.
  [[nodiscard]] Result<std::vector<TrustNote>> notes() const;
  // Whether the device may compute these programs. A database that cannot be asked admits nobody; its error says why.
  [[nodiscard]] Result<Admission> admits(const DeviceIdentity& device, std::string_view program) const;

  [[nodiscard]] std::filesystem::path file() const { return directory_ / "trust.db"; }

 private:
  std::filesystem::path directory_;
};

// The rules above over plain notes, in their order. `now` in seconds since 1970.
[[nodiscard]] Admission admission(std::span<const TrustNote> notes, const DeviceIdentity& device, std::string_view program,
                                  std::int64_t now);
[[nodiscard]] Standing standing(std::span<const TrustNote> notes, const DeviceIdentity& device, std::int64_t now);

}  // namespace godwit::guard
