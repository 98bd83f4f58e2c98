// What the serving engine runs: the model over rows of many streams, the head for those whose logits are wanted, and the MTP layer that
// guesses, each prepared for powers of two of rows over one cache.
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
    std::int32_t source = 0;  // of a guess: the row it stands behind, of the last run, or from `guessed_rows` on of the last guess
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
  // `serving`: the most rows of a run. With `guesses` the model has an MTP layer, and the weights hold it.
  [[nodiscard]] static Result<std::unique_ptr<EnginePrograms>> create(device::Device& device, const model::Model& model,
                                                                      const Weights& weights, const model::Serving& serving, bool guesses);
  // Bytes of a page of all caches.
  [[nodiscard]] static std::int64_t page_bytes(const model::Model& model, const model::Serving& serving, bool guesses);

  // Prepares the programs of every size, with logits of at most `wanted` rows.
  [[nodiscard]] Result<void> prepare_all(std::int64_t wanted);
  // Copies rows [first, first + count) of a page to the same rows of another one, in all caches.
  [[nodiscard]] Result<void> copy_rows(std::int32_t from, std::int32_t to, std::int64_t first, std::int64_t count);
  // Logits of the rows that are wanted, in their order. `table`: the pages of every slot, [streams, blocks].
  [[nodiscard]] Result<Logits> run(const Batch& batch, std::span<const std::int32_t> table);
  // The same one token further ahead, of rows that have been run: a row's id is the one behind it.
  [[nodiscard]] Result<Logits> guess(const Batch& batch, std::span<const std::int32_t> table);
  // Where the rows of the last guess begin, for guesses behind them.
  [[nodiscard]] std::int32_t guessed_rows() const { return static_cast<std::int32_t>(hidden_rows_); }

  // The programs prepared so far, for whoever reads their ops' times.
  [[nodiscard]] std::vector<const device::Executable*> executables() const;

 private:
  EnginePrograms(device::Device& device, const model::Model& model, const Weights& weights, const model::Serving& serving, bool guesses)
      : device_(device), model_(model), weights_(weights), serving_(serving), guesses_(guesses) {}
  [[nodiscard]] Result<void> allocate();
  [[nodiscard]] Result<device::Executable> prepare(program::Program program, const std::vector<model::Constant>& constants = {});
  using Programs = std::map<std::int64_t, device::Executable>;  // by rows
  // The program of that many rows, made where it is missing.
  template <typename Make>
  [[nodiscard]] Result<device::Executable*> program(Programs& programs, std::int64_t rows, const Make& make);
  [[nodiscard]] Result<device::Executable*> serving(std::int64_t rows);
  [[nodiscard]] Result<device::Executable*> guessing(std::int64_t rows);
  [[nodiscard]] Result<device::Executable*> head(std::int64_t wanted);
  // The rows' inputs but for a guess's source.
  [[nodiscard]] static Result<void> write_rows(device::Executable& executable, const Batch& batch, std::span<const std::int32_t> table);
  // Logits of these rows of the hidden ones.
  [[nodiscard]] Result<Logits> logits(std::vector<std::int32_t> wanted);

  device::Device& device_;
  const model::Model& model_;
  const Weights& weights_;
  model::Serving serving_;
  bool guesses_;
  std::int64_t hidden_rows_ = 0;                 // of a run; as many of a guess follow
  device::Buffer buffer_;                        // caches, constants, hidden rows
  std::map<std::string, std::int64_t> offsets_;  // in it, by tensor
  struct Cache {
    std::int64_t offset = 0;
    std::int64_t row_bytes = 0;
  };
  std::vector<Cache> caches_;
  Programs servings_, guessings_, heads_;
};

}  // namespace godwit::infer
