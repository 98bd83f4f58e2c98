// A command as the command line knows it: the arguments, options and flags it declares, and where their values go.
//
// The commands' side of CLI11, whose header costs every file that includes it four seconds: app.cc and main.cc alone see it. App and Option
// are handles: copies mean the same thing, and both are good as long as the command line they belong to.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace godwit::cli {

class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option required();
  // What --help calls the value: "FILE.json".
  Option type_name(std::string_view name);
  // --help shows the value the variable has now.
  Option show_default();
  Option one_of(const std::vector<std::string>& names);
  Option between(std::int64_t minimum, std::int64_t maximum);
  // The two cannot be given together.
  Option excludes(Option other);
  // Of a list: one value each time it is given, instead of all that follow.
  Option one_value_each();

 private:
  CLI::Option* option_;
};

class App {
 public:
  explicit App(CLI::App* app) : app_(app) {}

  // `name` is "--text", or "MODEL" for an argument without a name. `value` outlives the parsing and keeps its value if none is given. T is
  // one of the types app.cc lists.
  template <typename T>
  Option add_option(std::string_view name, T& value, std::string_view description);
  Option add_flag(std::string_view name, bool& value, std::string_view description);
  // `given` is called as the flag is parsed.
  Option add_flag(std::string_view name, std::function<void()> given, std::string_view description);

  App add_subcommand(std::string_view name, std::string_view description);
  // Exactly one of them must be named.
  void require_subcommand();
  // This is the command that was named, or one on the way to it.
  [[nodiscard]] bool parsed() const;

 private:
  CLI::App* app_;
};

}  // namespace godwit::cli
