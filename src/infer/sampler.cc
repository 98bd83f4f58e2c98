#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/math.h"
#include "base/random.h"

namespace godwit::infer {

namespace {

struct Candidate {
  std::int32_t id;
  float p;
};

float largest(std::span<const float> values) {
  constexpr std::size_t chains = 8;  // each waits for itself alone
  float most[chains];
  std::fill_n(most, chains, values[0]);
  std::size_t i = 0;
  for (; i + chains <= values.size(); i += chains) {
    for (std::size_t k = 0; k < chains; ++k) most[k] = std::max(most[k], values[i + k]);
  }
  for (; i < values.size(); ++i) most[0] = std::max(most[0], values[i]);
  return *std::max_element(most, most + chains);
}

// p of every id.
std::vector<float> probabilities(std::span<const float> logits, float temperature) {
  const float most = largest(logits);
  std::vector<float> p(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) p[i] = logits[i] - most;
  if (temperature != 1) {
    for (float& each : p) each /= temperature;
  }
  math::exp_each(p);
  return p;
}

std::vector<Candidate> candidates(std::span<const float> p) {
  std::vector<Candidate> list(p.size());
  for (std::size_t i = 0; i < p.size(); ++i) list[i] = {static_cast<std::int32_t>(i), p[i]};
  return list;
}

// The first whose running sum exceeds u · total.
template <typename List, typename P>
std::size_t draw_from(const List& list, double u, const P& p_of) {
  std::vector<double> running;
  running.reserve(list.size());
  double total = 0;
  for (const auto& each : list) running.push_back(total += static_cast<double>(p_of(each)));
  const auto chosen = std::upper_bound(running.begin(), running.end(), u * total);
  CHECK(chosen != running.end(), "u = {} is not below 1, or no logit is finite", u);
  return static_cast<std::size_t>(chosen - running.begin());
}

double sum(const std::vector<Candidate>& list) {
  double total = 0;
  for (const Candidate& c : list) total += static_cast<double>(c.p);
  return total;
}

bool cuts(const Sampling& sampling) {
  return sampling.top_k > 0 || sampling.top_p < 1 || sampling.min_p > 0;
}

// Leaves what the three cuts keep, by ascending id again.
void cut(std::vector<Candidate>& list, const Sampling& sampling) {
  const auto by_probability = [](const Candidate& a, const Candidate& b) { return a.p > b.p || (a.p == b.p && a.id < b.id); };
  const auto by_id = [](const Candidate& a, const Candidate& b) { return a.id < b.id; };
  if (sampling.top_k > 0 && sampling.top_k < static_cast<std::int64_t>(list.size())) {
    std::nth_element(list.begin(), list.begin() + sampling.top_k, list.end(), by_probability);
    list.resize(static_cast<std::size_t>(sampling.top_k));
    std::sort(list.begin(), list.end(), by_id);
  }
  if (sampling.top_p < 1) {
    const double enough = sampling.top_p * sum(list);
    std::sort(list.begin(), list.end(), by_probability);
    double running = 0;
    std::size_t kept = 0;
    while (kept < list.size()) {
      running += static_cast<double>(list[kept++].p);
      if (running >= enough) break;
    }
    list.resize(kept);
    std::sort(list.begin(), list.end(), by_id);
  }
  if (sampling.min_p > 0) {
    const auto least = static_cast<float>(sampling.min_p);
    std::erase_if(list, [&](const Candidate& c) { return c.p < least; });
  }
}

}  // namespace

Result<void> check(const Sampling& sampling) {
  // Below binary32's normal numbers a temperature would round to another one or to none.
  constexpr double coldest = 0x1p-126;
  constexpr double hottest = 1e6;
  const double t = sampling.temperature;
  if (!(t == 0 || (t >= coldest && t <= hottest))) {
    return input_error("temperature is {}; it must be 0 (greedy) or lie in {:.3g} … {:.0f}", t, coldest, hottest);
  }
  if (sampling.top_k < 0) return input_error("top_k is {}; it must be 0 (all) or more", sampling.top_k);
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) return input_error("top_p is {}; it must be above 0 and at most 1", sampling.top_p);
  if (!(sampling.min_p >= 0 && sampling.min_p <= 1)) return input_error("min_p is {}; it must lie in 0 … 1", sampling.min_p);
  return {};
}

std::int32_t choose(std::span<const float> logits, const Sampling& sampling, double u) {
  if (sampling.temperature == 0) return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  const std::vector<float> p = probabilities(logits, static_cast<float>(sampling.temperature));
  if (!cuts(sampling)) return static_cast<std::int32_t>(draw_from(p, u, [](float each) { return each; }));
  std::vector<Candidate> list = candidates(p);
  cut(list, sampling);
  return list[draw_from(list, u, [](const Candidate& each) { return each.p; })].id;
}

double draw(std::uint64_t seed, std::uint64_t sample, std::uint64_t position) {
  return RandomStream(seed, Purpose::sample, sample).f64(position);
}

}  // namespace godwit::infer
