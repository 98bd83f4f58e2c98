// The ladder: what to do next with a part of a step, from all that has happened to it. A pure function; the supervisor does what it says.
//
//   accept       a proposal that stands
//   run          here, elsewhere, on the trusted CPU: first tries, retries and replays are the same thing with another history
//   poison       every device, the trusted CPU too, finds the samples at fault: the step leaves its batch out
//
// and devices to quarantine on the way. There is no rung called give up: whatever the history, there is a next thing to do, and after a
// bounded number of tries that ended by the part's own doing it is `accept` or `poison`. A death from outside is no evidence and counts as
// no try.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"

namespace godwit::guard {

enum class Outcome : std::uint8_t {
  clean,     // answered, and nothing was found
  doubtful,  // answered, and a check found something, or the whole was judged doubtful and this part may be why
  broken,    // the worker crashed, left, hung, or could not do it
  killed,    // the worker was killed from outside, or its link failed: says nothing
};

struct Attempt {
  int worker = 0;
  bool trusted = false;
  Outcome outcome = Outcome::clean;
  bool judged = false;  // doubtful: the numbers themselves are in doubt (NaN, a spike), no check of how they were computed
  BlockHash checksum;   // clean, doubtful: of the proposal
  std::string why;      // doubtful, broken
};

// What of the workers can be had.
struct Device {
  int worker = 0;
  bool trusted = false;  // the CPU that is believed; never quarantined
  bool usable = true;    // not quarantined, not left aside for slowness
};

enum class Proof : std::uint8_t {
  none,   // a clean attempt stands
  again,  // two attempts, on two devices, must agree by bits
};

enum class Rung : std::uint8_t { accept, run_anywhere, run_here, run_elsewhere, run_trusted, poison };
[[nodiscard]] std::string_view rung_name(Rung rung);

struct Decision {
  Rung rung = Rung::run_anywhere;
  std::size_t attempt = 0;      // accept: which
  int here = -1;                // run_here: the worker
  std::vector<int> not_there;   // run_elsewhere: workers that have been tried; another usable one exists
  std::vector<int> quarantine;  // workers whose error came again, and that a device which is believed has contradicted
  std::string why;              // for the log; empty for the ordinary course
};

// Attempts that ended, oldest first. Devices whose answers a trusted one contradicted come with it in `quarantine`, each time it is asked.
[[nodiscard]] Decision decide(std::span<const Attempt> attempts, std::span<const Device> devices, Proof proof);

// No history makes it ask for more tries than this that are not killed ones.
inline constexpr int tries_max = 10;

}  // namespace godwit::guard
