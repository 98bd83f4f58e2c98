// Figures of the server in Prometheus' text form.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::serve {

class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}
  void observe(double value);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

 private:
  friend class MetricsText;
  std::span<const double> bounds_;
  std::vector<std::uint64_t> counts_;  // between bounds; the last is beyond all
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

inline constexpr std::array latency_bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,   0.25, 0.5,
                                           1.0,   2.5,    5.0,   10.0, 30.0,  60.0, 120.0, 300.0};
inline constexpr std::array prompt_bounds{0.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0};
inline constexpr std::array batch_bounds{1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0};

// Builds one page: a help and type line for each, then its values.
class MetricsText {
 public:
  void counter(std::string_view name, std::string_view help, double value);
  void gauge(std::string_view name, std::string_view help, double value);
  void histogram(std::string_view name, std::string_view help, const Histogram& histogram);
  // A counter by one label.
  struct Labelled {
    std::string label;
    std::uint64_t value;
  };
  void counters(std::string_view name, std::string_view help, std::string_view label, std::span<const Labelled> values);
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void open(std::string_view name, std::string_view help, std::string_view type);
  std::string text_;
};

}  // namespace godwit::serve
