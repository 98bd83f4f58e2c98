// Ops one at a time on a device that checks its results, with results spoilt on purpose (godwit_spoil): is everything harmful found, and
// nothing doubted that is right? For the bench that counts and for the test that must fail.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"
#include "program/fill.h"

namespace godwit::bench {

// Harmful: a sum differs by more than this part of its row's root mean square (RELIABILITY.md, G2).
inline constexpr double harmful_part = 0.1;
// Less than this harms nothing: what is left of a row of zeros after subnormals.
inline constexpr double harmless = 1e-30;

inline constexpr int spoil_kinds = 9;
[[nodiscard]] std::string_view spoil_kind_name(int kind);

// One op with one example of shapes, in one of the ways its weight may come.
class InjectionCase {
 public:
  enum class Weight : std::uint8_t { input, state };
  static Result<std::unique_ptr<InjectionCase>> prepare(device::Device& device, const program::Op& op, const program::Example& example,
                                                        Weight weight, bool rounded);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::string_view op() const { return op_->name; }
  // New inputs, and whatever the outputs hold is replaced by numbers of their size.
  [[nodiscard]] Result<void> fill(std::uint64_t seed);
  [[nodiscard]] Result<void> clobber(std::uint64_t seed);

  struct Outcome {
    bool injected = false;
    bool harmful = false;
    godwit_spoilt spoilt{};
    std::int64_t findings = 0;
    device::Finding first;  // of them
  };
  [[nodiscard]] Result<Outcome> run(const godwit_spoil* spoil);
  // Only runs it, and says how long that took.
  [[nodiscard]] Result<double> time();
  // The same of packing its weight.
  [[nodiscard]] Result<double> time_refresh();

 private:
  InjectionCase() = default;
  device::Device* device_ = nullptr;
  const program::Op* op_ = nullptr;
  program::Example example_;
  std::string text_;
  std::vector<program::TensorType> output_types_;
  std::vector<program::TensorId> written_;
  std::vector<program::TensorId> outputs_;
  std::vector<device::Buffer> states_;
  std::unique_ptr<device::Executable> executable_;
};

// Every case of the ops whose results can be spoilt, of a dtype ("f32", "bf16"; empty: both), none more costly than `flops_most`.
[[nodiscard]] Result<std::vector<std::unique_ptr<InjectionCase>>> injection_cases(device::Device& device, std::string_view dtype,
                                                                                  double flops_most);
// Names of the ops they are of.
[[nodiscard]] std::vector<std::string_view> spoilt_ops();

}  // namespace godwit::bench
