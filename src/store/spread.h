// Work over many independent pieces, spread over a few threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace godwit::store {

// Calls work(0) … work(count - 1), each once, from up to `threads` threads, the calling one among them; returns when all are done.
template <typename Work>
void spread(std::size_t count, int threads, const Work& work) {
  std::atomic<std::size_t> next = 0;
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  const std::size_t helpers = std::min(count, static_cast<std::size_t>(std::max(1, threads))) - (count > 0 ? 1 : 0);
  std::vector<std::jthread> others;
  for (std::size_t i = 0; i < helpers; ++i) others.emplace_back(run);
  run();
}

}  // namespace godwit::store
