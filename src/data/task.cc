#include "data/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/config.h"

namespace godwit::data {
namespace {

std::string wanted(const TaskOption& option) {
  if (option.kind == OptionKind::word) return fmt::format("one of {}", fmt::join(option.words, ", "));
  if (option.minimum == option.maximum) return fmt::format("only {}", option.minimum);
  return fmt::format("{} from {} to {}", option.kind == OptionKind::integer ? "a whole number" : "a number", option.minimum,
                     option.maximum);
}

// The value in the form it is kept in, or nothing.
std::optional<Json> checked(const TaskOption& option, const Json& value) {
  if (option.kind == OptionKind::word) {
    const bool known = value.is_string() && std::ranges::find(option.words, value.string()) != option.words.end();
    return known ? std::optional(value) : std::nullopt;
  }
  if (!value.is_number()) return std::nullopt;
  const double real = value.get<double>();
  if (!(real >= option.minimum && real <= option.maximum)) return std::nullopt;
  if (option.kind == OptionKind::real) return Json(real);
  return real == std::floor(real) ? std::optional<Json>(static_cast<std::int64_t>(real)) : std::nullopt;
}

Json fallback(const TaskOption& option) {
  if (option.kind == OptionKind::word) return option.words[static_cast<std::size_t>(option.fallback)];
  if (option.kind == OptionKind::real) return option.fallback;
  return static_cast<std::int64_t>(option.fallback);
}

}  // namespace

Result<TaskOptions> TaskOptions::read(const Json& given, std::span<const TaskOption> known, std::string_view place) {
  if (!given.is_object() && !given.is_null()) {
    return input_error("{}: options are a table of numbers and words, not {}", place, given.type_name());
  }
  TaskOptions options;
  std::vector<std::string> names;
  for (const TaskOption& option : known) {
    names.emplace_back(option.name);
    options.values_[option.name] = fallback(option);
  }
  if (given.is_null()) return options;
  for (const auto& [name, value] : given.items()) {
    const auto option = std::ranges::find(known, name, &TaskOption::name);
    if (option == known.end()) {
      const std::string near = nearest_name(name, names);
      return input_error("{}: there is no option {}; {}", place, name,
                         near.empty() ? fmt::format("there are: {}", fmt::join(names, ", ")) : fmt::format("did you mean {}?", near));
    }
    std::optional<Json> kept = checked(*option, value);
    if (!kept) return input_error("{}: option {} = {}: {} is wanted", place, name, write_json(value), wanted(*option));
    options.values_[name] = *std::move(kept);
  }
  return options;
}

const Json& TaskOptions::value(std::string_view name) const {
  const Json* found = values_.find(name);
  CHECK(found != nullptr, "no option is called {}", name);
  return *found;
}

std::int64_t TaskOptions::integer(std::string_view name) const {
  CHECK(value(name).is_number_integer(), "the option {} is no integer", name);
  return value(name).get<std::int64_t>();
}

double TaskOptions::real(std::string_view name) const {
  return value(name).get<double>();
}

std::string TaskOptions::word(std::string_view name) const {
  return value(name).string();
}

Result<const Task*> find_task(std::string_view name, std::string_view place) {
  std::vector<std::string> names;
  for (const Task* task : all_tasks()) {
    if (task->name == name) return task;
    names.emplace_back(task->name);
  }
  const std::string near = nearest_name(name, names);
  return input_error("{}: there is no task '{}'; {}", place, name,
                     near.empty() ? fmt::format("there are: {}; a file of problems ends in .jsonl", fmt::join(names, ", "))
                                  : fmt::format("did you mean {}?", near));
}

TaskOption long_option(bool has_chain) {
  if (has_chain) {
    return {.name = "long",
            .kind = OptionKind::real,
            .fallback = 1,
            .minimum = 0,
            .maximum = 1,
            .meaning = "Share of the documents that show the chain."};
  }
  return {.name = "long", .kind = OptionKind::real, .meaning = "There is no chain to show."};
}

std::vector<TaskOption> task_options(const Task& task) {
  std::vector<TaskOption> options = task.options;
  options.push_back(long_option(task.has_chain));
  return options;
}

Result<TaskOptions> read_task_options(const Task& task, const Json& given, std::string_view place) {
  const std::string of_task = fmt::format("{}: {}", place, task.name);
  TRY_ASSIGN(TaskOptions options, TaskOptions::read(given, task_options(task), of_task));
  if (task.check != nullptr) {
    if (const auto checked = task.check(options); !checked.ok()) return input_error("{}: {}", of_task, checked.error().message);
  }
  return options;
}

Problem make_problem(const Task& task, const TaskOptions& options, std::uint64_t seed, Split split, std::uint64_t index) {
  CHECK(index < std::uint64_t{1} << 55, "problem {} of {}", index, task.name);
  RandomSequence random(RandomStream(seed, Purpose::task, 2 * index + static_cast<std::uint64_t>(split)));
  return task.make(options, random);
}

bool is_long(double p, std::uint64_t index) {
  CHECK(p >= 0 && p <= 1, "a share of {}", p);
  // p = mantissa · 2^-shift with a mantissa below 2^53, so that products with 64-bit numbers fit 128 bits.
  int exponent = 0;
  __extension__ using Wide = unsigned __int128;
  const auto mantissa = static_cast<Wide>(std::ldexp(std::frexp(p, &exponent), 53));
  const int shift = 53 - exponent;
  if (shift >= 128) return false;  // p < 2^-75: less than one in all that can be asked for
  return ((Wide{index} + 1) * mantissa) >> shift > (Wide{index} * mantissa) >> shift;
}

}  // namespace godwit::data
