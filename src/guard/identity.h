// Which device it is: all that can change what it computes, as far as anybody can say it.
#pragma once

#include <string>

#include "base/error.h"
#include "device/device.h"
#include "device/listing.h"

namespace godwit::guard {

// Two devices of one name in one machine are told apart by their number alone: a backend gives no serial numbers.
struct DeviceIdentity {
  std::string backend;  // "opencl"
  int number = 0;       // of the backend's devices
  std::string name;     // as the backend tells it before anything is opened
  std::string driver;   // version of whatever can change results, as the backend tells it
  std::string library;  // SHA-256 of the backend's shared library; empty where it is linked
  std::string isa;      // the instruction set or style of kernels that was asked for; empty: the device's own choice
  friend bool operator==(const DeviceIdentity&, const DeviceIdentity&) = default;

  // "opencl:0 pthread-AMD EPYC 9454, driver PoCL 3.1".
  [[nodiscard]] std::string text() const;
  // "opencl", "opencl:1": as options take it.
  [[nodiscard]] std::string option() const;
};

// Of the device those options would open. The backend is asked in a process of its own, so it may be called where no vendor library may be
// loaded; it forks: to be called while the process has one thread. ErrorKind::input: it has no such
// device; world: it cannot be asked.
[[nodiscard]] Result<DeviceIdentity> identify(const device::DeviceOptions& options);
// How libraries are asked for their devices: in a process that is confined as workers are.
[[nodiscard]] device::Asking confined_asking();
// The same inside the process that has loaded the backend, or may.
[[nodiscard]] Result<DeviceIdentity> identify_here(const device::DeviceOptions& options);

// Of a device as a backend has listed it. The backend's library is read where there is one; if it cannot be, its digest is "unknown".
[[nodiscard]] DeviceIdentity identity_of(const device::ListedBackend& backend, const device::ListedDevice& device, const std::string& isa);

// What has changed between two identities of what should be one device ("driver X then, Y now"); empty: nothing.
[[nodiscard]] std::string identity_difference(const DeviceIdentity& then, const DeviceIdentity& now);

}  // namespace godwit::guard
