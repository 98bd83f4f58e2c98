#include "inspect.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>
#include <utility>

namespace godwit::cpu {

Words philox(Words counter, std::uint64_t key) {
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ k0, static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ k1, static_cast<std::uint32_t>(product0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return counter;
}

void draw_vector(const Draw& draw, std::int64_t count, float* to) {
  // Half of the key is Philox's, the other half and the purpose are hashed into the counter's upper words.
  const std::uint64_t stream = draw.purpose * 0x9E3779B97F4A7C15u ^ draw.key[1];
  for (std::int64_t i = 0; i < count; i += 4) {
    const Words words = philox(
        {static_cast<std::uint32_t>(i / 4), 0, static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)}, draw.key[0]);
    for (std::int64_t j = i; j < std::min(i + 4, count); ++j) {
      const std::uint32_t word = words[static_cast<std::size_t>(j - i)];
      to[j] = std::bit_cast<float>((word & 0x80000000u) | 0x3F800000u | (word & 0x007FFFFFu));
    }
  }
}

void Findings::add(const godwit_finding& finding) {
  const std::lock_guard lock(mutex_);
  ++count_;
  if (kept_.size() < most) kept_.push_back(finding);
}

std::int64_t Findings::take(godwit_finding* to, std::int32_t capacity) {
  const std::lock_guard lock(mutex_);
  // In an order that does not depend on threads.
  std::ranges::sort(kept_, [](const godwit_finding& a, const godwit_finding& b) {
    return std::tie(a.op, a.tensor, a.row) < std::tie(b.op, b.tensor, b.row);
  });
  const std::size_t given = std::min(kept_.size(), static_cast<std::size_t>(std::max(capacity, 0)));
  std::copy_n(kept_.begin(), given, to);
  kept_.clear();
  return std::exchange(count_, 0);
}

void Inspection::doubt(int output, std::int64_t row, double difference, double bound) const {
  findings->add({sizeof(godwit_finding), op, tensors[output], row, difference, bound, program});
}

std::uint64_t Chance::u64() {
  const Words words = philox({next_++, 0x5701, static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32)}, key_);
  return std::uint64_t{words[0]} | std::uint64_t{words[1]} << 32;
}

Spoiler::Spoiler(const godwit_spoil& spoil, void (*told)(void*, const godwit_spoilt*), void* context)
    : spoil_(spoil), op_(spoil.op == nullptr ? "" : spoil.op), told_(told), context_(context) {
  spoil_.op = nullptr;
}

bool Spoiler::strikes(const char* op, bool products, std::int32_t index, std::int64_t rows, Strike& strike) {
  if (op_.empty() ? !products : op_ != op) return false;
  if (spoil_.op_index >= 0 && spoil_.op_index != index) return false;
  if (spoil_.rows > 0 && spoil_.rows != rows) return false;
  if (spoil_.count > 0 && struck_.load() >= spoil_.count) return false;
  if (spoil_.after_seconds > 0 && std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count() < spoil_.after_seconds)
    return false;
  strike.kind = spoil_.kind;
  strike.bit = spoil_.bit;
  strike.chance = Chance(spoil_.seed, draws_++);
  strike.spoiler = this;
  strike.op = index;
  strike.done.store(false);
  return strike.chance.real() < spoil_.rate;
}

void Strike::tell(std::int64_t row, std::int64_t column, double before, double after, double row_rms) const {
  done.store(true);
  spoiler->struck_.fetch_add(1);
  const godwit_spoilt spoilt{op, row, column, before, after, row_rms};
  if (spoiler->told_ != nullptr) spoiler->told_(spoiler->context_, &spoilt);
}

bool spoil_tile(const Tile& tile, const Strike& strike, int row, int column, const float* stale, const float* missing, const float* other) {
  Chance chance = strike.chance;
  for (int i = 0; i < 16; ++i) (void)chance.u64();  // behind what chose the place
  const auto at = [&](int i, int j) -> float& { return tile.sums[i * tile.stride + j]; };
  const auto flip = [&](float& sum, std::uint32_t mask) { sum = std::bit_cast<float>(std::bit_cast<std::uint32_t>(sum) ^ mask); };
  const auto random_mask = [&](int bits) {
    std::uint32_t mask = 0;
    while (std::popcount(mask) < bits) mask |= 1u << chance.below(32);
    return mask;
  };
  const auto all = [&](const float* from) {
    if (from == nullptr) return false;
    for (int i = 0; i < tile.rows; ++i) std::copy_n(from + i * tile.columns, tile.columns, &at(i, 0));
    return true;
  };
  switch (strike.kind) {
    case GODWIT_SPOIL_BIT:
      flip(at(row, column), 1u << (strike.bit >= 0 ? strike.bit : static_cast<int>(chance.below(32))));
      return true;
    case GODWIT_SPOIL_BITS:
      flip(at(row, column), random_mask(2 + static_cast<int>(chance.below(15))));
      return true;
    case GODWIT_SPOIL_LANE: {  // the same bits in every row, as a broken lane of a register file gives
      const std::uint32_t mask = random_mask(1 + static_cast<int>(chance.below(8)));
      for (int i = 0; i < tile.rows; ++i) flip(at(i, column), mask);
      return true;
    }
    case GODWIT_SPOIL_STRIPE: {
      const std::uint32_t mask = random_mask(1 + static_cast<int>(chance.below(8)));
      for (int i = 0; i < tile.rows; ++i) {
        for (int j = column % 4; j < tile.columns; j += 4) flip(at(i, j), mask);
      }
      return true;
    }
    case GODWIT_SPOIL_STALE:
      return all(stale);
    case GODWIT_SPOIL_SWAP: {
      if (tile.rows < 2) return false;
      const int partner = (row + 1 + static_cast<int>(chance.below(tile.rows - 1))) % tile.rows;
      for (int j = 0; j < tile.columns; ++j) std::swap(at(row, j), at(partner, j));
      return true;
    }
    case GODWIT_SPOIL_ZERO:
      for (int i = 0; i < tile.rows; ++i) std::fill_n(&at(i, 0), tile.columns, 0.0f);
      return true;
    case GODWIT_SPOIL_EXPERT:
      return all(other);
    case GODWIT_SPOIL_MISSING:
      return all(missing);
  }
  return false;
}

}  // namespace godwit::cpu
