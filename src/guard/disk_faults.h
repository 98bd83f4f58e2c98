// Faults on purpose in what lies on the disk, and in the disk: carried out by the process that writes there, the supervisor or a
// checkpoint's writer.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/file.h"
#include "guard/fault.h"

namespace godwit::guard {

class DiskFaults {
 public:
  // `data`: files; `tokens`: a directory.
  explicit DiskFaults(std::filesystem::path checkpoints, std::vector<std::filesystem::path> data = {}, std::filesystem::path tokens = {})
      : checkpoints_(std::move(checkpoints)), data_(std::move(data)), tokens_(std::move(tokens)) {}
  // What Faults::pass handed back at `point`: tells and does it. Others are passed over. A fault of the disk lasts as the story says, at
  // most as long as this object, and takes the place of an earlier one.
  void strike(Faults& faults, std::span<const Fault* const> struck, const Point& point);

 private:
  [[nodiscard]] std::vector<std::filesystem::path> files_of(Act act) const;

  std::filesystem::path checkpoints_;
  std::vector<std::filesystem::path> data_;
  std::filesystem::path tokens_;
  std::unique_ptr<ScopedDiskFault> disk_;
};

}  // namespace godwit::guard
