// The process that holds a device while it is tried: it brings values, runs, and hands back results and their hashes. It knows no expected
// result, so it cannot claim one; whoever ordered compares.
//
// Orders are frames of a guard::Link, one answer each:
//   open {device}                                                        → name, host (whether the host addresses its memory)
//   kernels {device}                                                     → names, by trial; "" where the device has none
//   run {device, trial, values, seed, repeats, keep_state}               → hash of the first result; odd: its hash, of the first repeat
//                                                                          that differs
//   time {device, trial, seconds}                                        → seconds of the fastest run, runs
//   pair {devices [2], trials [2], seconds},
//   warm {device, trials, seconds, seed}                                 → hashes by trial, runs, and, where a result was not what it was
//                                                                          before: odd, the trial; of warming also visits, an array of
//                                                                          {trial, runs, busy_s}
//   ceilings {threads}                                                   → flops, bf16_flops, bytes: of the machine, per second
// Results lie in two regions of shared memory: of a run the first result in the first, an odd one in the second; of a pair each device's
// odd one in its own; of warming in the first.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"
#include "guard/link.h"
#include "qualify/trial.h"

namespace godwit::qualify {

// What it is doing with the device, in memory it shares with whoever watches.
enum class Call : std::uint8_t { none, load, open, describe, prepare, write, run, read, close };
[[nodiscard]] std::string_view call_name(Call call);

struct SubjectCell {
  std::atomic<std::uint64_t> beats{0};  // grows with every call begun
  std::atomic<Call> call{Call::none};
  std::atomic<std::int32_t> trial{-1};
};

struct SubjectOptions {
  std::vector<device::DeviceOptions> devices;  // by number in orders; opened when first used
  std::string lie;                             // words of a device::Deceit: what the devices lie about; empty: nothing
};

// Values of pairs and of warming: what a record of a trial's result is of.
inline constexpr std::uint64_t record_seed = 1;

// In the child. Returns its exit code when the other side is gone. `regions`: two of equal size, one behind the other.
int subject_process(std::span<const Trial> trials, const SubjectOptions& options, guard::Link link, SubjectCell& cell,
                    std::span<std::byte> regions);

}  // namespace godwit::qualify
