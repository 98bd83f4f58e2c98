#include "pool.h"

#include "float_mode.h"

namespace godwit::cpu {

namespace {

// About 20 µs of polite spinning before a worker sleeps: ops follow one another within a few µs, steps do not.
constexpr int spins_before_sleep = 2000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

Pool::Pool(int threads) : threads_(threads < 1 ? 1 : threads) {
  for (int i = 1; i < threads_; ++i) workers_.emplace_back([this, i] { work(i); });
}

Pool::~Pool() {
  stop_.store(true);
  {
    std::lock_guard lock(mutex_);
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::take(int thread) {
  constexpr std::uint64_t low = 0xFFFFFFFFu;
  std::uint64_t next = next_.load(std::memory_order_acquire);
  while ((next & low) < next >> 32) {
    if (!next_.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    function_(context_, static_cast<std::int64_t>(next & low), thread);
    done_.fetch_add(1, std::memory_order_release);
    next = next_.load(std::memory_order_acquire);
  }
}

void Pool::run(std::int64_t count, Function function, const void* context) {
  if (count <= 0) return;
  // More than a word of indices would be work of minutes: not one that a pool spreads better than its caller.
  if (threads_ == 1 || count == 1 || count > std::int64_t{0xFFFFFFFF}) {
    for (std::int64_t index = 0; index < count; ++index) function(context, index, 0);
    return;
  }
  function_ = function;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  next_.store(static_cast<std::uint64_t>(count) << 32, std::memory_order_release);  // publishes the fields above
  generation_.fetch_add(1);
  if (sleepers_.load() > 0) {
    { std::lock_guard lock(mutex_); }  // a worker between its last look and its sleep holds the mutex
    wake_.notify_all();
  }
  take(0);
  int spins = 0;
  while (done_.load(std::memory_order_acquire) != count) {
    if (++spins < spins_before_sleep) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
}

void Pool::work(int thread) {
  set_ieee_mode();
  std::uint64_t seen = 0;
  while (true) {
    int spins = 0;
    while (generation_.load(std::memory_order_acquire) == seen && spins < spins_before_sleep) {
      ++spins;
      relax();
    }
    if (generation_.load() == seen) {
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, [&] { return generation_.load() != seen; });
      sleepers_.fetch_sub(1);
    }
    seen = generation_.load();
    if (stop_.load()) return;
    take(thread);
  }
}

}  // namespace godwit::cpu
