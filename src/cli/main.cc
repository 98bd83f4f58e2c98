#include "cli/main.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/config.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/common.h"

namespace godwit::cli {
namespace {

// Not through the log: a command that fails says why even if it was told to be quiet, and its log file has its own way to say it.
void say_error(std::string_view message) {
  std::fflush(stdout);
  std::fputs(fmt::format("godwit: {}\n", message).c_str(), stderr);
}

// The innermost command that was named.
const CLI::App& innermost(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : innermost(*parsed.front());
}

// "godwit tokenizer train"
std::string full_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : full_name(*app.get_parent()) + " " + app.get_name();
}

std::vector<std::string> subcommand_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) names.push_back(sub->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string suggestion(std::string_view name, const std::vector<std::string>& known) {
  const std::string near = nearest_name(name, known);
  return near.empty() ? std::string() : fmt::format("; did you mean {}?", near);
}

// What is wrong with a command line that did not parse. What nobody asked for comes first: an option that is misspelt often leaves a
// required one missing.
std::string usage_message(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App& app = innermost(root);
  const std::string help = fmt::format("see: {} --help", full_name(app));
  const std::vector<std::string> extras = root.remaining(true);
  const std::vector<std::string> subcommands = subcommand_names(app);
  if (!extras.empty()) {
    const std::string& extra = extras.front();
    if (extra.size() > 1 && extra.starts_with('-')) {
      const std::string name = extra.substr(0, extra.find('='));
      return fmt::format("{} has no option {}{}; {}", full_name(app), name, suggestion(name, option_names(app)), help);
    }
    if (!subcommands.empty()) {
      return fmt::format("there is no command '{} {}'{}; {}", full_name(app), extra, suggestion(extra, subcommands), help);
    }
    return fmt::format("'{}' is one argument too many for {}; {}", extra, full_name(app), help);
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !subcommands.empty()) {
    return fmt::format("{} needs a command: {}; {}", full_name(app), fmt::join(subcommands, ", "), help);
  }
  std::string what = error.what();
  if (const std::string_view prefix = "Could not convert: "; what.starts_with(prefix)) {
    what = what.substr(prefix.size()) + " is not of the kind the option takes";
  }
  return fmt::format("{}; {}", what, help);
}

void prepare(CLI::App& app) {
  app.set_help_flag("-h,--help", "Print this and leave");
  app.set_version_flag(
      "--version", [] { return fmt::format("godwit {}", version); }, "Print the version and leave");
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  app.get_formatter()->label("SUBCOMMANDS", "COMMANDS");
  app.get_formatter()->column_width(34);
  for (CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    sub->group("Commands");
    prepare(*sub);
  }
}

// Help, version and whatever is wrong with the line end here.
int not_parsed(const CLI::App& root, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::CallForHelp*>(&error) != nullptr) {
    const CLI::App& app = innermost(root);
    const std::string above = app.get_parent() == nullptr ? "" : full_name(*app.get_parent());
    return print(app.help(above)).ok() ? exit_finished : exit_other;
  }
  if (dynamic_cast<const CLI::CallForVersion*>(&error) != nullptr) {
    return print(fmt::format("{}\n", error.what())).ok() ? exit_finished : exit_other;
  }
  say_error(usage_message(root, error));
  return exit_input;
}

int run(int argc, const char* const* argv) {
  CLI::App root("Trains and serves DeepSeek-style models on chips you cannot count on, and always finishes the run.", "godwit");
  root.require_subcommand(1);
  std::vector<std::pair<CLI::App*, CommandBody>> bodies;
  for (const Command* command : all_commands()) {
    CLI::App* app = root.add_subcommand(std::string(command->name), std::string(command->summary));
    bodies.emplace_back(app, command->declare(App(app)));
  }
  prepare(root);
  for (const Command* command : all_commands()) {
    if (command->hidden) root.get_subcommand(std::string(command->name))->group("");
  }
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return not_parsed(root, error);
  }
  const auto chosen = std::ranges::find_if(bodies, [](const auto& entry) { return entry.first->parsed(); });
  CHECK(chosen != bodies.end(), "the command line parsed, but names no command");
  const Result<int> result = chosen->second();
  if (result.ok()) return *result;
  if (!reader_left()) say_error(result.error().message);
  return exit_code(result.error().kind);
}

}  // namespace

int main(int argc, const char* const* argv) {
  // A reader that leaves (head), or a log pipe that breaks, must be an error of the write, not the end of a run.
  std::signal(SIGPIPE, SIG_IGN);
  set_log_quiet(false);
  begin_output();
  int code = exit_other;
  try {
    code = run(argc, argv);
  } catch (const std::bad_alloc&) {
    say_error("not enough memory");
  } catch (const std::exception& error) {
    say_error(error.what());
  }
  if (const auto flushed = flush_output(); !flushed.ok() && code == exit_finished) {
    if (!reader_left()) say_error(flushed.error().message);
    code = exit_other;
  }
  return code;
}

}  // namespace godwit::cli
