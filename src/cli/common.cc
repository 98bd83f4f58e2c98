#include "cli/common.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "base/machine.h"
#include "cli/command.h"
#include "device/backends.h"

namespace godwit::cli {
namespace {

constexpr int threads_max = 4096;

std::atomic<bool> the_reader_left = false;
std::atomic<bool> the_interrupt = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

Error output_error() {
  const int reason = errno;
  if (reason == EPIPE) the_reader_left = true;
  return world_error("standard output cannot be written: {}", std::strerror(reason));
}

}  // namespace

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::input:
      return exit_input;
    case ErrorKind::differs:
      return exit_differs;
    case ErrorKind::stopped:
      return exit_stopped;
    case ErrorKind::world:
      return exit_other;
  }
  return exit_other;
}

Result<void> print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) return output_error();
  return {};
}

Result<void> print_json(const Json& json) {
  return print(write_json(json) + "\n");
}

Result<void> flush_output() {
  if (std::fflush(stdout) != 0) return output_error();
  return {};
}

bool reader_left() {
  return the_reader_left;
}

void begin_output() {
  std::clearerr(stdout);
  the_reader_left = false;
}

void declare_quiet(App app, bool& quiet) {
  app.add_flag(
      "--quiet",
      [&quiet] {
        quiet = true;
        set_log_quiet(true);
      },
      "Say nothing but results and errors");
}

void declare_compute(App app, ComputeOptions& options, bool with_dtype, std::string_view backend) {
  app.add_option("--threads", options.threads, "Threads to compute with; by default all cores this process may use")
      .type_name("N")
      .between(1, threads_max);
  app.add_option("--isa", options.isa, "Instruction set: scalar, avx2, avx512, avx512_bf16, neon; by default the best there is")
      .type_name("ISA");
  app.add_option("--backend", options.backend, backend).type_name("NAME");
  if (with_dtype) {
    app.add_option("--dtype", options.dtype, "Operands of matrix products: f32 or bf16; by default what the model says")
        .type_name("TYPE")
        .one_of({"f32", "bf16"});
  }
  declare_quiet(app, options.quiet);
}

void declare_weights(App app, ComputeOptions& options) {
  app.add_option("--weights", options.weights, "How matrices are held: dtype (the default: as --dtype says) or q8, blocks of 8 bits")
      .type_name("FORMAT")
      .one_of({"dtype", "q8"});
}

device::DeviceOptions device_options(const ComputeOptions& options) {
  const device::DeviceChoice choice = device::parse_device_choice(options.backend);
  return {.backend = choice.backend,
          .number = choice.number,
          .threads = options.threads > 0 ? options.threads : machine().cores,
          .isa = options.isa};
}

Result<std::unique_ptr<device::Device>> open_device(const ComputeOptions& options) {
  return device::Device::open(device_options(options));
}

program::Dtype compute_dtype(const ComputeOptions& options, std::string_view otherwise) {
  const std::string_view name = options.dtype.empty() ? otherwise : std::string_view(options.dtype);
  CHECK(name == "f32" || name == "bf16", "{} is no dtype to compute in", name);
  return name == "bf16" ? program::Dtype::bf16 : program::Dtype::f32;
}

model::WeightFormat weight_format(const ComputeOptions& options) {
  return options.weights == "q8" ? model::WeightFormat::q8 : model::WeightFormat::dtype;
}

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = [](int signal) {
    the_interrupt = true;
    // Whoever presses the keys a second time does not want to wait.
    if (signal == SIGINT) ::signal(SIGINT, SIG_DFL);
  };
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
  return the_interrupt;
}

}  // namespace godwit::cli
