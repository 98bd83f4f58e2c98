// The state of a training run in memory: what a committed step leaves, and nothing else.
//
// A state is one piece of memory: weights and moments, the scalars and the cursor, and behind them the hashes of all that, block by block,
// as whoever made the state took them. Processes share states by sharing that memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "data/dataset.h"
#include "device/device.h"
#include "model/model.h"
#include "store/state.h"

namespace godwit::train {

// The scalars of the state list, named "run.<member>" there.
struct RunScalars {
  std::uint64_t step = 0;              // committed steps
  std::uint64_t tokens = 0;            // predictions trained on
  std::uint64_t skipped = 0;           // steps whose batch was left out (train/judge.h)
  std::uint64_t skipped_in_a_row = 0;  // up to now
  double loss_mean = 0;                // running mean of the loss, and of its distance from that
  double loss_deviation = 0;
};

// Where everything lies in a state's memory.
class StateLayout {
 public:
  // `copies`: prefixes of names ("old."); for each, every weight has a copy that the optimizer does not touch.
  StateLayout(const model::Model& model, std::size_t cursor_length, std::vector<std::string> copies = {});

  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  // Offsets by parameter; the moments of a parameter that has none are -1.
  struct Place {
    std::int64_t weight = -1, m = -1, v = -1;
  };
  [[nodiscard]] const std::vector<Place>& places() const { return places_; }
  // Offsets of the weights, or of their copies, by the parameter's name.
  [[nodiscard]] std::unordered_map<std::string, std::int64_t> weights(const std::string& prefix = "") const;
  [[nodiscard]] const std::vector<std::string>& copies() const { return copies_; }
  [[nodiscard]] const std::string& name(std::size_t parameter) const { return names_[parameter]; }

  // The state list over memory of bytes() that begins at `base`. Does not touch it.
  [[nodiscard]] store::StateList list(std::byte* base) const;
  [[nodiscard]] RunScalars& scalars(std::byte* base) const { return *reinterpret_cast<RunScalars*>(base + scalars_); }
  [[nodiscard]] std::span<std::uint64_t> cursor(std::byte* base) const {
    return {reinterpret_cast<std::uint64_t*>(base + cursor_), cursor_length_};
  }
  [[nodiscard]] std::span<BlockHash> hashes(std::byte* base) const { return {reinterpret_cast<BlockHash*>(base + hashes_), hash_count_}; }

 private:
  struct Entry {
    std::string name;
    std::string dtype;
    std::vector<std::uint64_t> shape;
    std::int64_t offset;
    std::size_t bytes;
  };
  std::vector<Entry> entries_;
  std::vector<Place> places_;
  std::vector<std::string> names_;   // of the parameters
  std::vector<std::string> copies_;  // prefixes; their offsets, by parameter, one prefix after another:
  std::vector<std::int64_t> copy_places_;
  std::size_t cursor_length_;
  std::int64_t scalars_ = 0, cursor_ = 0, hashes_ = 0, bytes_ = 0;
  std::size_t hash_count_ = 0;
};

// A state in memory that a device computes in.
class State {
 public:
  // In memory of its own, all zero. The device must address host memory.
  [[nodiscard]] static Result<std::unique_ptr<State>> create(device::Device& device, const model::Model& model, std::size_t cursor_length,
                                                             const std::vector<std::string>& copies = {});
  // In the caller's memory of layout.bytes(), as it is.
  [[nodiscard]] static Result<std::unique_ptr<State>> over(device::Device& device, const model::Model& model, const StateLayout& layout,
                                                           std::byte* base);

  [[nodiscard]] const store::StateList& list() const { return list_; }
  [[nodiscard]] RunScalars& scalars() { return layout_.scalars(base_); }
  [[nodiscard]] data::Cursor cursor() const;
  void set_cursor(const data::Cursor& cursor);
  [[nodiscard]] const device::Buffer& buffer() const { return buffer_; }
  [[nodiscard]] const std::vector<StateLayout::Place>& places() const { return layout_.places(); }
  [[nodiscard]] std::span<float> weight(std::size_t parameter);
  // Every weight is copied where its copies of this prefix lie in `to`, which may be this state.
  void copy_weights(const std::string& prefix, State& to) const;

  // Takes the hashes of all blocks and keeps them behind the state.
  void hash(int threads);
  // The digests of the tensors and of the whole, by those hashes.
  [[nodiscard]] std::vector<TensorDigest> digests() const;
  [[nodiscard]] const StateLayout& layout() const { return layout_; }
  [[nodiscard]] std::byte* base() const { return base_; }

 private:
  State(const model::Model& model, const StateLayout& layout, device::Buffer buffer, std::byte* base);
  StateLayout layout_;
  std::byte* base_;
  device::Buffer buffer_;
  std::vector<std::int64_t> counts_;
  store::StateList list_;
};

// Digests of the tensors of a list from the hashes of all their blocks.
[[nodiscard]] std::vector<TensorDigest> digests_of(const store::StateList& list, std::span<const BlockHash> hashes);

}  // namespace godwit::train
