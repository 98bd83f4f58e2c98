#include "train/read_back.h"

#include <algorithm>

#include "store/state.h"

namespace godwit::train {

namespace {

constexpr std::int64_t word = 4;

}  // namespace

Result<void> ReadBack::prepare(device::Device& device, const State& state) {
  program::Builder builder("read_back");
  for (const store::StateTensor& entry : state.list()) {
    const std::int64_t begin = entry.bytes.data() - state.base();
    const std::int64_t offset = begin / GODWIT_ALIGNMENT * GODWIT_ALIGNMENT;
    const std::int64_t words = (begin + static_cast<std::int64_t>(entry.bytes.size()) - offset + word - 1) / word;
    const program::TensorId tensor =
        builder.declare(entry.name, program::Role::state, program::Dtype::i32, {std::max<std::int64_t>(words, 1)});
    places_.push_back({tensor, offset, static_cast<std::size_t>(begin - offset)});
  }
  TRY_ASSIGN(device::Executable made, device.prepare(std::move(builder).finish()));
  pieces_ = std::make_unique<device::Executable>(std::move(made));
  return {};
}

Result<Digest> ReadBack::digest(const State& state, int threads, const std::function<void()>& beat) {
  for (const Piece& piece : places_) pieces_->bind(piece.tensor, state.buffer(), piece.offset);
  std::vector<TensorDigest> digests;
  std::vector<std::byte> copy;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const store::StateTensor& entry = state.list()[i];
    copy.resize(static_cast<std::size_t>(pieces_->program().tensor(places_[i].tensor).type.bytes()));
    TRY(pieces_->read(places_[i].tensor, copy));
    const std::span<std::byte> bytes = std::span(copy).subspan(places_[i].skipped, entry.bytes.size());
    if (spoil_ && !bytes.empty()) {
      bytes[*spoil_ * 0x9E3779B97F4A7C15u % bytes.size()] ^= std::byte{64};
      spoil_.reset();
    }
    std::vector<TensorDigest> one = store::digest_tensors({{entry.name, entry.dtype, entry.shape, bytes}}, threads);
    digests.push_back(std::move(one[0]));
    beat();
  }
  return state_digest(digests);
}

}  // namespace godwit::train
