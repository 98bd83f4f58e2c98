#include "serve/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace godwit::serve {

void Histogram::observe(double value) {
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<std::size_t>(bound - bounds_.begin())];
  ++count_;
  sum_ += value;
}

void MetricsText::open(std::string_view name, std::string_view help, std::string_view type) {
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void MetricsText::counter(std::string_view name, std::string_view help, double value) {
  open(name, help, "counter");
  text_ += fmt::format("{} {}\n", name, value);
}

void MetricsText::gauge(std::string_view name, std::string_view help, double value) {
  open(name, help, "gauge");
  text_ += fmt::format("{} {}\n", name, value);
}

void MetricsText::histogram(std::string_view name, std::string_view help, const Histogram& histogram) {
  open(name, help, "histogram");
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < histogram.bounds_.size(); ++i) {
    below += histogram.counts_[i];
    text_ += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, histogram.bounds_[i], below);
  }
  text_ += fmt::format("{}_bucket{{le=\"+Inf\"}} {}\n{}_sum {}\n{}_count {}\n", name, histogram.count_, name, histogram.sum_, name,
                       histogram.count_);
}

void MetricsText::counters(std::string_view name, std::string_view help, std::string_view label, std::span<const Labelled> values) {
  open(name, help, "counter");
  for (const Labelled& each : values) text_ += fmt::format("{}{{{}=\"{}\"}} {}\n", name, label, each.label, each.value);
}

}  // namespace godwit::serve
