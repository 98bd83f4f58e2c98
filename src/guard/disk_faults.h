// Faults on purpose in what lies on the disk, and in the disk: carried out by the process that writes there, the supervisor or a
// checkpoint's writer.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "base/file.h"
#include "guard/fault.h"

namespace godwit::guard {

class DiskFaults {
 public:
  explicit DiskFaults(std::filesystem::path checkpoints) : checkpoints_(std::move(checkpoints)) {}
  // What Faults::pass handed back at `point`: tells and does it. Others are passed over. A fault of the disk lasts as the story says, at
  // most as long as this object, and takes the place of an earlier one.
  void strike(Faults& faults, std::span<const Fault* const> struck, const Point& point);

 private:
  std::filesystem::path checkpoints_;
  std::unique_ptr<ScopedDiskFault> disk_;
};

}  // namespace godwit::guard
