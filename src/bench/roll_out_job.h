// Many short answers of a very small model, as reinforcement learning asks for them, by the generator it uses.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bench/bench.h"
#include "infer/generator.h"
#include "infer/weights.h"
#include "model/deepseek_v3_config.h"
#include "model/model.h"

namespace godwit::bench {

// The model of examples/parity with random weights, on some devices that share the streams, as workers do.
class RollOutModel {
 public:
  static constexpr std::int64_t streams = 512;
  static constexpr std::int64_t prompt_tokens = 17;
  static constexpr std::int64_t new_tokens = 20;

  // So many devices with these options each.
  [[nodiscard]] static Result<std::unique_ptr<RollOutModel>> open(const device::DeviceOptions& device, int devices);

  struct Figures {
    double seconds = 0;     // until all streams have their answers: the median
    std::size_t times = 0;  // of so many times, after the first
    std::optional<OpTable> ops;  // of a single device opened with `profile`
  };
  // One answer for each stream, `group` of them to a prompt, again and again for about `seconds`.
  [[nodiscard]] Result<Figures> answer(Context& context, std::int64_t group, double seconds);
  // Floating-point operations of a new token; those of its prompt, which is read once for its group, are spread over its answers' tokens.
  [[nodiscard]] double flops_per_token(std::int64_t group) const;

 private:
  struct Seat {
    std::unique_ptr<device::Device> device;
    infer::Weights weights;
  };

  RollOutModel() = default;

  std::unique_ptr<model::Model> model_;
  std::vector<Seat> seats_;
  model::DeepseekV3Config config_;
  bool profile_ = false;
};

}  // namespace godwit::bench
