// What several commands share: printing results, the options of whatever computes, being stopped.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "cli/app.h"
#include "device/device.h"
#include "model/model.h"
#include "program/tensor.h"

namespace godwit::cli {

// project(VERSION) of CMakeLists.txt; tests/layering holds the two together.
inline constexpr std::string_view version = "0.1.0";

// ---- Results ----

// Writes to standard output (buffered). An error of kind world if that fails: a full disk, or a reader that left, of whom nobody is told.
[[nodiscard]] Result<void> print(std::string_view text);
// One document in one line.
[[nodiscard]] Result<void> print_json(const Json& json);
// Hands everything printed so far to its reader.
[[nodiscard]] Result<void> flush_output();
// Whoever read standard output (head, less) has closed it.
[[nodiscard]] bool reader_left();
// Forgets an earlier failure; main calls it before a command.
void begin_output();

// ---- Options ----

// --quiet: standard error gets only errors; takes effect as it is parsed.
void declare_quiet(App app, bool& quiet);

struct ComputeOptions {
  int threads = 0;  // 0: not given; all cores this process may use
  std::string isa;  // empty: the best there is
  std::string backend = "cpu";    // with ":1" behind it, its second device
  std::string dtype;              // "f32", "bf16"; empty: not given
  std::string weights = "dtype";  // or "q8"
  bool quiet = false;
};

// --threads, --isa, --backend, --dtype, --quiet. `with_dtype` is false where the run's config says it; `backend` tells of --backend.
void declare_compute(App app, ComputeOptions& options, bool with_dtype = true,
                     std::string_view backend = "Kind of chip; see godwit list backends");
// --weights, for what computes without gradients.
void declare_weights(App app, ComputeOptions& options);
// With the default for threads filled in.
[[nodiscard]] device::DeviceOptions device_options(const ComputeOptions& options);
[[nodiscard]] Result<std::unique_ptr<device::Device>> open_device(const ComputeOptions& options);
// --dtype, or `otherwise` ("f32", "bf16": ModelSource::dtype()).
[[nodiscard]] program::Dtype compute_dtype(const ComputeOptions& options, std::string_view otherwise);

[[nodiscard]] model::WeightFormat weight_format(const ComputeOptions& options);

// ---- Being stopped ----

// From now on SIGINT and SIGTERM only set a flag, for commands that stop at a border of their own choosing and return an error of kind
// stopped; the second SIGINT ends the process. Call it once, before threads are started.
void catch_interrupts();
[[nodiscard]] bool interrupted();

}  // namespace godwit::cli
