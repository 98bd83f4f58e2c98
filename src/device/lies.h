// What a liar (device/liar.h) may do to results.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "device/liar.h"

namespace godwit::device {

// Results to lie about, chosen by lot among those of one run that qualify: exactly so many, if there are as many.
struct Target {
  std::string op;            // name; "": any
  std::int64_t results = 1;  // 0: every one
  std::uint64_t seed = 0;
};
// Told before it happens: what exactly.
using Told = std::function<void(const OpRun& run, std::string_view what)>;

// Flips `bits` bits of one result of each op; a single one may be given: number `bit` of an element.
[[nodiscard]] Lie flip_results(Target target, int bits, int bit, Told told);
// Puts back what was there before the op.
[[nodiscard]] Lie drop_results(Target target, Told told);

// A device that is wrong in one way, at every op that fits: what qualification must find. By itself, an element a part in a hundred
// thousand off, wherever and whenever.
struct Deceit {
  enum class What : std::uint8_t {
    off,    // every number is multiplied by 1 + off
    stale,  // the results of the call before
    noise,  // the lowest bit of one number, another one each time
    crash,  // SIGSEGV
    hang,   // the op never ends
  };
  What what = What::off;
  double off = 1e-5;
  // Which results:
  std::string op = {};     // of ops of this name; "": of all
  std::string shape = {};  // of ops that have a result of this shape, "8x64"
  std::string dtype = {};  // "bf16": of ops that read any, "f32": of ops that read anything else
  std::int64_t tail = 0;   // of each row, only what lies beyond the last multiple of this
  // And when:
  double after_s = 0;        // once runs have taken so much time in all
  std::int32_t streams = 1;  // while at least so many runs are under way
  std::int64_t call = 1;     // from this call of the op on
  double rate = 1;           // in this part of the calls
};

// "op=linear shape=8x64 off=1e-5 after=60": words of a Deceit in any order. An input error names the word.
[[nodiscard]] Result<Deceit> parse_deceit(std::string_view text);
[[nodiscard]] Lie deceive(Deceit deceit);

}  // namespace godwit::device
