#include "guard/disk_faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/clock.h"
#include "store/checkpoint.h"

namespace godwit::guard {

namespace {

// What a failing disk does to one call that changes it: an errno, or 0 and perhaps fewer bytes, or more time.
std::function<int(DiskCall&)> failing(const Fault& fault) {
  if (fault.how == "slow") return slow_disk(fault.factor * 1e6, std::chrono::milliseconds(1));
  if (fault.how == "short") {
    return [](DiskCall& call) {
      if (call.operation == DiskOperation::write && call.bytes > 1) call.bytes /= 2;
      return 0;
    };
  }
  if (fault.how == "sync") {
    return
        [](DiskCall& call) { return call.operation == DiskOperation::sync || call.operation == DiskOperation::sync_directory ? EIO : 0; };
  }
  return [error = fault.error_number](DiskCall& call) {
    // A full disk still lets go of what it holds.
    const bool frees = call.operation == DiskOperation::remove || call.operation == DiskOperation::truncate;
    return error == ENOSPC && frees ? 0 : error;
  };
}

void rot(const std::filesystem::path& file, const Fault& fault) {
  if (fault.how == "remove") {
    std::filesystem::remove_all(file);
    return;
  }
  const auto bytes = std::filesystem::file_size(file);
  if (fault.how == "truncate") {
    std::filesystem::resize_file(file, bytes / 2);
    return;
  }
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(bytes / 3));
  const int byte = stream.get();
  stream.seekp(static_cast<std::streamoff>(bytes / 3));
  stream.put(static_cast<char>(byte ^ 16));
}

}  // namespace

// What is there to rot.
std::vector<std::filesystem::path> DiskFaults::files_of(Act act) const {
  std::vector<std::filesystem::path> files;
  std::error_code ignored;
  if (act == Act::rot_data) {
    std::ranges::copy_if(data_, std::back_inserter(files), [&](const auto& file) { return std::filesystem::exists(file, ignored); });
  } else if (act == Act::rot_tokens) {
    for (const auto& entry : std::filesystem::directory_iterator(tokens_, ignored)) files.push_back(entry.path());
  } else if (const auto steps = store::list_checkpoints(checkpoints_); act == Act::rot_checkpoint && steps.ok() && !steps->empty()) {
    files.push_back(checkpoints_ / std::to_string(steps->back()));
  }
  return files;
}

void DiskFaults::strike(Faults& faults, std::span<const Fault* const> struck, const Point& point) {
  for (const Fault* fault : struck) {
    if (fault->act == Act::disk) {
      faults.tell(*fault, point, fmt::format("the disk: {}", fault->how));
      disk_.reset();
      struct Left {
        std::atomic<std::uint64_t> calls;
        double until;
      };
      auto left = std::make_shared<Left>();
      left->calls = fault->calls;
      left->until = fault->seconds > 0 ? monotonic_seconds() + fault->seconds : 0;
      disk_ = std::make_unique<ScopedDiskFault>([left, counted = fault->calls > 0, does = failing(*fault)](DiskCall& call) {
        if (left->until > 0 && monotonic_seconds() > left->until) return 0;
        if (counted) {
          std::uint64_t calls = left->calls.load();
          while (calls > 0 && !left->calls.compare_exchange_weak(calls, calls - 1)) {
          }
          if (calls == 0) return 0;
        }
        return does(call);
      });
    }
    for (const std::filesystem::path& file : files_of(fault->act)) {
      faults.tell(*fault, point, fmt::format("{}: {}", file.string(), fault->how));
      const bool whole = fault->how == "remove" || fault->act != Act::rot_checkpoint;
      rot(whole ? file : file / "state.safetensors", *fault);
    }
  }
}

}  // namespace godwit::guard
