#include "cli/app.h"

#include <CLI/CLI.hpp>
#include <optional>
#include <utility>

namespace godwit::cli {

Option Option::required() {
  option_->required();
  return *this;
}

Option Option::type_name(std::string_view name) {
  option_->type_name(std::string(name));
  return *this;
}

Option Option::show_default() {
  option_->capture_default_str();
  return *this;
}

Option Option::one_of(const std::vector<std::string>& names) {
  option_->check(CLI::IsMember(names));
  return *this;
}

Option Option::between(std::int64_t minimum, std::int64_t maximum) {
  option_->check(CLI::Range(minimum, maximum));
  return *this;
}

Option Option::excludes(Option other) {
  option_->excludes(other.option_);
  return *this;
}

Option Option::one_value_each() {
  option_->allow_extra_args(false);
  return *this;
}

template <typename T>
Option App::add_option(std::string_view name, T& value, std::string_view description) {
  return Option(app_->add_option(std::string(name), value, std::string(description)));
}

template Option App::add_option(std::string_view, int&, std::string_view);
template Option App::add_option(std::string_view, std::int64_t&, std::string_view);
template Option App::add_option(std::string_view, std::uint64_t&, std::string_view);
template Option App::add_option(std::string_view, double&, std::string_view);
template Option App::add_option(std::string_view, std::string&, std::string_view);
template Option App::add_option(std::string_view, std::vector<std::string>&, std::string_view);
template Option App::add_option(std::string_view, std::optional<std::int64_t>&, std::string_view);

Option App::add_flag(std::string_view name, bool& value, std::string_view description) {
  return Option(app_->add_flag(std::string(name), value, std::string(description)));
}

Option App::add_flag(std::string_view name, std::function<void()> given, std::string_view description) {
  return Option(app_->add_flag_callback(std::string(name), std::move(given), std::string(description)));
}

App App::add_subcommand(std::string_view name, std::string_view description) {
  return App(app_->add_subcommand(std::string(name), std::string(description)));
}

void App::require_subcommand() {
  app_->require_subcommand(1);
}

bool App::parsed() const {
  return app_->parsed();
}

}  // namespace godwit::cli
