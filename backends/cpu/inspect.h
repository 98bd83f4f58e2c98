// Watching over results: what a checked run leaves behind (findings), the vectors it is checked with, and the spoiling of results on
// purpose. docs/inline-checks.md says what is checked and how surely.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "godwit/backend.h"

namespace godwit::cpu {

// Philox4x32-10, as src/base/random.h has it: any number can be asked for alone.
using Words = std::array<std::uint32_t, 4>;
[[nodiscard]] Words philox(Words counter, std::uint64_t key);

// What a vector is drawn for: with the secret key it says which numbers come.
struct Draw {
  std::array<std::uint64_t, 2> key{};
  std::uint64_t purpose = 0;
};
// Numbers of random sign and of a magnitude in [1, 2): whatever errors a row has, only a chance of the draw can make them cancel, and a
// single one cannot hide at all.
void draw_vector(const Draw& draw, std::int64_t count, float* to);

// Findings of a device, from any thread. Bounded: a device that errs everywhere must not fill the host's memory.
class Findings {
 public:
  void add(const godwit_finding& finding);
  // The first `capacity`, and how many there were since the last call.
  std::int64_t take(godwit_finding* to, std::int32_t capacity);

 private:
  static constexpr std::size_t most = 4096;
  std::mutex mutex_;
  std::vector<godwit_finding> kept_;
  std::int64_t count_ = 0;
};

// Random numbers of one strike.
class Chance {
 public:
  explicit Chance(std::uint64_t key = 0, std::uint64_t stream = 0) : key_(key), stream_(stream) {}
  [[nodiscard]] std::uint64_t u64();
  [[nodiscard]] std::int64_t below(std::int64_t count) { return static_cast<std::int64_t>(u64() % static_cast<std::uint64_t>(count)); }
  [[nodiscard]] double real() { return static_cast<double>(u64() >> 11) * 0x1p-53; }

 private:
  std::uint64_t key_;
  std::uint64_t stream_;
  std::uint32_t next_ = 0;
};

class Spoiler;

// One op's results are to be spoilt, once: how. Where is up to its kernel, by `chance`.
struct Strike {
  godwit_spoil_kind kind{};
  std::int32_t bit = -1;
  Chance chance;
  Spoiler* spoiler = nullptr;
  std::int32_t op = 0;
  mutable std::atomic<bool> done{false};

  void tell(std::int64_t row, std::int64_t column, double before, double after, double row_rms) const;
};

class Spoiler {
 public:
  Spoiler(const godwit_spoil& spoil, void (*told)(void*, const godwit_spoilt*), void* context);
  // Whether this run of the op is to be spoilt; then `strike` says how. `products`: the op sums products.
  [[nodiscard]] bool strikes(const char* op, bool products, std::int32_t index, std::int64_t rows, Strike& strike);

 private:
  friend struct Strike;
  godwit_spoil spoil_;
  std::string op_;
  void (*told_)(void*, const godwit_spoilt*);
  void* context_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::uint64_t draws_ = 0;
  std::atomic<std::int64_t> struck_{0};
};

// What goes with one run of one op: whether it is checked, with which key, and whether it is spoilt.
struct Inspection {
  bool verify = false;
  std::array<std::uint64_t, 2> key{};
  std::uint64_t run = 0;  // a number of its own for each run of an op: no vector is used twice
  Findings* findings = nullptr;
  const Strike* strike = nullptr;
  const godwit_prepared* program = nullptr;
  std::int32_t op = 0;
  const std::int32_t* tensors = nullptr;          // of the outputs
  mutable std::atomic<std::uint32_t> checked{0};  // bit k: output k was

  void doubt(int output, std::int64_t row, double difference, double bound) const;
  void count(int output) const { checked.fetch_or(1u << output, std::memory_order_relaxed); }
  [[nodiscard]] Draw draw(std::uint64_t purpose) const { return {key, run << 8 | purpose}; }
};

// A tile of sums in memory as a strike changes it. `before`: the tile's columns side by side, as `stride` rows of it lie.
struct Tile {
  float* sums = nullptr;
  std::int64_t stride = 0;
  int rows = 0;
  int columns = 0;
};

// Spoils the sum at (row, column) of the tile, or more of it, as the strike's kind says. `stale`: the sums of the tile before, `missing`:
// what was there before the tile was written, `other`: the product with another group's weight, each tile.rows × tile.columns; null where
// there is none. False: the kind cannot be done here.
[[nodiscard]] bool spoil_tile(const Tile& tile, const Strike& strike, int row, int column, const float* stale, const float* missing,
                              const float* other);

// Tells what became of a tile's sums `before` (its columns side by side), if anything did: of the sum that changed most for its row.
// rms(row) is of the whole row of the result.
template <typename Rms>
void tell_strike(const Strike& strike, const Tile& tile, const std::vector<float>& before, std::int64_t row, std::int64_t column,
                 const Rms& rms) {
  double most = -1;
  std::int64_t worst = 0;
  double worst_rms = 0;
  for (int i = 0; i < tile.rows; ++i) {
    double size = -1;
    for (int j = 0; j < tile.columns; ++j) {
      const float was = before[static_cast<std::size_t>(i * tile.columns + j)];
      const float is = tile.sums[i * tile.stride + j];
      if (std::memcmp(&was, &is, sizeof was) == 0) continue;
      if (size < 0) size = rms(row + i);
      double change = std::fabs(static_cast<double>(is) - static_cast<double>(was)) / size;
      if (!(change < std::numeric_limits<double>::max())) change = std::numeric_limits<double>::max();
      if (change <= most) continue;
      most = change;
      worst = i * tile.columns + j;
      worst_rms = size;
    }
  }
  if (most < 0) return;
  const std::int64_t i = worst / tile.columns;
  const std::int64_t j = worst % tile.columns;
  strike.tell(row + i, column + j, static_cast<double>(before[static_cast<std::size_t>(worst)]),
              static_cast<double>(tile.sums[i * tile.stride + j]), worst_rms);
}

}  // namespace godwit::cpu
