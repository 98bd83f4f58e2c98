#include "instruction_set.h"

#include <fstream>

namespace godwit::cpu {

// The tables are constant-initialised by the kernels' own files.
namespace scalar {
extern const std::span<const Kernel* const> kernels;
extern std::uint64_t sum_of_bytes(const std::byte* data, std::int64_t bytes);
}
#if defined(GODWIT_HAS_avx2)
namespace avx2 {
extern const std::span<const Kernel* const> kernels;
extern std::uint64_t sum_of_bytes(const std::byte* data, std::int64_t bytes);
}
#endif
#if defined(GODWIT_HAS_avx512)
namespace avx512 {
extern const std::span<const Kernel* const> kernels;
extern std::uint64_t sum_of_bytes(const std::byte* data, std::int64_t bytes);
}
#endif
#if defined(GODWIT_HAS_avx512_bf16)
namespace avx512_bf16 {
extern const std::span<const Kernel* const> kernels;
extern std::uint64_t sum_of_bytes(const std::byte* data, std::int64_t bytes);
}
#endif

std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets = {{"scalar", true, scalar::kernels, scalar::sum_of_bytes}};
#if defined(__x86_64__)
  __builtin_cpu_init();
  [[maybe_unused]] const bool avx2_present =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  [[maybe_unused]] const bool avx512_present = avx2_present && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
#if defined(GODWIT_HAS_avx2)
  sets.push_back({"avx2", avx2_present, avx2::kernels, avx2::sum_of_bytes});
#endif
#if defined(GODWIT_HAS_avx512)
  sets.push_back({"avx512", avx512_present, avx512::kernels, avx512::sum_of_bytes});
#endif
#if defined(GODWIT_HAS_avx512_bf16)
  sets.push_back({"avx512_bf16", avx512_present && __builtin_cpu_supports("avx512bf16"), avx512_bf16::kernels, avx512_bf16::sum_of_bytes});
#endif
  return sets;
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("model name")) {
      const std::size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "CPU";
}

}  // namespace godwit::cpu
