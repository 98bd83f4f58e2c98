// One pool of threads for the whole device: short spin, then sleep. The caller is one of its threads, and waits for work that others have
// taken, never for others to come: where the machine is busy they may not.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace godwit::cpu {

class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  [[nodiscard]] int threads() const { return threads_; }

  // Calls body(index, thread) once for every index in [0, count), spread over the pool; returns when all are done. `thread` is in
  // [0, threads()), for per-thread scratch. Which thread takes which index may vary from run to run: results must not depend on it.
  // Not re-entrant; one caller at a time. body must not throw.
  template <typename Body>
  void each(std::int64_t count, const Body& body) {
    run(
        count, [](const void* context, std::int64_t index, int thread) { (*static_cast<const Body*>(context))(index, thread); }, &body);
  }
  // body(begin, end, thread) over [0, count) in ranges of at least `grain` indices.
  template <typename Body>
  void ranges(std::int64_t count, std::int64_t grain, const Body& body) {
    if (count <= 0) return;
    if (grain < 1) grain = 1;
    std::int64_t pieces = (count + grain - 1) / grain;
    const std::int64_t most = std::int64_t{4} * threads_;
    if (pieces > most) pieces = most;
    if (threads_ == 1) pieces = 1;
    each(pieces, [&](std::int64_t piece, int thread) { body(count * piece / pieces, count * (piece + 1) / pieces, thread); });
  }

 private:
  using Function = void (*)(const void* context, std::int64_t index, int thread);
  void run(std::int64_t count, Function function, const void* context);
  void work(int thread);
  // Does what is left of the work, index by index.
  void take(int thread);

  int threads_;
  std::vector<std::thread> workers_;
  std::atomic<std::uint64_t> generation_{0};
  // count << 32 | the next index: whoever takes an index knows by the same word that it is one of the work at hand, however late he comes.
  std::atomic<std::uint64_t> next_{0};
  std::atomic<std::int64_t> done_{0};
  std::atomic<bool> stop_{false};
  Function function_ = nullptr;  // these two are read by who has taken an index, and written when all are done
  const void* context_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int> sleepers_{0};
};

}  // namespace godwit::cpu
