// What the serving engine runs: the model over rows of many streams, and the head for those whose logits are wanted, each prepared for
// powers of two of rows over one cache.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "device/device.h"
#include "infer/weights.h"
#include "model/model.h"

namespace godwit::infer {

// Rows of one run.
struct Batch {
  struct Row {
    std::int32_t id = 0;
    std::int32_t position = 0;
    std::int32_t slot = 0;    // row of the table
    std::int32_t page = 0;    // where the row's latent goes
    std::int32_t offset = 0;  // within it
  };
  std::vector<Row> rows;  // a stream's in ascending order, and one after the other
  std::vector<std::int32_t> wanted;
};

struct Logits {
  std::vector<float> values, lse;
  std::size_t width = 0;
  [[nodiscard]] std::span<const float> row(std::size_t index) const { return std::span(values).subspan(index * width, width); }
};

// Device, model and weights must outlive it. Not thread-safe.
class EnginePrograms {
 public:
  // `serving`: the most rows of a run.
  [[nodiscard]] static Result<std::unique_ptr<EnginePrograms>> create(device::Device& device, const model::Model& model,
                                                                      const Weights& weights, const model::Serving& serving);
  // Bytes of a page of all caches.
  [[nodiscard]] static std::int64_t page_bytes(const model::Model& model, const model::Serving& serving);

  // Logits of the rows that are wanted, in their order. `table`: the pages of every slot, [streams, blocks].
  [[nodiscard]] Result<Logits> run(const Batch& batch, std::span<const std::int32_t> table);

  // The programs prepared so far, for whoever reads their ops' times.
  [[nodiscard]] std::vector<const device::Executable*> executables() const;

 private:
  EnginePrograms(device::Device& device, const model::Model& model, const Weights& weights, const model::Serving& serving)
      : device_(device), model_(model), weights_(weights), serving_(serving) {}
  [[nodiscard]] Result<void> allocate();
  [[nodiscard]] Result<device::Executable> prepare(program::Program program, const std::vector<model::Constant>& constants = {});
  [[nodiscard]] Result<device::Executable*> serving(std::int64_t rows);
  [[nodiscard]] Result<device::Executable*> head(std::int64_t wanted);

  device::Device& device_;
  const model::Model& model_;
  const Weights& weights_;
  model::Serving serving_;
  device::Buffer buffer_;                        // caches, constants, hidden rows
  std::map<std::string, std::int64_t> offsets_;  // in it, by tensor
  std::map<std::int64_t, device::Executable> serving_programs_, heads_;
};

}  // namespace godwit::infer
