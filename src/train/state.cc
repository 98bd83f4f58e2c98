#include "train/state.h"

#include <algorithm>
#include <cstring>

namespace godwit::train {

namespace {

using model::Parameter;

std::size_t blocks_of(std::size_t bytes) {
  return (bytes + digest_block_bytes - 1) / digest_block_bytes;
}

}  // namespace

StateLayout::StateLayout(const model::Model& model, std::size_t cursor_length, std::vector<std::string> copies)
    : copies_(std::move(copies)), cursor_length_(cursor_length) {
  const auto take = [&](std::size_t bytes) {
    const std::int64_t at = bytes_;
    bytes_ += device::aligned(static_cast<std::int64_t>(bytes));
    return at;
  };
  const auto add = [&](std::string name, const char* dtype, std::vector<std::uint64_t> shape, std::int64_t offset, std::size_t bytes) {
    entries_.push_back({std::move(name), dtype, std::move(shape), offset, bytes});
    hash_count_ += blocks_of(bytes);
  };
  const auto tensor = [&](const Parameter& p, const std::string& name) {
    std::vector<std::uint64_t> shape;
    for (int axis = 0; axis < p.shape.rank(); ++axis) shape.push_back(static_cast<std::uint64_t>(p.shape[axis]));
    const std::size_t bytes = static_cast<std::size_t>(p.shape.count()) * 4;
    const std::int64_t at = take(bytes);
    add(name, "F32", std::move(shape), at, bytes);
    return at;
  };
  for (const Parameter& p : model.parameters()) {
    Place place;
    place.weight = tensor(p, p.name);
    if (p.kind == Parameter::Kind::trained) {
      place.m = tensor(p, "adam.m." + p.name);
      place.v = tensor(p, "adam.v." + p.name);
    }
    places_.push_back(place);
    names_.push_back(p.name);
  }
  for (const std::string& prefix : copies_) {
    for (const Parameter& p : model.parameters()) copy_places_.push_back(tensor(p, prefix + p.name));
  }
  scalars_ = take(sizeof(RunScalars));
  const auto scalar = [&](const char* name, const char* dtype, std::size_t member) {
    add(std::string("run.") + name, dtype, {}, scalars_ + static_cast<std::int64_t>(member), 8);
  };
  scalar("step", "U64", offsetof(RunScalars, step));
  scalar("tokens", "U64", offsetof(RunScalars, tokens));
  scalar("skipped", "U64", offsetof(RunScalars, skipped));
  scalar("skipped_in_a_row", "U64", offsetof(RunScalars, skipped_in_a_row));
  scalar("loss_mean", "F64", offsetof(RunScalars, loss_mean));
  scalar("loss_deviation", "F64", offsetof(RunScalars, loss_deviation));
  cursor_ = take(cursor_length * sizeof(std::uint64_t));
  add("run.cursor", "U64", {cursor_length}, cursor_, cursor_length * sizeof(std::uint64_t));
  hashes_ = take(hash_count_ * sizeof(BlockHash));
}

std::unordered_map<std::string, std::int64_t> StateLayout::weights(const std::string& prefix) const {
  std::unordered_map<std::string, std::int64_t> offsets;
  const auto copy = std::ranges::find(copies_, prefix) - copies_.begin();
  CHECK(prefix.empty() || copy < std::ssize(copies_), "the state has no copies named {}", prefix);
  for (std::size_t i = 0; i < places_.size(); ++i) {
    offsets.emplace(names_[i], prefix.empty() ? places_[i].weight : copy_places_[static_cast<std::size_t>(copy) * places_.size() + i]);
  }
  return offsets;
}

store::StateList StateLayout::list(std::byte* base) const {
  store::StateList list;
  for (const Entry& entry : entries_) list.push_back({entry.name, entry.dtype, entry.shape, std::span(base + entry.offset, entry.bytes)});
  return list;
}

State::State(const model::Model& model, const StateLayout& layout, device::Buffer buffer, std::byte* base)
    : layout_(layout), base_(base), buffer_(std::move(buffer)), list_(layout.list(base)) {
  for (const Parameter& p : model.parameters()) counts_.push_back(p.shape.count());
}

Result<std::unique_ptr<State>> State::create(device::Device& device, const model::Model& model, std::size_t cursor_length,
                                             const std::vector<std::string>& copies) {
  const StateLayout layout(model, cursor_length, copies);
  TRY_ASSIGN(device::Buffer buffer, device.allocate_shared(layout.bytes()));
  std::byte* base = buffer.host();
  std::memset(base, 0, static_cast<std::size_t>(layout.bytes()));
  return std::unique_ptr<State>(new State(model, layout, std::move(buffer), base));
}

Result<std::unique_ptr<State>> State::over(device::Device& device, const model::Model& model, const StateLayout& layout, std::byte* base) {
  TRY_ASSIGN(device::Buffer buffer, device.wrap(base, layout.bytes()));
  return std::unique_ptr<State>(new State(model, layout, std::move(buffer), base));
}

data::Cursor State::cursor() const {
  const std::span<std::uint64_t> values = layout_.cursor(base_);
  return {{values.begin(), values.end()}};
}

void State::set_cursor(const data::Cursor& cursor) {
  const std::span<std::uint64_t> values = layout_.cursor(base_);
  CHECK(cursor.values.size() == values.size(), "a cursor of {} numbers became one of {}", values.size(), cursor.values.size());
  std::ranges::copy(cursor.values, values.begin());
}

std::span<float> State::weight(std::size_t parameter) {
  return {reinterpret_cast<float*>(base_ + places()[parameter].weight), static_cast<std::size_t>(counts_[parameter])};
}

void State::copy_weights(const std::string& prefix, State& to) const {
  const std::unordered_map<std::string, std::int64_t> from = layout_.weights(), copies = layout_.weights(prefix);
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const std::string& name = layout_.name(i);
    std::memcpy(to.base_ + copies.at(name), base_ + from.at(name), static_cast<std::size_t>(counts_[i]) * sizeof(float));
  }
}

void State::hash(int threads) {
  const std::span<BlockHash> hashes = layout_.hashes(base_);
  std::size_t at = 0;
  for (const TensorDigest& tensor : store::digest_tensors(list_, threads)) {
    std::ranges::copy(tensor.blocks, hashes.begin() + static_cast<std::ptrdiff_t>(at));
    at += tensor.blocks.size();
  }
}

std::vector<TensorDigest> State::digests() const {
  return digests_of(list_, layout_.hashes(base_));
}

std::vector<TensorDigest> digests_of(const store::StateList& list, std::span<const BlockHash> hashes) {
  std::vector<TensorDigest> digests;
  for (const store::StateTensor& tensor : list) {
    const std::span<const BlockHash> own = hashes.first(blocks_of(tensor.bytes.size()));
    hashes = hashes.subspan(own.size());
    digests.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.bytes.size(), {own.begin(), own.end()}});
  }
  return digests;
}

}  // namespace godwit::train
