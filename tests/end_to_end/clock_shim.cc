// For clock_test.py: the wall clock of every process that this library is loaded into jumps, an hour ahead and an hour back, whenever one
// of them looks. Other clocks are as they are. How often they looked is counted in the file GODWIT_CLOCK_COUNT: an integer of 64 bits.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace {

std::atomic<std::uint64_t>& looks() {
  static std::atomic<std::uint64_t>* const shared = [] {
    const char* path = std::getenv("GODWIT_CLOCK_COUNT");
    const int file = path == nullptr ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void* memory = file < 0 ? MAP_FAILED : mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) std::abort();  // a test that counts nothing would show nothing
    close(file);
    return static_cast<std::atomic<std::uint64_t>*>(memory);
  }();
  return *shared;
}

// Before a sandbox forbids to open it.
__attribute__((constructor)) void begin() {
  looks();
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const auto done = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  const bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
  // Ahead or back by no rule that two looks in a row could share.
  if (done == 0 && wall) now->tv_sec += looks().fetch_add(1) * 0x9E3779B97F4A7C15u >> 63 != 0 ? 3600 : -3600;
  return done;
}

time_t time(time_t* result) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != nullptr) *result = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(timeval* result, void*) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  *result = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}
}
