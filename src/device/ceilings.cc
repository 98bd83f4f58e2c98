#include "device/ceilings.h"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/clock.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace godwit::device {

namespace {

constexpr int repeats = 10;
constexpr int repeats_max = 40;             // where other processes keep taking the cores away
constexpr double undisturbed_share = 0.97;  // of the time, every thread had its core
constexpr double repeat_seconds = 0.12;
// Far beyond the last cache of a core's neighbourhood (32 MiB here), and a small part of any machine's memory.
constexpr std::size_t read_bytes_total = std::size_t{512} << 20;
constexpr std::size_t read_chunk = std::size_t{1} << 20;
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr long rounds = 4096;  // of multiply-adds between two looks at the clock

// A kernel does a fixed piece of work and returns something that depends on all of it, so that none can be left out.
struct Arithmetic {
  float (*run)();
  double flops;  // of one run
};
using Read = std::uint64_t (*)(const std::byte* data, std::size_t bytes);

std::atomic<std::uint64_t> results = 0;

// ---- Kernels: enough independent accumulators to hide the latency of every unit there is ----

// Plain C++: what a compiler makes of it for the least machine of its kind.
float multiply_add_portable() {
  constexpr int lanes = 32;
  float sums[lanes] = {};
  for (long round = 0; round < rounds; ++round) {
    for (float& sum : sums) sum = sum * 0.999f + 0.5f;
  }
  return sums[0] + sums[lanes - 1];
}
constexpr Arithmetic portable{multiply_add_portable, 2.0 * 32 * rounds};

std::uint64_t read_portable(const std::byte* data, std::size_t bytes) {
  std::uint64_t sums[8] = {};
  for (std::size_t at = 0; at < bytes; at += sizeof sums) {
    std::uint64_t words[8];
    std::memcpy(words, data + at, sizeof words);
    for (int i = 0; i < 8; ++i) sums[i] ^= words[i];
  }
  return sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
}

#if defined(__x86_64__)

__attribute__((target("avx2,fma"))) float multiply_add_avx2() {
  __m256 sums[12];
  for (__m256& sum : sums) sum = _mm256_setzero_ps();
  const __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.5f);
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, factor, term);
  }
  for (const __m256& sum : sums) sums[0] = _mm256_add_ps(sums[0], sum);
  return _mm256_cvtss_f32(sums[0]);
}
constexpr Arithmetic avx2{multiply_add_avx2, 2.0 * 8 * 12 * rounds};

__attribute__((target("avx512f"))) float multiply_add_avx512() {
  __m512 sums[16];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  const __m512 factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.5f);
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(sum, factor, term);
  }
  for (const __m512& sum : sums) sums[0] = _mm512_add_ps(sums[0], sum);
  return _mm512_cvtss_f32(sums[0]);
}
constexpr Arithmetic avx512{multiply_add_avx512, 2.0 * 16 * 16 * rounds};

__attribute__((target("avx512f,avx512bf16"))) float dot_bf16() {
  __m512 sums[16];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  const __m512bh half = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.5f));
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, half, half);
  }
  for (const __m512& sum : sums) sums[0] = _mm512_add_ps(sums[0], sum);
  return _mm512_cvtss_f32(sums[0]);
}
constexpr Arithmetic avx512_bf16{dot_bf16, 2.0 * 32 * 16 * rounds};

__attribute__((target("avx2"))) std::uint64_t read_avx2(const std::byte* data, std::size_t bytes) {
  __m256i sums[8];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (std::size_t at = 0; at < bytes; at += sizeof sums) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) {
      sums[i] = _mm256_xor_si256(sums[i], _mm256_load_si256(reinterpret_cast<const __m256i*>(data + at) + i));
    }
  }
  for (const __m256i& sum : sums) sums[0] = _mm256_or_si256(sums[0], sum);
  return static_cast<std::uint64_t>(_mm256_extract_epi64(sums[0], 0));
}

__attribute__((target("avx512f"))) std::uint64_t read_avx512(const std::byte* data, std::size_t bytes) {
  __m512i sums[8];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (std::size_t at = 0; at < bytes; at += sizeof sums) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) sums[i] = _mm512_xor_si512(sums[i], _mm512_load_si512(data + at + i * sizeof(__m512i)));
  }
  for (const __m512i& sum : sums) sums[0] = _mm512_or_si512(sums[0], sum);
  alignas(64) std::uint64_t words[8];
  _mm512_store_si512(words, sums[0]);
  return words[0];
}

#endif

// ---- Choosing ----

Arithmetic best_f32() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2;
#endif
  return portable;
}

std::optional<Arithmetic> best_bf16() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) return avx512_bf16;
#endif
  return std::nullopt;
}

Read best_read() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return read_avx512;
  if (__builtin_cpu_supports("avx2")) return read_avx2;
#endif
  return read_portable;
}

// ---- Measuring ----

double thread_seconds() {
  timespec time;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Every thread repeats `work(thread)` for a while, all of them at once; the sum of what each did per second of `clock`, the best of several
// times.
double best_rate(int threads, double (*clock)(), const std::function<double(int)>& work) {
  double best = 0;
  for (int repeat = 0, undisturbed = 0; repeat < repeats_max && undisturbed < repeats; ++repeat) {
    std::barrier start(threads);
    std::atomic<bool> disturbed = false;
    std::vector<double> rates(static_cast<std::size_t>(threads));
    {
      std::vector<std::jthread> running;
      for (int thread = 0; thread < threads; ++thread) {
        running.emplace_back([&, thread] {
          start.arrive_and_wait();
          const double core_begin = thread_seconds(), wall_begin = monotonic_seconds(), begin = clock();
          double done = 0;
          while (monotonic_seconds() < wall_begin + repeat_seconds) done += work(thread);
          rates[static_cast<std::size_t>(thread)] = done / (clock() - begin);
          if (thread_seconds() - core_begin < undisturbed_share * (monotonic_seconds() - wall_begin)) disturbed = true;
        });
      }
    }
    double rate = 0;
    for (const double each : rates) rate += each;
    best = std::max(best, rate);
    if (!disturbed) ++undisturbed;
  }
  return best;
}

double measure(const Arithmetic& arithmetic, int threads) {
  // By the time a thread had a core: another process that takes one away now and then does not make the cores slower.
  return best_rate(threads, thread_seconds, [&](int) {
    results += static_cast<std::uint64_t>(arithmetic.run());
    return arithmetic.flops;
  });
}

double measure_read(int threads) {
  const Read read = best_read();
  const std::size_t share = read_bytes_total / static_cast<std::size_t>(threads) / read_chunk * read_chunk;
  CHECK(share > 0, "{} threads are more than the buffer has pieces", threads);
  std::vector<std::unique_ptr<std::byte, decltype(&std::free)>> slices;
  for (int thread = 0; thread < threads; ++thread) {
    slices.emplace_back(static_cast<std::byte*>(std::aligned_alloc(huge_page, (share + huge_page - 1) / huge_page * huge_page)),
                        &std::free);
    ::madvise(slices.back().get(), share, MADV_HUGEPAGE);  // advice: without it the figure is a little lower
    std::memset(slices.back().get(), 1, share);
  }
  std::vector<std::size_t> places(slices.size(), 0);
  // By the clock on the wall: threads that take turns would each have the whole memory to themselves.
  return best_rate(threads, monotonic_seconds, [&](int thread) {
    const auto index = static_cast<std::size_t>(thread);
    results += read(slices[index].get() + places[index], read_chunk);
    places[index] = (places[index] + read_chunk) % share;
    return static_cast<double>(read_chunk);
  });
}

}  // namespace

Ceilings measure_ceilings(int threads) {
  Ceilings ceilings;
  ceilings.threads = threads;
  ceilings.f32_flops = measure(best_f32(), threads);
  if (const auto bf16 = best_bf16()) ceilings.bf16_flops = measure(*bf16, threads);
  ceilings.read_bytes = measure_read(threads);
  return ceilings;
}

}  // namespace godwit::device
