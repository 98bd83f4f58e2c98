// Memory against the plan made before the run, and the time to bring a model from a file into memory.
#include <fcntl.h>
#include <fmt/ranges.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "base/file.h"
#include "bench/bench.h"
#include "bench/decode_job.h"
#include "base/temporary_directory.h"
#include "bench/training_job.h"
#include "infer/weights.h"
#include "model/family.h"
#include "store/model_source.h"
#include "store/safetensors.h"

extern char** environ;

namespace godwit::bench {
namespace {

// Runs this program with other arguments and returns what it wrote to standard output. A process of its own, because what this one has held
// at its peak is the peak of everything it has done.
Result<std::string> run_self(std::vector<std::string> arguments, const std::filesystem::path& output) {
  arguments.insert(arguments.begin(), "/proc/self/exe");
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  const int failed = ::posix_spawn(&child, pointers[0], &actions, nullptr, pointers.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return world_error("this program cannot be started again: {}", std::strerror(failed));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return world_error("waiting for process {}: {}", child, std::strerror(errno));
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return world_error("godwit {} ended with status {}", fmt::join(arguments.begin() + 1, arguments.end(), " "), status);
  return read_file(output);
}

Result<Row> training_row(Context& context, const TrainingJob& job) {
  constexpr std::int64_t steps = 3;
  context.options().say(fmt::format("memory of {}", job.name()));
  TRY_ASSIGN(const TemporaryDirectory directory, TemporaryDirectory::create());
  TRY_ASSIGN(const std::filesystem::path config, write_job(directory.path(), job, steps));
  std::vector<std::string> arguments = {"train", config.string(), "--run",  (directory / "run").string(), "--workers",
                                        "0",     "--json",        "--quiet"};
  arguments.insert(arguments.end(), {"--threads", std::to_string(context.options().device.threads)});
  if (!context.options().device.isa.empty()) arguments.insert(arguments.end(), {"--isa", context.options().device.isa});
  TRY_ASSIGN(const std::string output, run_self(std::move(arguments), directory / "output.json"));
  TRY_ASSIGN(const Json json, parse_json(output, "godwit train --json"));
  const auto plan = json["planned_bytes"].get<double>(), peak = json["peak_resident_bytes"].get<double>();
  return Row{.job = job.name() + ", peak resident over plan",
             .value = peak / plan,
             .unit = "times",
             .ceiling = {},
             .target = Target{.of = Target::Of::value, .sense = Target::Sense::at_most, .value = 1.10},
             .note = fmt::format("{} of {} MiB; {} steps of a process of its own", number_text(peak / (1 << 20)),
                                 number_text(plan / (1 << 20)), steps)};
}

// A Hugging Face directory with random weights in bf16, as such models are published.
Result<void> write_model(const std::filesystem::path& directory, std::string_view preset) {
  TRY_ASSIGN(const auto model, model::model_from_config(*model::find_family("deepseek_v3", "bench").value()->preset(preset), preset));
  TRY(create_directories_durably(directory));
  TRY(write_file_durably(directory / "config.json", write_json(model->config_json("bfloat16", false))));
  std::vector<std::vector<float>> values;
  std::vector<store::OutputTensor> tensors;
  for (std::size_t index = 0; index < model->parameters().size(); ++index) {
    const model::Parameter& parameter = model->parameters()[index];
    if (parameter.mtp) continue;
    std::vector<float>& all = values.emplace_back(static_cast<std::size_t>(parameter.shape.count()));
    fill_random(*model, index, all);
    std::vector<std::uint64_t> shape;
    for (int axis = parameter.stacked() ? 1 : 0; axis < parameter.shape.rank(); ++axis)
      shape.push_back(static_cast<std::uint64_t>(parameter.shape[axis]));
    const std::size_t each = all.size() / parameter.files.size();
    const bool bias = parameter.kind == model::Parameter::Kind::router_bias;
    for (std::size_t place = 0; place < parameter.files.size(); ++place) {
      tensors.push_back(store::tensor_of_f32(parameter.files[place], bias ? store::FileDtype::f32 : store::FileDtype::bf16, shape,
                                             std::span<const float>(all).subspan(place * each, each)));
    }
  }
  TRY(store::write_safetensors(directory / "model.safetensors", tensors));
  return {};
}

Result<Row> load_row(Context& context) {
  constexpr int repeats = 3;
  context.options().say("loading ds326");
  TRY_ASSIGN(const TemporaryDirectory directory, TemporaryDirectory::create());
  TRY(write_model(directory / "model", "ds326"));
  TRY_ASSIGN(const auto device, device::Device::open(context.options().device));
  std::vector<double> times;
  std::int64_t bytes = 0;
  for (int repeat = 0; repeat <= repeats; ++repeat) {
    TRY(context.check_interrupted());
    const double begin = monotonic_seconds();
    TRY_ASSIGN(const store::ModelSource source, store::ModelSource::open((directory / "model").string()));
    TRY_ASSIGN(const infer::Weights weights, infer::Weights::load(*device, source));
    if (repeat > 0) times.push_back(monotonic_seconds() - begin);  // the first brings the file into the page cache
    bytes = weights.bytes();
  }
  return Row{.job = "ds326, loading",
             .value = median(times),
             .unit = "s",
             .ceiling = {},
             .target = Target{.of = Target::Of::value, .sense = Target::Sense::at_most, .value = 1},
             .note = fmt::format("bf16 safetensors in the page cache to {} MiB of f32 on the device; median of {}",
                                 number_text(static_cast<double>(bytes) / (1 << 20)), repeats)};
}

Result<Report> run(Context& context) {
  Report report;
  for (const char* preset : {"mini", "dense30"}) {
    if (!context.wants(preset)) continue;
    const std::string& dtype = context.options().dtype;
    TRY_ASSIGN(Row row, training_row(context, {.preset = preset, .dtype = dtype.empty() ? "bf16" : dtype}));
    report.rows.push_back(std::move(row));
  }
  if (context.wants("load")) {
    TRY_ASSIGN(Row row, load_row(context));
    report.rows.push_back(std::move(row));
  }
  return report;
}

}  // namespace

extern const Bench memory;
const Bench memory{.name = "memory",
                   .summary = "Memory held against the plan; the time to load a model.",
                   .jobs = {"mini", "dense30", "load"},
                   .run = run};

}  // namespace godwit::bench
