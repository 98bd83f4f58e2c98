// A command of the command line: one file in commands/ each, and nothing else to edit.
//
// src/cli/commands/NAME.cc defines `extern const Command NAME; const Command NAME{…}` in namespace godwit::cli; the build collects the
// folder into all_commands(). Where the command's name is a C++ keyword, file and variable are NAME_… and `name` says how it is called:
//
//     struct Options {
//       std::string run;
//       bool json = false;
//       ComputeOptions compute;
//     };
//
//     Result<int> run_status(const Options& options) {
//       TRY_ASSIGN(…);
//       TRY(print("…\n"));                   // results: standard output, by print and print_json of common.h alone
//       return exit_finished;                // an error's kind becomes its exit code, its message "godwit: …" on standard error
//     }
//
//     extern const Command status;
//     const Command status{
//         .name = "status",
//         .summary = "What a run is doing.",
//         .declare = [](App app) -> CommandBody {
//           auto options = std::make_shared<Options>();
//           app.add_option("RUN", options->run, "Run directory").required();
//           app.add_flag("--json", options->json, "Print one JSON document");
//           declare_compute(app, options->compute);
//           return [options] { return run_status(*options); };
//         },
//     };
//
// --help and --version are added to every command. Sub-subcommands (tokenizer train) are `app.add_subcommand`; see tokenizer.cc. Progress:
// progress.h. Being stopped by signals: interrupts in common.h.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "cli/app.h"

namespace godwit::cli {

// The exit codes users' scripts rely on.
inline constexpr int exit_finished = 0;
inline constexpr int exit_other = 1;
inline constexpr int exit_input = 2;
inline constexpr int exit_differs = 3;
inline constexpr int exit_stopped = 75;
[[nodiscard]] int exit_code(ErrorKind kind);

// What a command does once its line was parsed; returns the exit code.
using CommandBody = std::function<Result<int>()>;

struct Command {
  std::string_view name;
  std::string_view summary;  // one sentence for --help
  // Declares arguments and options on `app`, which outlives the body, and returns the body.
  CommandBody (*declare)(App app);
  bool hidden = false;  // started by godwit itself, not by people
};

[[nodiscard]] std::span<const Command* const> all_commands();

}  // namespace godwit::cli
