// What could go wrong: a damaged checkpoint is loaded, a good one is refused or lost, a full disk takes the last good one with it.
#include "store/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "model/family.h"
#include "store/safetensors.h"
#include "store/test_directory.h"

namespace godwit::store {
namespace {

using testing::HasSubstr;
using Steps = std::vector<std::uint64_t>;

// A small state with everything a run's has: scalars, two blocks and a bit, an empty tensor. `seed` makes another content.
class Memory {
 public:
  explicit Memory(std::uint64_t seed, std::uint64_t width = 40) {
    const auto add = [&](std::string name, std::string dtype, std::vector<std::uint64_t> shape, std::uint64_t bytes) {
      auto& content = bytes_.emplace_back(bytes);
      for (std::size_t i = 0; i < bytes; ++i) content[i] = static_cast<std::byte>((i + 1) * (seed * 2 + 1) * 2654435761u >> 9);
      list.push_back({std::move(name), std::move(dtype), std::move(shape), content});
    };
    bytes_.reserve(6);
    add("model.embed_tokens.weight", "F32", {width, 8}, width * 32);
    add("adam.m.model.embed_tokens.weight", "F32", {width, 8}, width * 32);
    add("empty", "F32", {0, 3}, 0);
    add("run.step", "U64", {}, 8);
    add("run.best_validation_loss", "F64", {}, 8);
    add("run.cursor", "U64", {5}, 40);
  }
  std::vector<TensorDigest> digests() const { return digest_tensors(list, 1); }
  Digest digest() const { return digest_state(list, 1); }
  StateList list;

 private:
  std::vector<std::vector<std::byte>> bytes_;
};

Result<void> write(const fs::path& root, std::uint64_t step, const Memory& memory) {
  return write_checkpoint(root, step, memory.list, memory.digests(), "exact/1");
}

// Whether memory of seed `seed` is what a checkpoint gives back.
testing::AssertionResult loads(const fs::path& root, std::uint64_t step, const Memory& expected, Memory memory = Memory(99)) {
  const auto info = load_checkpoint(root, step, memory.list);
  if (!info.ok()) return testing::AssertionFailure() << info.error().message;
  if (info->step != step || info->profile != "exact/1" || info->digest != expected.digest())
    return testing::AssertionFailure() << "step " << info->step << ", digest " << hex(info->digest);
  if (memory.digest() != expected.digest()) return testing::AssertionFailure() << "other bytes were loaded";
  return testing::AssertionSuccess();
}

// The message of a checkpoint that must not load, by any way of reading it.
std::string refused(const fs::path& root, std::uint64_t step) {
  Memory memory(99);
  const auto loaded = load_checkpoint(root, step, memory.list);
  if (loaded.ok()) return "loaded";
  if (loaded.error().kind != ErrorKind::differs) return "of another kind: " + loaded.error().message;
  const auto verified = verify_checkpoint(root, step);
  if (verified.ok()) return "verified";
  if (verified.error().message != loaded.error().message) return "two errors: " + loaded.error().message + verified.error().message;
  return loaded.error().message;
}

void put(const fs::path& path, std::string_view text) {
  ASSERT_TRUE(write_file_durably(path, text).ok());
}

TEST(Checkpoint, GivesBackWhatWasWritten) {
  for (const std::uint64_t width : {0, 1, 40, 5000}) {
    const TestDirectory root;
    const Memory memory(1, width);
    ASSERT_TRUE(write(root.path(), 400, memory).ok());
    EXPECT_TRUE(loads(root.path(), 400, memory, Memory(99, width)));
    EXPECT_EQ(list_directory(root.path()).value(), std::vector<std::string>{"400"});
    EXPECT_EQ(list_directory(root / "400").value(), (std::vector<std::string>{"manifest.json", "state.safetensors"}));
    const auto content = verify_checkpoint(root.path(), 400).value();
    EXPECT_EQ(content.tensors, memory.digests());
    EXPECT_EQ(content.info.digest, memory.digest());
    const auto reader = CheckpointReader::open(root.path(), 400).value();
    ASSERT_TRUE(remove_tree(root / "400").ok());
    std::vector<std::byte> bytes(width * 32);
    ASSERT_TRUE(reader.read("model.embed_tokens.weight", bytes).ok()) << "the reader outlives the name";
    EXPECT_EQ(hash_blocks(bytes), content.tensors[0].blocks);
    EXPECT_EQ(reader.find("none"), nullptr);
    EXPECT_THAT(reader.read("none", bytes).error().message, HasSubstr("has no tensor none"));
    EXPECT_THAT(reader.read("run.step", std::span(bytes).first(0)).error().message, HasSubstr("run.step is U64 [] of 8 bytes, 0"));
  }
}

// The data file is also a safetensors file like any other, and its "sha256" is what sha256sum says.
TEST(Checkpoint, ItsFilesAreSafetensors) {
  const TestDirectory root;
  const Memory memory(1);
  ASSERT_TRUE(write(root.path(), 7, memory).ok());
  const auto file = SafetensorsFile::open(root / "7/state.safetensors").value();
  for (const auto& tensor : memory.list) {
    ASSERT_NE(file.find(tensor.name), nullptr);
    EXPECT_TRUE(std::ranges::equal(file.find(tensor.name)->bytes, tensor.bytes));
  }
  const Json manifest = parse_json(read_file(root / "7/manifest.json").value(), "manifest").value();
  EXPECT_EQ(manifest["files"][0]["sha256"], hex(sha256(as_bytes(read_file(root / "7/state.safetensors").value()))));
  EXPECT_EQ(manifest["digest"], hex(memory.digest()));
}

TEST(Checkpoint, ALargeStateIsCutIntoShards) {
  const TestDirectory root;
  const Memory memory(1);
  ASSERT_TRUE(write_checkpoint(root.path(), 5, memory.list, memory.digests(), "exact/1", 1340).ok());
  EXPECT_EQ(list_directory(root / "5").value(),
            (std::vector<std::string>{"manifest.json", "state-00001-of-00002.safetensors", "state-00002-of-00002.safetensors"}));
  EXPECT_TRUE(loads(root.path(), 5, memory));
  fs::rename(root / "5/state-00001-of-00002.safetensors", root / "x");
  fs::rename(root / "5/state-00002-of-00002.safetensors", root / "5/state-00001-of-00002.safetensors");
  fs::rename(root / "x", root / "5/state-00002-of-00002.safetensors");
  EXPECT_THAT(refused(root.path(), 5), HasSubstr("state-00001-of-00002.safetensors"));
}

TEST(Checkpoint, EveryFlippedByteIsFound) {
  const TestDirectory root;
  ASSERT_TRUE(write(root.path(), 3, Memory(1)).ok());
  for (const char* name : {"3/manifest.json", "3/state.safetensors"}) {
    const std::string content = read_file(root / name).value();
    fs::remove(root / name);  // a file of its own, written in place: fast
    FILE* file = std::fopen((root / name).c_str(), "w+");
    ASSERT_EQ(std::fwrite(content.data(), 1, content.size(), file), content.size());
    const auto set = [&](std::size_t at, int value) {
      std::fseek(file, static_cast<long>(at), SEEK_SET);
      std::fputc(value, file);
      std::fflush(file);
    };
    for (std::size_t i = 0; i < content.size(); ++i) {
      for (const int flip : {1, 0x20, 0x80}) {
        set(i, content[i] ^ flip);
        Memory memory(99);
        ASSERT_FALSE(load_checkpoint(root.path(), 3, memory.list).ok()) << name << " byte " << i << " bits " << flip;
      }
      if (i % 101 == 0) {
        EXPECT_THAT(refused(root.path(), 3), HasSubstr(name));
      }
      set(i, content[i]);
    }
    std::fclose(file);
    EXPECT_TRUE(loads(root.path(), 3, Memory(1)));
  }
}

// A state as a `nano` run has it: weights and both moments of every parameter, and the scalars.
class NanoState {
 public:
  explicit NanoState(std::uint64_t seed) {
    const auto model = model::model_from_config(*model::find_family("deepseek_v3", "test").value()->preset("nano"), "test").value();
    const auto add = [&](std::string name, std::string dtype, std::vector<std::uint64_t> shape, std::vector<float> content) {
      bytes_.push_back(std::move(content));
      list.push_back({std::move(name), std::move(dtype), std::move(shape), std::as_writable_bytes(std::span(bytes_.back()))});
    };
    for (std::size_t i = 0; i < model->parameters().size(); ++i) {
      const model::Parameter& p = model->parameters()[i];
      std::vector<std::uint64_t> shape;
      for (int axis = 0; axis < p.shape.rank(); ++axis) shape.push_back(static_cast<std::uint64_t>(p.shape[axis]));
      add(p.name, "F32", shape, model::initial_values(*model, i, seed));
      if (p.kind == model::Parameter::Kind::router_bias) continue;
      add("adam.m." + p.name, "F32", shape, model::initial_values(*model, i, seed + 1));
      add("adam.v." + p.name, "F32", shape, model::initial_values(*model, i, seed + 2));
    }
    add("run.step", "U64", {}, {1, 0});
    add("run.tokens", "U64", {}, {2, 0});
    add("run.cursor", "U64", {1}, {3, 0});
  }
  StateList list;

 private:
  std::deque<std::vector<float>> bytes_;
};

// Single bytes at random places of all files; GODWIT_FLIPS says how many, a thousand by default.
TEST(Checkpoint, RandomFlipsOfANanoCheckpointAreFound) {
  const TestDirectory root;
  const NanoState written(1);
  ASSERT_TRUE(write_checkpoint(root.path(), 3, written.list, digest_tensors(written.list, 1), "exact/1").ok());
  struct Part {
    std::string name;
    std::uint64_t bytes = 0;
    FILE* file = nullptr;
    int found = 0;
  };
  std::vector<Part> parts;
  std::uint64_t total = 0;
  for (const std::string& name : list_directory(root / "3").value()) {
    parts.push_back({name, fs::file_size(root / "3" / name), std::fopen((root / "3" / name).c_str(), "r+")});
    ASSERT_NE(parts.back().file, nullptr);
    total += parts.back().bytes;
  }
  const char* wanted = std::getenv("GODWIT_FLIPS");
  const std::uint64_t flips = wanted == nullptr ? 1000 : std::stoull(wanted);
  RandomSequence random(RandomStream(1, Purpose::test, 0));
  NanoState loaded(99);
  for (std::uint64_t i = 0; i < flips; ++i) {
    std::uint64_t at = random.below(total);
    auto part = parts.begin();
    while (at >= part->bytes) at -= part++->bytes;
    const int flip = 1 + static_cast<int>(random.below(255));
    const auto change = [&] {
      std::fseek(part->file, static_cast<long>(at), SEEK_SET);
      const int byte = std::fgetc(part->file);
      std::fseek(part->file, static_cast<long>(at), SEEK_SET);
      std::fputc(byte ^ flip, part->file);
      std::fflush(part->file);
    };
    change();
    const auto result = load_checkpoint(root.path(), 3, loaded.list);
    ASSERT_FALSE(result.ok()) << part->name << " byte " << at << " xor " << flip;
    EXPECT_THAT(result.error().message, HasSubstr(part->name));
    if (part->name != "manifest.json") {
      EXPECT_THAT(result.error().message, testing::ContainsRegex("block [0-9]+ of|header"));
    }
    ++part->found;
    change();
  }
  for (const Part& part : parts) {
    std::fclose(part.file);
    EXPECT_GT(part.found, 0) << part.name;
    std::printf("%s: %d of %llu flips, %llu bytes\n", part.name.c_str(), part.found, static_cast<unsigned long long>(flips),
                static_cast<unsigned long long>(part.bytes));
  }
  ASSERT_TRUE(load_checkpoint(root.path(), 3, loaded.list).ok());
  EXPECT_EQ(digest_state(loaded.list, 1), digest_state(written.list, 1));
}

TEST(Checkpoint, EveryMissingOrExtraByteIsFound) {
  const TestDirectory root;
  ASSERT_TRUE(write(root.path(), 3, Memory(1)).ok());
  for (const char* name : {"3/manifest.json", "3/state.safetensors"}) {
    const std::string content = read_file(root / name).value();
    const auto stays_refused = [&](const std::string& changed) {
      fs::remove(root / name);  // written over, some file systems would sync it each time
      FILE* file = std::fopen((root / name).c_str(), "w");
      std::fwrite(changed.data(), 1, changed.size(), file);
      std::fclose(file);
      Memory memory(99);
      return !load_checkpoint(root.path(), 3, memory.list).ok();
    };
    for (std::size_t i = 0; i < content.size(); i += 1 + i / 64) {
      ASSERT_TRUE(stays_refused(content.substr(0, i))) << "cut off at " << i;
      ASSERT_TRUE(stays_refused(std::string(content).erase(i, 1))) << "without byte " << i;
      for (const char extra : {' ', '\0', '\n', '0'})
        ASSERT_TRUE(stays_refused(std::string(content).insert(i, 1, extra))) << "more at " << i;
    }
    for (const char extra : {' ', '\0', '\n', '0'}) ASSERT_TRUE(stays_refused(content + extra));
    ASSERT_FALSE(stays_refused(content));
  }
}

TEST(Checkpoint, MissingExtraAndSwappedFilesAreFound) {
  const TestDirectory root;
  const auto fresh = [&] {
    ASSERT_TRUE(remove_tree(root / "3").ok());
    ASSERT_TRUE(remove_tree(root / "4").ok());
    ASSERT_TRUE(write(root.path(), 3, Memory(1)).ok());
    ASSERT_TRUE(write(root.path(), 4, Memory(2)).ok());
  };
  fresh();
  put(root / "3/notes.txt", "");
  EXPECT_THAT(refused(root.path(), 3), HasSubstr("3/notes.txt: does not belong"));
  fresh();
  fs::create_directory(root / "3/.hidden");
  EXPECT_THAT(refused(root.path(), 3), HasSubstr("3/.hidden: does not belong"));
  fresh();
  fs::remove(root / "3/state.safetensors");
  EXPECT_THAT(refused(root.path(), 3), HasSubstr("3/state.safetensors: is missing"));
  fs::create_directory(root / "3/state.safetensors");
  EXPECT_THAT(refused(root.path(), 3), HasSubstr("is not a regular file"));
  fresh();
  fs::remove(root / "3/manifest.json");
  EXPECT_THAT(refused(root.path(), 3), HasSubstr("3/manifest.json: cannot open"));
  fresh();
  fs::rename(root / "3/state.safetensors", root / "3/State.safetensors");
  EXPECT_THAT(refused(root.path(), 3), HasSubstr("State.safetensors"));
  fresh();
  // Intact files of another step: each alone, then the whole directory.
  fs::copy_file(root / "4/state.safetensors", root / "3/state.safetensors", fs::copy_options::overwrite_existing);
  EXPECT_THAT(refused(root.path(), 3), HasSubstr("block 0 of 1"));
  fresh();
  fs::copy_file(root / "4/manifest.json", root / "3/manifest.json", fs::copy_options::overwrite_existing);
  EXPECT_THAT(refused(root.path(), 3), HasSubstr("is the manifest of step 4, in the directory of step 3"));
  fresh();
  fs::remove_all(root / "3");
  fs::rename(root / "4", root / "3");
  EXPECT_THAT(refused(root.path(), 3), HasSubstr("is the manifest of step 4"));
  Memory memory(99);
  EXPECT_EQ(load_checkpoint(root.path(), 4, memory.list).error().kind, ErrorKind::input);
  EXPECT_THAT(load_checkpoint(root.path(), 4, memory.list).error().message, HasSubstr("there is no checkpoint of step 4"));
}

// A manifest made by another program, with the right digest of its own text.
TEST(Checkpoint, AManifestThatContradictsItselfIsRefused) {
  const TestDirectory root;
  const auto remake = [&](std::string_view from, std::string_view to) {
    EXPECT_TRUE(remove_tree(root / "3").ok());
    EXPECT_TRUE(write(root.path(), 3, Memory(1)).ok());
    std::string text = read_file(root / "3/manifest.json").value();
    text = text.substr(0, text.rfind(",\n \"manifest_sha256\""));
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    const std::string own = hex(sha256(as_bytes(text)));
    put(root / "3/manifest.json", text + ",\n \"manifest_sha256\": \"" + own + "\"\n}\n");
    Memory memory(99);
    const auto loaded = load_checkpoint(root.path(), 3, memory.list);
    return loaded.ok() ? "loaded" : loaded.error().message;
  };
  EXPECT_THAT(remake("\"version\": 1", "\"version\": 2"), HasSubstr("has format version 2, this godwit reads 1"));
  EXPECT_THAT(remake("godwit checkpoint", "godwit checkpaint"), HasSubstr("is not a manifest of a checkpoint"));
  EXPECT_THAT(remake("\"step\": 3", "\"step\": \"3\""), HasSubstr("step is \"3\", not a non-negative integer"));
  EXPECT_THAT(remake("\"profile\"", "\"profil\""), HasSubstr("is not an object of the members"));
  EXPECT_THAT(remake("\"state.safetensors\"", "\"../3/state.safetensors\""), HasSubstr("is not the name of a file"));
  EXPECT_THAT(remake("\"state.safetensors\"", "\"manifest.json\""), HasSubstr("is not the name of a file"));
  EXPECT_THAT(remake("\"file\": 0", "\"file\": 1"), HasSubstr("lies in file 1 of 1"));
  EXPECT_THAT(remake("\"offset\": ", "\"offset\": 1"), HasSubstr("not where the one before it ends"));
  EXPECT_THAT(remake("\"bytes\": 1280", "\"bytes\": 1284"), HasSubstr("does not take 1284 bytes"));
  EXPECT_THAT(remake("\"header_bytes\": ", "\"header_bytes\": 9"), HasSubstr("not where the one before it ends"));
  EXPECT_THAT(remake("\"bytes\": ", "\"bytes\": 1"), HasSubstr("bytes, its tensors end at"));
  EXPECT_THAT(remake("40,\n    8", "4611686018427387904,\n    8"), HasSubstr("does not take 1280 bytes"));
  EXPECT_THAT(remake("\"run.step\"", "\"run.stop\""), HasSubstr("its tensors have the digest"));
  EXPECT_THAT(remake("\"dtype\": \"U64\"", "\"dtype\": \"F64\""), HasSubstr("its tensors have the digest"));
  EXPECT_EQ(remake("\"profile\"", "\"profile\""), "loaded");

  // Not bad, but not for this program: nothing older takes its place, and it is not replaced.
  EXPECT_TRUE(write(root.path(), 2, Memory(1)).ok());
  remake("\"version\": 1", "\"version\": 2");
  const std::string newer = read_file(root / "3/manifest.json").value();
  Memory memory(99);
  std::vector<std::string> bad;
  const auto newest = load_newest(root.path(), memory.list, bad);
  ASSERT_FALSE(newest.ok());
  EXPECT_EQ(newest.error().kind, ErrorKind::input);
  EXPECT_THAT(newest.error().message, HasSubstr("has format version 2, this godwit reads 1"));
  EXPECT_THAT(bad, testing::IsEmpty());
  EXPECT_FALSE(write(root.path(), 3, Memory(1)).ok());
  EXPECT_EQ(read_file(root / "3/manifest.json").value(), newer);
}

TEST(Checkpoint, AnotherRunsStateIsNamed) {
  const TestDirectory root;
  ASSERT_TRUE(write(root.path(), 3, Memory(1)).ok());
  const auto message = [&](auto change) {
    Memory memory(99);
    change(memory.list);
    const auto loaded = load_checkpoint(root.path(), 3, memory.list);
    return loaded.ok() ? "loaded" : loaded.error().message;
  };
  EXPECT_THAT(
      message([](StateList& list) { list[1].name = "adam.v.x"; }),
      HasSubstr("tensor 1 of the checkpoint is adam.m.model.embed_tokens.weight F32 [40, 8], that of the run's state is adam.v.x F32"));
  EXPECT_THAT(message([](StateList& list) {
                list[0].shape = {8, 40};
              }),
              HasSubstr("F32 [40, 8], that of the run's state is model.embed_tokens.weight F32 [8, 40]"));
  EXPECT_THAT(message([](StateList& list) { list[3].dtype = "I64"; }),
              HasSubstr("run.step U64 [], that of the run's state is run.step I64 []"));
  EXPECT_THAT(message([](StateList& list) { list.pop_back(); }),
              HasSubstr("the checkpoint holds run.cursor U64 [5], the run's state ends after 5"));
  EXPECT_THAT(message([](StateList& list) {
                list.push_back({"more", "U8", {0}, {}});
              }),
              HasSubstr("the run's state has more U8 [0], the checkpoint ends after 6"));
  EXPECT_THAT(message([](StateList& list) { std::swap(list[3], list[4]); }), HasSubstr("tensor 3 of the checkpoint is run.step"));
}

TEST(Checkpoint, FallsBackToTheNewestGoodOneAndSaysSo) {
  const TestDirectory root;
  std::vector<std::string> said;
  Memory memory(99);
  EXPECT_EQ(load_newest(root / "none", memory.list, said).value(), std::nullopt);
  for (const std::uint64_t step : {20, 100, 3}) ASSERT_TRUE(write(root.path(), step, Memory(step)).ok());
  fs::create_directory(root / "007");
  fs::create_directory(root / ".120.tmp");
  put(root / "notes", "");
  EXPECT_EQ(list_checkpoints(root.path()).value(), (Steps{3, 20, 100}));
  EXPECT_EQ(load_newest(root.path(), memory.list, said).value()->step, 100u);
  EXPECT_TRUE(said.empty());
  fs::resize_file(root / "100/state.safetensors", 2000);
  EXPECT_EQ(load_newest(root.path(), memory.list, said).value()->step, 20u);
  EXPECT_EQ(memory.digest(), Memory(20).digest());
  EXPECT_THAT(said, testing::ElementsAre(testing::AllOf(HasSubstr("checkpoint 100: "), HasSubstr("has 2000 bytes, the manifest says"))));
  for (const char* name : {"20/manifest.json", "3/manifest.json"}) fs::remove(root / name);
  said.clear();
  EXPECT_EQ(load_newest(root.path(), memory.list, said).value(), std::nullopt);
  EXPECT_EQ(said.size(), 3u);
}

// The ways in which a checkpoint goes bad, by name; each changes the one of step `step`, and may use that of `other`, an older one of the
// same shapes. Two shards each.
using Damage = void (*)(const fs::path& step, const fs::path& other);
constexpr const char* first_shard = "state-00001-of-00002.safetensors";
constexpr const char* second_shard = "state-00002-of-00002.safetensors";
const std::vector<std::pair<const char*, Damage>> damages = {
    {"a flipped bit",
     [](const fs::path& step, const fs::path&) {
       std::fstream file(step / second_shard, std::ios::in | std::ios::out | std::ios::binary);
       file.seekp(-1, std::ios::end);
       file.put('\x55');
     }},
    {"a shard cut off", [](const fs::path& step, const fs::path&) { fs::resize_file(step / first_shard, 1000); }},
    {"a shard of zeros",
     [](const fs::path& step, const fs::path&) {
       const auto size = fs::file_size(step / first_shard);
       fs::resize_file(step / first_shard, 0);
       fs::resize_file(step / first_shard, size);
     }},
    {"a missing shard", [](const fs::path& step, const fs::path&) { fs::remove(step / second_shard); }},
    {"swapped shards",
     [](const fs::path& step, const fs::path&) {
       fs::rename(step / first_shard, step / "x");
       fs::rename(step / second_shard, step / first_shard);
       fs::rename(step / "x", step / second_shard);
     }},
    {"a stale shard",
     [](const fs::path& step, const fs::path& other) {
       fs::copy_file(other / second_shard, step / second_shard, fs::copy_options::overwrite_existing);
     }},
    {"shards of another step",
     [](const fs::path& step, const fs::path& other) {
       for (const char* name : {first_shard, second_shard}) fs::copy_file(other / name, step / name, fs::copy_options::overwrite_existing);
     }},
    {"a manifest of another step",
     [](const fs::path& step, const fs::path& other) {
       fs::copy_file(other / "manifest.json", step / "manifest.json", fs::copy_options::overwrite_existing);
     }},
    {"another step whole",
     [](const fs::path& step, const fs::path& other) {
       fs::remove_all(step);
       fs::copy(other, step);
     }},
    {"an empty manifest", [](const fs::path& step, const fs::path&) { fs::resize_file(step / "manifest.json", 0); }},
    {"an empty directory",
     [](const fs::path& step, const fs::path&) {
       fs::remove_all(step);
       fs::create_directory(step);
     }},
    {"a file instead",
     [](const fs::path& step, const fs::path&) {
       fs::remove_all(step);
       std::ofstream(step) << "x";
     }},
    {"pipes instead of files",
     [](const fs::path& step, const fs::path&) {
       for (const char* name : {first_shard, "manifest.json"}) {
         fs::remove(step / name);
         ::mkfifo((step / name).c_str(), 0600);
       }
     }},
    {"a link to an endless file",
     [](const fs::path& step, const fs::path&) {
       fs::remove(step / first_shard);
       fs::create_symlink("/dev/zero", step / first_shard);
     }},
    // Rightly digested by whoever made it.
    {"a header beyond the file",
     [](const fs::path& step, const fs::path&) {
       std::string text = read_file(step / "manifest.json").value();
       text = text.substr(0, text.rfind(",\n \"manifest_sha256\""));
       const std::string key = "\"header_bytes\": ";
       text.insert(text.find(key) + key.size(), "9223372036854775");
       std::ofstream(step / "manifest.json") << text << ",\n \"manifest_sha256\": \"" << hex(sha256(as_bytes(text))) << "\"\n}\n";
     }},
    {"a manifest of brackets",
     [](const fs::path& step, const fs::path&) {
       const std::string text(1 << 20, '[');
       std::ofstream(step / "manifest.json") << text << ",\n \"manifest_sha256\": \"" << hex(sha256(as_bytes(text))) << "\"\n}\n";
     }},
};

// The newest 1, 2, 3, all but the first and all of them are bad, each in another way, every way at every place.
TEST(Checkpoint, WithTheNewestBadTheNewestGoodOneIsLoaded) {
  constexpr std::uint64_t count = 4;
  for (std::uint64_t bad = 1; bad <= count; ++bad) {
    for (std::size_t way = 0; way < damages.size(); ++way) {
      const TestDirectory root;
      for (std::uint64_t step = 0; step <= count; ++step) {
        ASSERT_TRUE(write_checkpoint(root.path(), step, Memory(step).list, Memory(step).digests(), "exact/1", 1340).ok());
      }
      fs::create_directory(root / ".5.tmp");  // what a crash leaves, newer than all, and whole
      fs::copy(root / "4", root / ".5.tmp", fs::copy_options::recursive);
      ASSERT_TRUE(fs::exists(root / "4" / second_shard));
      for (std::uint64_t k = 0; k < bad; ++k) {
        const auto& [name, damage] = damages[(way + k * 5) % damages.size()];
        damage(root / std::to_string(count - k), root / "0");
        ASSERT_FALSE(verify_checkpoint(root.path(), count - k).ok()) << name;
      }
      Memory memory(99);
      std::vector<std::string> refused;
      const auto newest = load_newest(root.path(), memory.list, refused);
      ASSERT_TRUE(newest.ok() && newest->has_value()) << damages[way].first << ", " << bad;
      EXPECT_EQ((*newest)->step, count - bad) << damages[way].first;
      EXPECT_EQ(memory.digest(), Memory(count - bad).digest()) << damages[way].first;
      EXPECT_EQ(refused.size(), bad);
      // The run goes on from there and writes over what was bad.
      for (std::uint64_t step = count - bad + 1; step <= count; ++step) {
        ASSERT_TRUE(write(root.path(), step, Memory(step)).ok()) << damages[way].first;
        EXPECT_TRUE(loads(root.path(), step, Memory(step)));
      }
      ASSERT_TRUE(remove_temporaries(root.path()).ok());
      EXPECT_EQ(list_directory(root.path()).value(), (std::vector<std::string>{"0", "1", "2", "3", "4"}));
    }
  }
}

TEST(Checkpoint, OfTheSameStepOnlyABadOneIsReplaced) {
  const TestDirectory root;
  ASSERT_TRUE(write(root.path(), 3, Memory(1)).ok());
  const auto written_at = fs::last_write_time(root / "3/manifest.json");
  ASSERT_TRUE(write(root.path(), 3, Memory(1)).ok());
  EXPECT_EQ(fs::last_write_time(root / "3/manifest.json"), written_at);
  const auto other = write(root.path(), 3, Memory(2));
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().kind, ErrorKind::differs);
  EXPECT_THAT(other.error().message, testing::AllOf(HasSubstr(hex(Memory(1).digest())), HasSubstr(hex(Memory(2).digest()))));
  EXPECT_TRUE(loads(root.path(), 3, Memory(1)));
  fs::resize_file(root / "3/state.safetensors", 100);
  ASSERT_TRUE(write(root.path(), 3, Memory(2)).ok());
  EXPECT_TRUE(loads(root.path(), 3, Memory(2)));
  EXPECT_EQ(list_directory(root.path()).value(), std::vector<std::string>{"3"});
}

TEST(Checkpoint, MemoryThatLostItsDigestIsNotWritten) {
  const TestDirectory root;
  Memory memory(1);
  const auto digests = memory.digests();
  memory.list[1].bytes[1279] ^= std::byte{4};
  const auto result = write_checkpoint(root.path(), 3, memory.list, digests, "exact/1");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::differs);
  EXPECT_THAT(result.error().message, HasSubstr("adam.m.model.embed_tokens.weight, block 0 of 1, has the hash"));
  EXPECT_TRUE(list_directory(root.path()).value().empty());
}

// A disk that gives back something else: a byte is changed after the file is complete, before the checkpoint gets its name.
TEST(Checkpoint, WhatTheDiskGivesBackOtherwiseGetsNoName) {
  const TestDirectory sizes;
  ASSERT_TRUE(write(sizes.path(), 3, Memory(1)).ok());
  for (const std::string file : {"state.safetensors", "manifest.json"}) {
    const auto bytes = fs::file_size(sizes / "3" / file);
    for (const double share : {0.0, 0.02, 0.1, 0.3, 0.6, 0.999}) {
      const TestDirectory root;
      ASSERT_TRUE(write(root.path(), 3, Memory(1)).ok());
      int changed = 0;
      {
        const ScopedDiskFault fault([&](DiskCall& call) {
          const fs::path there = call.path / file;
          if (call.operation != DiskOperation::sync_directory || changed > 0 || call.path.filename() != ".4.tmp" || !fs::exists(there))
            return 0;
          std::fstream stream(there, std::ios::in | std::ios::out | std::ios::binary);
          const auto at = static_cast<std::streamoff>(share * static_cast<double>(bytes));
          stream.seekg(at);
          const int byte = stream.get();
          stream.seekp(at);
          stream.put(static_cast<char>(byte ^ 4));
          ++changed;
          return 0;
        });
        const auto written = write(root.path(), 4, Memory(2));
        ASSERT_FALSE(written.ok()) << file << " " << share;
        EXPECT_EQ(written.error().kind, ErrorKind::world);
        EXPECT_THAT(written.error().message, HasSubstr(file));
      }
      EXPECT_EQ(changed, 1);
      EXPECT_EQ(list_directory(root.path()).value(), std::vector<std::string>{"3"});
      ASSERT_TRUE(write(root.path(), 4, Memory(2)).ok());
      EXPECT_TRUE(loads(root.path(), 4, Memory(2)));
    }
  }
}

TEST(Checkpoint, AChildThatMayOnlyReadTheStateWritesIt) {
  const TestDirectory root;
  Memory memory(1, 5000);
  const auto digests = memory.digests();
  std::vector<std::pair<std::byte*, std::size_t>> mapped;
  for (StateTensor& tensor : memory.list) {
    const std::size_t size = std::max<std::size_t>(tensor.bytes.size(), 1);
    auto* at = static_cast<std::byte*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    if (!tensor.bytes.empty()) std::memcpy(at, tensor.bytes.data(), tensor.bytes.size());
    ASSERT_EQ(::mprotect(at, size, PROT_READ), 0);
    tensor.bytes = std::span(at, tensor.bytes.size());
    mapped.emplace_back(at, size);
  }
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(write_checkpoint(root.path(), 4, memory.list, digests, "exact/1").ok() ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(loads(root.path(), 4, Memory(1, 5000), Memory(99, 5000)));
  for (const auto& [at, size] : mapped) ::munmap(at, size);
}

// Every call that changes the disk fails once, and from there on; each time with nothing before, with a good one, and over a bad one.
TEST(Checkpoint, AFullDiskLeavesEarlierOnesWhole) {
  for (const bool for_ever : {false, true}) {
    for (const bool over_bad : {false, true}) {
      int failing = 0;
      for (bool more = true; more; ++failing) {  // until nothing fails any more
        const TestDirectory root;
        ASSERT_TRUE(write(root.path(), 3, Memory(1)).ok());
        if (over_bad) {
          ASSERT_TRUE(write(root.path(), 4, Memory(5)).ok());
          fs::resize_file(root / "4/state.safetensors", 100);
        }
        int calls = 0;
        bool was_written = false;
        {
          const ScopedDiskFault fault([&](DiskCall&) {
            const int number = calls++;
            return number == failing || (for_ever && number > failing) ? ENOSPC : 0;
          });
          was_written = write_checkpoint(root.path(), 4, Memory(2).list, Memory(2).digests(), "exact/1").ok();
        }
        more = calls > failing;
        ASSERT_TRUE(more || was_written);
        ASSERT_TRUE(loads(root.path(), 3, Memory(1))) << failing;
        if (was_written) {
          ASSERT_TRUE(loads(root.path(), 4, Memory(2))) << failing;
        }
        std::vector<std::string> said;
        Memory memory(99);
        const auto newest = load_newest(root.path(), memory.list, said).value();
        ASSERT_TRUE(newest.has_value());
        ASSERT_EQ(memory.digest(), Memory(newest->step == 3 ? 1 : 2).digest());
        // And with space again, the same call works and leaves nothing behind.
        ASSERT_TRUE(remove_temporaries(root.path()).ok());
        ASSERT_TRUE(write(root.path(), 4, Memory(2)).ok());
        ASSERT_TRUE(loads(root.path(), 4, Memory(2)));
        ASSERT_EQ(list_directory(root.path()).value(), (std::vector<std::string>{"3", "4"}));
      }
      EXPECT_GT(failing, 10);
    }
  }
}

TEST(Checkpoint, RetentionIsAFunctionOfTheSteps) {
  const Steps steps = {50, 10, 20, 30, 40};
  EXPECT_EQ(steps_to_remove(steps, {.last = 2}), (Steps{10, 20, 30}));
  EXPECT_EQ(steps_to_remove(steps, {.last = 1, .every = 20}), (Steps{10, 30}));
  EXPECT_EQ(steps_to_remove(steps, {.last = 1, .every = 0, .keep = {30, 77}}), (Steps{10, 20, 40}));
  EXPECT_EQ(steps_to_remove(steps, {.last = 1, .every = 0, .keep = {}, .not_after = 35}), (Steps{10, 20, 40}));
  EXPECT_EQ(steps_to_remove(steps, {.last = 1, .every = 0, .keep = {}, .not_after = 30}), (Steps{10, 20, 40}));
  EXPECT_EQ(steps_to_remove(steps, {.last = 1, .every = 0, .keep = {}, .not_after = 9}), (Steps{10, 20, 30, 40}));
  EXPECT_EQ(steps_to_remove(steps, {.last = 1, .every = 0, .keep = {}, .not_after = 99}), (Steps{10, 20, 30, 40}));
  EXPECT_EQ(steps_to_remove(Steps{0, 5}, {.last = 1, .every = 0, .keep = {}, .not_after = 4}), Steps{});
  EXPECT_EQ(steps_to_remove(steps, {.last = 0}), (Steps{10, 20, 30, 40, 50}));
  EXPECT_EQ(steps_to_remove(steps, {.last = 9}), Steps{});
  EXPECT_EQ(steps_to_remove({}, {.last = 2}), Steps{});
  EXPECT_EQ(steps_to_remove(Steps{0, 5}, {.last = 1, .every = 3}), Steps{}) << "step 0 is divisible";
}

TEST(Checkpoint, RetentionRemovesAndKeeps) {
  const TestDirectory root;
  for (const std::uint64_t step : {1, 2, 3, 4}) ASSERT_TRUE(write(root.path(), step, Memory(step)).ok());
  {
    const ScopedDiskFault fault([&](DiskCall& call) { return call.operation == DiskOperation::remove ? EIO : 0; });
    EXPECT_FALSE(apply_retention(root.path(), {.last = 2}).ok());
  }
  EXPECT_EQ(list_checkpoints(root.path()).value(), (Steps{2, 3, 4})) << "what could not be removed is out of the list";
  ASSERT_TRUE(remove_temporaries(root.path()).ok());
  ASSERT_TRUE(apply_retention(root.path(), {.last = 1, .every = 0, .keep = {2}}).ok());
  EXPECT_EQ(list_directory(root.path()).value(), (std::vector<std::string>{"2", "4"}));
  EXPECT_TRUE(loads(root.path(), 2, Memory(2)));
  EXPECT_TRUE(loads(root.path(), 4, Memory(4)));
  EXPECT_TRUE(apply_retention(root / "none", {}).ok());
}

}  // namespace
}  // namespace godwit::store
