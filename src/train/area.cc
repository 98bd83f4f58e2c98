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
  std::uint64_t scored = 0;  // samples, each of which has
  std::uint64_t scores = 0;  // so many; behind the samples, after
  std::uint64_t scores_step = 0;
  Digest scores_digest = {};
};

}  // namespace

std::int64_t area_bytes(std::int64_t samples, std::int64_t predictions_max, std::size_t cursor_length, std::int64_t scores) {
  const std::int64_t scored = scores == 0 ? 0 : static_cast<std::int64_t>(sizeof(Digest)) + scores * 8;
  const std::int64_t sample = 16 + (predictions_max + 1) * 4 + predictions_max + scored;
  return static_cast<std::int64_t>(sizeof(Header) + sizeof(Counts) + cursor_length * 8) + samples * sample;
}

void write_area(std::span<std::byte> memory, std::span<const data::Sample> samples, const data::Cursor& cursor,
                const std::optional<Scores>& scores) {
  std::byte* at = memory.data() + sizeof(Header);
  const auto put = [&](const void* from, std::size_t bytes) {
    CHECK(at + bytes <= memory.data() + memory.size(), "an area of {} bytes is too small for {} samples", memory.size(), samples.size());
    if (bytes > 0) std::memcpy(at, from, bytes);
    at += bytes;
  };
  Counts counts{.samples = samples.size(), .cursor = cursor.values.size()};
  if (scores) {
    counts.scored = scores->groups.size();
    counts.scores = scores->groups.empty() ? 0 : scores->groups[0].scores.size();
    counts.scores_step = scores->step;
    counts.scores_digest = scores->digest;
  }
  put(&counts, sizeof counts);
  put(cursor.values.data(), cursor.values.size() * 8);
  for (const data::Sample& sample : samples) {
    const std::uint64_t ids = sample.ids.size();
    put(&ids, sizeof ids);
    put(&sample.index, sizeof sample.index);
    put(sample.ids.data(), sample.ids.size() * 4);
    put(sample.labelled.data(), sample.labelled.size());
  }
  for (std::size_t i = 0; i < counts.scored; ++i) {
    put(&scores->groups[i].completions, sizeof(Digest));
    put(scores->groups[i].scores.data(), counts.scores * 8);
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
  if (counts.scored > 0) {
    area.scores = Scores{.step = counts.scores_step, .digest = counts.scores_digest, .groups = {}};
    for (std::uint64_t i = 0; i < counts.scored; ++i) {
      ScoredGroup& group = area.scores->groups.emplace_back();
      take(&group.completions, sizeof(Digest));
      group.scores.resize(counts.scores);
      take(group.scores.data(), counts.scores * 8);
    }
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
