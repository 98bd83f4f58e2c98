#include "infer/schedule.h"

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>
#include <set>

namespace godwit::infer {

namespace {

constexpr std::int64_t least_share = 16;

}  // namespace

std::size_t next_waiting(std::span<const std::uint64_t> waiting, std::span<const std::uint64_t> running) {
  std::map<std::uint64_t, std::int64_t> streams;
  for (const std::uint64_t owner : running) ++streams[owner];
  const auto fewer = [&](std::uint64_t a, std::uint64_t b) { return streams[a] < streams[b]; };
  return static_cast<std::size_t>(std::min_element(waiting.begin(), waiting.end(), fewer) - waiting.begin());
}

std::vector<std::int64_t> schedule(std::span<const Pending> streams, std::int64_t budget) {
  std::vector<std::int64_t> rows(streams.size(), 0);
  std::set<std::uint64_t> owners;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (streams[i].rows == 1) {
      rows[i] = 1 + streams[i].guesses;
    } else if (streams[i].rows > 1) {
      owners.insert(streams[i].owner);
    }
  }
  if (owners.empty()) return rows;
  const std::int64_t answers = std::accumulate(rows.begin(), rows.end(), std::int64_t{0});

  std::vector<std::size_t> order;  // of giving; what is taken back again is taken from its end
  std::int64_t left = budget;
  const auto give = [&](std::size_t i, std::int64_t most) {
    const std::int64_t now = std::min({most, left, streams[i].rows - rows[i]});
    if (now <= 0) return;
    rows[i] += now;
    left -= now;
    order.push_back(i);
  };
  const std::int64_t share = std::max(least_share, budget / static_cast<std::int64_t>(owners.size()));
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (streams[i].rows > 1 && owners.erase(streams[i].owner) > 0) give(i, share);
  }
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (streams[i].rows > 1) give(i, left);
  }

  const std::int64_t total = answers + budget - left;
  const auto whole = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(total)));
  std::int64_t beyond = total - whole;
  if (beyond * 4 > whole || beyond >= budget - left) return rows;
  for (; beyond > 0; order.pop_back()) {
    const std::int64_t now = std::min(beyond, rows[order.back()]);
    rows[order.back()] -= now;
    beyond -= now;
  }
  return rows;
}

}  // namespace godwit::infer
