#include "base/machine.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/file.h"

namespace godwit {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

std::optional<std::string> text_of(const fs::path& path) {
  auto content = read_file(path, 1 << 20);
  if (!content.ok()) return std::nullopt;
  return std::move(content).value();
}

// The first number in the text; nothing for "max" or -1, which mean no limit.
std::optional<std::uint64_t> number_in(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::uint64_t number = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> number_of(const fs::path& path) {
  const auto text = text_of(path);
  return text ? number_in(*text) : std::nullopt;
}

// The number after `key` at the start of a line, as in /proc/meminfo and memory.stat.
std::optional<std::uint64_t> field(const std::string& text, std::string_view key) {
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line(text.data() + start, end - start);
    if (line.starts_with(key)) return number_in(line.substr(key.size()));
    start = end + 1;
  }
  return std::nullopt;
}

// The folders to look in for one controller: this process's cgroup and all above it, then the mount itself. Inside a container the path in
// /proc/self/cgroup may not exist; the mount is then what applies.
std::vector<fs::path> folders(const fs::path& mount, std::string_view group) {
  std::vector<fs::path> found;
  for (fs::path path = fs::path(group).relative_path(); !path.empty(); path = path.parent_path()) found.push_back(mount / path);
  found.push_back(mount);
  return found;
}

struct Group {
  std::string unified;      // version 2
  std::string cpu, memory;  // version 1
};

Group group_of_this_process(const fs::path& root) {
  Group group;
  const std::string text = text_of(root / "proc/self/cgroup").value_or("");
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line(text.data() + start, end - start);
    start = end + 1;
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string controllers = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    const std::string path(line.substr(second + 1));
    if (controllers == ",,") group.unified = path;
    if (controllers.find(",cpu,") != std::string::npos) group.cpu = path;
    if (controllers.find(",memory,") != std::string::npos) group.memory = path;
  }
  return group;
}

}  // namespace

Machine read_machine(const fs::path& root, int affinity_cores) {
  Machine found;
  found.cores = std::max(1, affinity_cores);
  const std::string meminfo = text_of(root / "proc/meminfo").value_or("");
  found.memory_bytes = field(meminfo, "MemTotal:").value_or(unlimited >> 10) << 10;
  found.memory_available = field(meminfo, "MemAvailable:").value_or(found.memory_bytes >> 10) << 10;

  auto limit_cores = [&](std::uint64_t quota, std::uint64_t period) {
    if (period > 0) found.cores = static_cast<int>(std::clamp<std::uint64_t>(quota / period, 1, static_cast<std::uint64_t>(found.cores)));
  };
  auto limit_memory = [&](std::uint64_t limit, std::uint64_t used, std::uint64_t droppable) {
    found.memory_bytes = std::min(found.memory_bytes, limit);
    used -= std::min(used, droppable);
    found.memory_available = std::min(found.memory_available, limit - std::min(limit, used));
  };
  const Group group = group_of_this_process(root);
  const fs::path mount = root / "sys/fs/cgroup";
  for (const auto& folder : folders(mount, group.unified)) {
    if (const auto quota = text_of(folder / "cpu.max")) {
      const auto space = quota->find(' ');
      const auto cores = number_in(*quota),
                 period = space == std::string::npos ? std::nullopt : number_in(std::string_view(*quota).substr(space));
      if (cores && period) limit_cores(*cores, *period);
    }
    if (const auto limit = number_of(folder / "memory.max")) {
      const std::string statistics = text_of(folder / "memory.stat").value_or("");
      limit_memory(*limit, number_of(folder / "memory.current").value_or(0), field(statistics, "inactive_file ").value_or(0));
    }
  }
  for (const char* controller : {"cpu", "cpu,cpuacct"}) {
    for (const auto& folder : folders(mount / controller, group.cpu)) {
      const auto quota = number_of(folder / "cpu.cfs_quota_us"), period = number_of(folder / "cpu.cfs_period_us");
      if (quota && period) limit_cores(*quota, *period);
    }
  }
  for (const auto& folder : folders(mount / "memory", group.memory)) {
    if (const auto limit = number_of(folder / "memory.limit_in_bytes")) {
      const std::string statistics = text_of(folder / "memory.stat").value_or("");
      limit_memory(*limit, number_of(folder / "memory.usage_in_bytes").value_or(0), field(statistics, "total_inactive_file ").value_or(0));
    }
  }
  return found;
}

Machine machine() {
  // A set of fixed size fails on machines with more than 1024 cores; then all count.
  cpu_set_t set;
  CPU_ZERO(&set);
  const bool known = ::sched_getaffinity(0, sizeof set, &set) == 0;
  return read_machine("/", known ? CPU_COUNT(&set) : static_cast<int>(std::thread::hardware_concurrency()));
}

std::uint64_t peak_resident_bytes() {
  // Not getrusage: its maximum is inherited from whoever started this program.
  return field(text_of("/proc/self/status").value_or(""), "VmHWM:").value_or(0) << 10;
}

}  // namespace godwit
