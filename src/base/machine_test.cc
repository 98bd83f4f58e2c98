// What could go wrong: a container's limit is missed, so that a run plans with the whole machine's memory and is killed.
#include "base/machine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "base/check.h"

namespace godwit {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

class MachineTest : public testing::Test {
 protected:
  MachineTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "godwit_machine_XXXXXX").string();
    CHECK(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
    root_ = pattern;
    put("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\n");
  }
  ~MachineTest() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::filesystem::path root_;
};

TEST_F(MachineTest, WithoutLimits) {
  put("proc/self/cgroup", "0::/\n");
  put("sys/fs/cgroup/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/memory.max", "max\n");
  const Machine found = read_machine(root_, 6);
  EXPECT_EQ(found.cores, 6);
  EXPECT_EQ(found.memory_bytes, 16 * gib);
  EXPECT_EQ(found.memory_available, 8 * gib);
}

TEST_F(MachineTest, Version2TakesTheTightestOnTheWayUp) {
  put("proc/self/cgroup", "0::/a/b\n");
  put("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  put("sys/fs/cgroup/a/memory.max", "4294967296\n");
  put("sys/fs/cgroup/a/memory.current", "3221225472\n");
  put("sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 1073741824\n");
  put("sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
  put("sys/fs/cgroup/a/b/memory.max", "max\n");
  const Machine found = read_machine(root_, 16);
  EXPECT_EQ(found.cores, 2);
  EXPECT_EQ(found.memory_bytes, 4 * gib);
  EXPECT_EQ(found.memory_available, 2 * gib);
}

TEST_F(MachineTest, Version1) {
  put("proc/self/cgroup", "9:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n");
  put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");  // the container sees its own group as the mount
  put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n");
  const Machine found = read_machine(root_, 16);
  EXPECT_EQ(found.cores, 1);
  EXPECT_EQ(found.memory_bytes, 2 * gib);
  EXPECT_EQ(found.memory_available, gib);
}

TEST_F(MachineTest, Version1Unlimited) {
  put("proc/self/cgroup", "9:memory:/\n4:cpu,cpuacct:/\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  const Machine found = read_machine(root_, 3);
  EXPECT_EQ(found.cores, 3);
  EXPECT_EQ(found.memory_bytes, 16 * gib);
}

TEST(MachineHere, IsPlausible) {
  const Machine found = machine();
  EXPECT_GE(found.cores, 1);
  EXPECT_GT(found.memory_bytes, 64u << 20);
  EXPECT_LE(found.memory_available, found.memory_bytes);
  const std::uint64_t before = peak_resident_bytes();
  const std::vector<char> touched(50'000'000, 'x');
  EXPECT_EQ(touched[49'999'999], 'x');
  EXPECT_GE(peak_resident_bytes(), before);
  EXPECT_GE(peak_resident_bytes(), 50'000'000u);
}

}  // namespace
}  // namespace godwit
