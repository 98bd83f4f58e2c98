#include "train/state.h"

#include <algorithm>
#include <cstring>

namespace godwit::train {

namespace {

using model::Parameter;

// The layout: every parameter's weight, m, v one after the other.
std::vector<State::Place> layout(const model::Model& model, std::int64_t& total) {
  std::vector<State::Place> places;
  total = 0;
  const auto take = [&](const Parameter& p) {
    const std::int64_t at = total;
    total += device::aligned(p.shape.count() * 4);
    return at;
  };
  for (const Parameter& p : model.parameters()) {
    State::Place place;
    place.weight = take(p);
    if (p.kind == Parameter::Kind::trained) {
      place.m = take(p);
      place.v = take(p);
    }
    places.push_back(place);
  }
  return places;
}

}  // namespace

std::int64_t State::bytes(const model::Model& model) {
  std::int64_t total = 0;
  layout(model, total);
  return total;
}

Result<std::unique_ptr<State>> State::create(device::Device& device, const model::Model& model, std::size_t cursor_length) {
  auto state = std::unique_ptr<State>(new State);
  std::int64_t total = 0;
  state->places_ = layout(model, total);
  TRY_ASSIGN(state->buffer_, device.allocate(total));
  std::byte* base = state->buffer_.host();
  if (base == nullptr) return world_error("device {}: the state of a run must lie in memory the host can address", device.name());
  std::memset(base, 0, static_cast<std::size_t>(total));
  state->cursor_.values.assign(cursor_length, 0);

  const auto tensor = [&](const std::string& name, const Parameter& p, std::int64_t offset) {
    std::vector<std::uint64_t> shape;
    for (int axis = 0; axis < p.shape.rank(); ++axis) shape.push_back(static_cast<std::uint64_t>(p.shape[axis]));
    state->list_.push_back({name, "F32", shape, std::span(base + offset, static_cast<std::size_t>(p.shape.count()) * 4)});
  };
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const Parameter& p = model.parameters()[i];
    state->counts_.push_back(p.shape.count());
    tensor(p.name, p, state->places_[i].weight);
    if (state->places_[i].m < 0) continue;
    tensor("adam.m." + p.name, p, state->places_[i].m);
    tensor("adam.v." + p.name, p, state->places_[i].v);
  }
  const auto scalar = [&](const std::string& name, const std::string& dtype, auto& value) {
    state->list_.push_back({name, dtype, {}, std::as_writable_bytes(std::span(&value, 1))});
  };
  scalar("run.step", "U64", state->scalars.step);
  scalar("run.tokens", "U64", state->scalars.tokens);
  state->list_.push_back({"run.cursor", "U64", {cursor_length}, std::as_writable_bytes(std::span(state->cursor_.values))});
  return state;
}

void State::set_cursor(const data::Cursor& cursor) {
  CHECK(cursor.values.size() == cursor_.values.size(), "a cursor of {} numbers became one of {}", cursor_.values.size(),
        cursor.values.size());
  std::copy(cursor.values.begin(), cursor.values.end(), cursor_.values.begin());
}

std::span<float> State::weight(std::size_t parameter) {
  return {reinterpret_cast<float*>(buffer_.host() + places_[parameter].weight), static_cast<std::size_t>(counts_[parameter])};
}

}  // namespace godwit::train
