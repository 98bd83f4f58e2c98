#include "train/area.h"

#include <cstring>

#include "store/state.h"

namespace godwit::train {

namespace {

struct Header {
  BlockHash hash;           // of what follows the header:
  std::uint64_t bytes = 0;  // so many
};

struct Counts {  // first of what follows
  std::uint64_t samples = 0;
  std::uint64_t cursor = 0;
};

}  // namespace

std::int64_t area_bytes(std::int64_t samples, std::int64_t predictions_max, std::size_t cursor_length) {
  const std::int64_t sample = 16 + (predictions_max + 1) * 4 + predictions_max;
  return static_cast<std::int64_t>(sizeof(Header) + sizeof(Counts) + cursor_length * 8) + samples * sample;
}

void write_area(std::span<std::byte> memory, std::span<const data::Sample> samples, const data::Cursor& cursor) {
  std::byte* at = memory.data() + sizeof(Header);
  const auto put = [&](const void* from, std::size_t bytes) {
    CHECK(at + bytes <= memory.data() + memory.size(), "an area of {} bytes is too small for {} samples", memory.size(), samples.size());
    if (bytes > 0) std::memcpy(at, from, bytes);
    at += bytes;
  };
  const Counts counts{samples.size(), cursor.values.size()};
  put(&counts, sizeof counts);
  put(cursor.values.data(), cursor.values.size() * 8);
  for (const data::Sample& sample : samples) {
    const std::uint64_t ids = sample.ids.size();
    put(&ids, sizeof ids);
    put(&sample.index, sizeof sample.index);
    put(sample.ids.data(), sample.ids.size() * 4);
    put(sample.labelled.data(), sample.labelled.size());
  }
  Header header;
  header.bytes = static_cast<std::uint64_t>(at - memory.data()) - sizeof(Header);
  header.hash = checksum(memory.subspan(sizeof(Header), header.bytes), 1);
  std::memcpy(memory.data(), &header, sizeof header);
}

Result<Area> read_area(std::span<const std::byte> memory) {
  Header header;
  std::memcpy(&header, memory.data(), sizeof header);
  const Error damaged = world_error("the samples in shared memory are not what was written there");
  if (header.bytes > memory.size() - sizeof header) return damaged;
  const std::span<const std::byte> content = memory.subspan(sizeof header, header.bytes);
  if (!(checksum(content, 1) == header.hash)) return damaged;
  // The hash holds, so the content is what write_area made, and its sizes fit.
  Area area;
  const std::byte* at = content.data();
  const auto take = [&](void* to, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, at, bytes);
    at += bytes;
  };
  Counts counts;
  take(&counts, sizeof counts);
  area.cursor.values.resize(counts.cursor);
  take(area.cursor.values.data(), counts.cursor * 8);
  for (std::uint64_t i = 0; i < counts.samples; ++i) {
    std::uint64_t ids = 0;
    take(&ids, sizeof ids);
    data::Sample sample;
    take(&sample.index, sizeof sample.index);
    sample.ids.resize(ids);
    sample.labelled.resize(ids == 0 ? 0 : ids - 1);
    take(sample.ids.data(), ids * 4);
    take(sample.labelled.data(), sample.labelled.size());
    area.samples.push_back(std::move(sample));
  }
  area.counts = count_labels(area.samples);
  return area;
}

BlockHash checksum(std::span<const std::byte> bytes, int threads) {
  // A list of one tensor is hashed block by block over the threads.
  const store::StateList list = {{"", "U8", {bytes.size()}, {const_cast<std::byte*>(bytes.data()), bytes.size()}}};
  std::vector<BlockHash> hashes = std::move(store::digest_tensors(list, threads)[0].blocks);
  while (hashes.size() != 1) hashes = hash_blocks(std::as_bytes(std::span(hashes)));
  return hashes[0];
}

}  // namespace godwit::train
