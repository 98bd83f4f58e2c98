#include "runtime.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "prelude.h"

namespace godwit::opencl {

namespace fs = std::filesystem;

namespace {

// The bits are the contract: divisions and roots are rounded correctly, nothing is relaxed.
constexpr const char* exact_options = "-w -cl-std=CL1.2 -cl-fp32-correctly-rounded-divide-sqrt";

const char* error_name(cl_int error) {
  switch (error) {
    case CL_DEVICE_NOT_FOUND:
      return "no device found";
    case CL_DEVICE_NOT_AVAILABLE:
      return "device not available";
    case CL_COMPILER_NOT_AVAILABLE:
      return "no compiler";
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
      return "memory object allocation failure";
    case CL_OUT_OF_RESOURCES:
      return "out of resources";
    case CL_OUT_OF_HOST_MEMORY:
      return "out of host memory";
    case CL_BUILD_PROGRAM_FAILURE:
      return "build program failure";
    case CL_INVALID_BUFFER_SIZE:
      return "invalid buffer size";
    case CL_INVALID_COMMAND_QUEUE:
      return "invalid command queue";
    case CL_INVALID_CONTEXT:
      return "invalid context";
    case CL_INVALID_WORK_GROUP_SIZE:
      return "invalid work-group size";
    case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST:
      return "earlier work failed";
    default:
      return "OpenCL error";
  }
}

std::string text_info(cl_device_id device, cl_device_info what) {
  std::size_t size = 0;
  if (clGetDeviceInfo(device, what, 0, nullptr, &size) != CL_SUCCESS || size == 0) return "";
  std::string text(size, '\0');
  clGetDeviceInfo(device, what, size, text.data(), nullptr);
  text.resize(std::strlen(text.c_str()));
  return text;
}

template <typename T>
T info(cl_device_id device, cl_device_info what) {
  T value{};
  clGetDeviceInfo(device, what, sizeof value, &value, nullptr);
  return value;
}

std::string platform_version(cl_device_id device) {
  const auto platform = info<cl_platform_id>(device, CL_DEVICE_PLATFORM);
  char text[256] = {};
  clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof text - 1, text, nullptr);
  return text;
}

// FNV-1a: names files and notices damaged ones; whoever may write there may also write the binaries themselves.
std::uint64_t fingerprint(const std::string& text) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char character : text) hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001B3u;
  return hash;
}

std::string cache_directory() {
  const auto of = [](const char* variable, const char* behind) -> std::string {
    const char* value = std::getenv(variable);
    return value == nullptr || *value == '\0' ? "" : value + std::string(behind);
  };
  std::string directory = of("GODWIT_CACHE_DIR", "");
  if (directory.empty()) directory = of("XDG_CACHE_HOME", "/godwit");
  if (directory.empty()) directory = of("HOME", "/.cache/godwit");
  if (directory.empty()) return "";
  directory += "/opencl";
  std::error_code failed;
  fs::create_directories(directory, failed);
  return failed ? "" : directory;
}

}  // namespace

Failure failure_of(cl_int error, During during, const std::string& what) {
  if (error == CL_SUCCESS) return {};
  godwit_status status = GODWIT_FAILED;
  switch (error) {
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_OUT_OF_HOST_MEMORY:
      status = GODWIT_OUT_OF_MEMORY;
      break;
    case CL_INVALID_BUFFER_SIZE:
    case CL_OUT_OF_RESOURCES:
      // Of work that was accepted, "out of resources" is what drivers say when the device has faulted.
      status = during == During::allocation ? GODWIT_OUT_OF_MEMORY : error == CL_OUT_OF_RESOURCES ? GODWIT_DEVICE_LOST : GODWIT_FAILED;
      break;
    case CL_DEVICE_NOT_AVAILABLE:
    case CL_INVALID_CONTEXT:
    case CL_INVALID_COMMAND_QUEUE:
    case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST:  // a command ended abnormally: nobody knows what became of the device
      status = GODWIT_DEVICE_LOST;
      break;
    default:
      // The status of such a command is negative, whatever the driver chose; drivers' own codes are far below OpenCL's.
      if (during == During::work && error <= -1000) status = GODWIT_DEVICE_LOST;
      break;
  }
  return {status, fmt::format("{}: {} ({})", what, error_name(error), error)};
}

std::vector<cl_device_id> all_devices() {
  cl_uint platform_count = 0;
  if (clGetPlatformIDs(0, nullptr, &platform_count) != CL_SUCCESS || platform_count == 0) return {};
  std::vector<cl_platform_id> platforms(platform_count);
  clGetPlatformIDs(platform_count, platforms.data(), nullptr);
  std::vector<cl_device_id> all;
  for (cl_platform_id platform : platforms) {
    cl_uint count = 0;
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count) != CL_SUCCESS || count == 0) continue;
    std::vector<cl_device_id> devices(count);
    clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, devices.data(), nullptr);
    all.insert(all.end(), devices.begin(), devices.end());
  }
  return all;
}

DeviceFacts facts_of(cl_device_id device) {
  DeviceFacts facts;
  facts.name = text_info(device, CL_DEVICE_NAME);
  facts.driver = fmt::format("{}, {}", platform_version(device), text_info(device, CL_DRIVER_VERSION));
  facts.memory_bytes = static_cast<std::int64_t>(info<cl_ulong>(device, CL_DEVICE_GLOBAL_MEM_SIZE));
  facts.host_memory = (info<cl_device_type>(device, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU) != 0;
  facts.traits.style = facts.host_memory ? Style::wide : Style::tiled;
  facts.traits.vector = static_cast<int>(info<cl_uint>(device, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT));
  facts.traits.units = static_cast<int>(info<cl_uint>(device, CL_DEVICE_MAX_COMPUTE_UNITS));
  facts.traits.local_bytes = static_cast<std::int64_t>(info<cl_ulong>(device, CL_DEVICE_LOCAL_MEM_SIZE));
  facts.traits.group_max = static_cast<int>(info<std::size_t>(device, CL_DEVICE_MAX_WORK_GROUP_SIZE));
  const auto single = info<cl_device_fp_config>(device, CL_DEVICE_SINGLE_FP_CONFIG);
  const auto needs = [&](bool there, const char* what) {
    if (!there) facts.missing += std::string(facts.missing.empty() ? "" : ", ") + what;
  };
  needs((single & CL_FP_DENORM) != 0, "subnormal numbers");
  needs((single & CL_FP_INF_NAN) != 0, "infinities and NaN");
  needs((single & CL_FP_ROUND_TO_NEAREST) != 0, "rounding to nearest even");
  needs((single & CL_FP_FMA) != 0, "fused multiply-add");
  needs((single & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT) != 0, "correctly rounded division and square root");
  needs(info<cl_bool>(device, CL_DEVICE_COMPILER_AVAILABLE) == CL_TRUE, "a compiler");
  needs(info<cl_bool>(device, CL_DEVICE_ENDIAN_LITTLE) == CL_TRUE, "little-endian memory");
  needs(facts.traits.style == Style::wide || facts.traits.group_max >= 64, "work-groups of 64");
  needs(info<cl_uint>(device, CL_DEVICE_MEM_BASE_ADDR_ALIGN) <= 8 * GODWIT_ALIGNMENT, "buffers that begin at multiples of 512 bytes");
  return facts;
}

Programs::Programs(cl_context context, cl_device_id device, const DeviceFacts& facts)
    : context_(context),
      device_(device),
      identity_(facts.name + "\n" + facts.driver),
      style_(style_defines(facts.traits)),
      directory_(cache_directory()) {}

Programs::~Programs() {
  for (const auto& [key, program] : programs_) clReleaseProgram(program);
}

Failure Programs::get(const std::string& source, const std::string& defines, cl_program& program) {
  const std::string options = fmt::format("{} {} {}", exact_options, style_, defines);
  const std::string text = prelude + source;
  const std::string key = identity_ + "\n" + options + "\n" + text;
  const auto known = programs_.find(key);
  if (known != programs_.end()) {
    program = known->second;
    return {};
  }
  program = restore(key, options);
  if (program == nullptr) {
    if (Failure failure = build(text, options, program); !failure.ok()) return failure;
    keep(key, program);
  }
  programs_[key] = program;
  return {};
}

Failure Programs::build(const std::string& text, const std::string& options, cl_program& program) {
  const char* strings[] = {text.c_str()};
  cl_int error = CL_SUCCESS;
  program = clCreateProgramWithSource(context_, 1, strings, nullptr, &error);
  if (error != CL_SUCCESS) return failure_of(error, During::allocation, "create a program");
  error = clBuildProgram(program, 1, &device_, options.c_str(), nullptr, nullptr);
  if (error == CL_SUCCESS) return {};
  std::size_t size = 0;
  clGetProgramBuildInfo(program, device_, CL_PROGRAM_BUILD_LOG, 0, nullptr, &size);
  std::string log(size, '\0');
  clGetProgramBuildInfo(program, device_, CL_PROGRAM_BUILD_LOG, size, log.data(), nullptr);
  log.resize(std::min<std::size_t>(std::strlen(log.c_str()), 700));  // its head: the first error is what matters
  clReleaseProgram(program);
  program = nullptr;
  Failure failure = failure_of(error, During::allocation, "build with " + options);
  failure.message += "\n" + log;
  return failure;
}

// A kept binary: fingerprint of what follows, length of the key, key, binary.
cl_program Programs::restore(const std::string& key, const std::string& options) const {
  if (directory_.empty()) return nullptr;
  std::ifstream file(fmt::format("{}/{:016x}", directory_, fingerprint(key)), std::ios::binary);
  const std::string kept((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::uint64_t sum = 0, length = 0;
  if (kept.size() <= 16 + key.size()) return nullptr;
  std::memcpy(&sum, kept.data(), 8);
  std::memcpy(&length, kept.data() + 8, 8);
  if (length != key.size() || kept.compare(16, key.size(), key) != 0 || fingerprint(kept.substr(8)) != sum) return nullptr;
  const std::size_t size = kept.size() - 16 - key.size();
  const auto* binary = reinterpret_cast<const unsigned char*>(kept.data() + 16 + key.size());
  cl_int status = CL_SUCCESS, error = CL_SUCCESS;
  cl_program program = clCreateProgramWithBinary(context_, 1, &device_, &size, &binary, &status, &error);
  if (program == nullptr) return nullptr;
  if (error == CL_SUCCESS && clBuildProgram(program, 1, &device_, options.c_str(), nullptr, nullptr) == CL_SUCCESS) return program;
  clReleaseProgram(program);
  return nullptr;
}

// What cannot be kept is built again next time.
void Programs::keep(const std::string& key, cl_program program) const {
  if (directory_.empty()) return;
  std::size_t size = 0;
  if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr) != CL_SUCCESS || size == 0) return;
  std::string binary(size, '\0');
  auto* at = reinterpret_cast<unsigned char*>(binary.data());
  if (clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof at, &at, nullptr) != CL_SUCCESS) return;
  const std::uint64_t length = key.size();
  std::string kept(reinterpret_cast<const char*>(&length), 8);
  kept += key + binary;
  const std::uint64_t sum = fingerprint(kept);
  const std::string name = fmt::format("{}/{:016x}", directory_, fingerprint(key));
  const std::string temporary = fmt::format("{}.{}", name, ::getpid());
  std::ofstream file(temporary, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&sum), 8);
  file.write(kept.data(), static_cast<std::streamsize>(kept.size()));
  file.close();
  std::error_code failed;
  if (file) fs::rename(temporary, name, failed);
  if (!file || failed) fs::remove(temporary, failed);
}

}  // namespace godwit::opencl
