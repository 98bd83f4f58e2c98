// OpenCL as this backend uses it: devices that can keep the profile's bits, errors as statuses of the contract, compiled programs.
#pragma once

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "choice.h"
#include "godwit/backend.h"

namespace godwit::opencl {

// What went wrong, or that nothing did.
struct Failure {
  godwit_status status = GODWIT_OK;
  std::string message;
  [[nodiscard]] bool ok() const { return status == GODWIT_OK; }
};

// An OpenCL error of a call made to get memory, or to do work: the same code means different things.
enum class During : std::uint8_t { allocation, work };
[[nodiscard]] Failure failure_of(cl_int error, During during, const std::string& what);

// Every device of every platform, in the loader's order.
[[nodiscard]] std::vector<cl_device_id> all_devices();

struct DeviceFacts {
  std::string name;
  std::string driver;  // platform and driver version
  std::int64_t memory_bytes = 0;
  bool host_memory = false;  // work-items address the host's memory: buffers are plain memory
  std::string missing;       // what the profile exact/1 needs and the device does not say it has; empty: nothing
  Traits traits;
};
[[nodiscard]] DeviceFacts facts_of(cl_device_id device);

// Programs by text and options: in memory while it lives, as the driver's binaries in a directory of the user's for the next process
// (GODWIT_CACHE_DIR, else XDG_CACHE_HOME/godwit, else ~/.cache/godwit; none of these: in memory alone).
class Programs {
 public:
  Programs(cl_context context, cl_device_id device, const DeviceFacts& facts);
  ~Programs();
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  // `source` stands behind the prelude. The program stays this object's.
  Failure get(const std::string& source, const std::string& defines, cl_program& program);

 private:
  Failure build(const std::string& text, const std::string& options, cl_program& program);
  [[nodiscard]] cl_program restore(const std::string& key, const std::string& options) const;
  void keep(const std::string& key, cl_program program) const;

  cl_context context_;
  cl_device_id device_;
  std::string identity_;  // whatever, beside text and options, decides what a binary holds
  std::string style_;
  std::string directory_;  // empty: nothing is kept
  std::map<std::string, cl_program> programs_;
};

}  // namespace godwit::opencl
