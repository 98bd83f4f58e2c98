// What could go wrong: a block is rounded otherwise than ggml does; a number that Q8_0 cannot hold becomes another one silently; a failing
// disk leaves half a file; a model that llama.cpp would compute otherwise is written all the same.
#include "store/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/json.h"
#include "store/dtype.h"
#include "store/export_gguf.h"
#include "store/test_directory.h"

namespace godwit::store {
namespace {

using testing::HasSubstr;

const auto quietly = [](double) { return Result<void>(); };

Result<void> write_q8(const fs::path& path, const std::vector<float>& values) {
  const GgufTensor tensor{"t", GgufType::q8_0, {values.size() / 32, 32}, [&] { return Result<std::span<const float>>(std::span(values)); }};
  return write_gguf(path, {}, std::span(&tensor, 1), quietly);
}

// The tensors' bytes: all behind the header, which for write_q8 takes two multiples of 32.
std::string data_of(const fs::path& path) {
  return read_file(path).value().substr(96);
}

TEST(Gguf, RoundsBlocksAsGgmlDoes) {
  const TestDirectory directory;
  std::vector<float> values(96);
  for (int i = 0; i < 32; ++i) values[static_cast<std::size_t>(i)] = static_cast<float>(i) - 0.5f;  // -0.5 … 29.5
  values[31] = -31.75f;                                                                             // scale 0.25
  values[64] = 1e-39f;                                                                              // 1 / scale is infinite
  ASSERT_TRUE(write_q8(directory / "x", values).ok());
  const std::string data = data_of(directory / "x");
  ASSERT_EQ(data.size(), 128u);  // three blocks of 34 and padding
  std::uint16_t scale;
  std::memcpy(&scale, data.data(), 2);
  EXPECT_EQ(scale, f16_from_f32(0.25f));
  const auto quant = [&](std::size_t block, std::size_t i) { return static_cast<int>(static_cast<std::int8_t>(data[block * 34 + 2 + i])); };
  EXPECT_EQ(quant(0, 0), -2);
  EXPECT_EQ(quant(0, 31), -127);
  EXPECT_EQ(quant(0, 30), 118);
  EXPECT_EQ(data.substr(34), std::string(94, '\0'));
}

TEST(Gguf, HalvesGoAwayFromZero) {
  const TestDirectory directory;
  std::vector<float> values(32);
  values[0] = 127;  // scale 1
  values[1] = 0.5f;
  values[2] = -2.5f;
  ASSERT_TRUE(write_q8(directory / "x", values).ok());
  const std::string data = data_of(directory / "x");
  EXPECT_EQ(data.substr(2, 3), "\x7f\x01\xfd");
}

TEST(Gguf, RefusesWhatATypeCannotHold) {
  const TestDirectory directory;
  const auto refused = [&](float value) {
    std::vector<float> values(64, 1.0f);
    values[40] = value;
    const auto written = write_q8(directory / "x", values);
    EXPECT_FALSE(fs::exists(directory / "x"));
    return written.ok() ? "written" : written.error().message;
  };
  EXPECT_THAT(refused(std::numeric_limits<float>::infinity()), HasSubstr("t: element 40 is inf"));
  EXPECT_THAT(refused(std::numeric_limits<float>::quiet_NaN()), HasSubstr("t: element 40 is nan"));
  EXPECT_THAT(refused(1e7f), HasSubstr("too large for Q8_0"));
}

TEST(Gguf, AFailingDiskLeavesNothing) {
  const TestDirectory directory;
  const std::vector<float> values(1 << 12, 1.0f);
  int failing = 0;
  for (bool more = true; more; ++failing) {
    int calls = 0;
    bool written = false;
    {
      const ScopedDiskFault fault(
          [&](DiskCall& call) { return call.operation != DiskOperation::remove && calls++ == failing ? ENOSPC : 0; });
      written = write_q8(directory / "x", values).ok();
    }
    more = calls > failing;
    ASSERT_EQ(written, !more);
    // After the rename only the sync of the name can fail: what is there is whole.
    if (fs::exists(directory / "x")) {
      EXPECT_EQ(read_file(directory / "x").value().size(), 96 + 128 * 34u);
    }
    EXPECT_LE(list_directory(directory.path()).value().size(), 1u);
    if (more) fs::remove(directory / "x");
  }
  EXPECT_GT(failing, 3);
}

// An export of a model of tests/golden whose config was changed.
std::string said_of(const std::string& model, const std::function<void(Json&)>& change) {
  const TestDirectory directory;
  const fs::path from = fs::path(GODWIT_SOURCE_DIR) / "tests/golden" / model;
  Json config = parse_json(read_file(from / "config.json").value(), "config").value();
  change(config);
  EXPECT_TRUE(write_file_durably(directory / "config.json", write_json(config)).ok());
  fs::create_symlink(from / "model.safetensors", directory / "model.safetensors");
  testing::internal::CaptureStderr();
  const auto source = ModelSource::open(directory.path().string());
  const auto written = source.ok() ? export_gguf(source.value(), directory / "x.gguf", "f32", quietly) : Result<void>(source.error());
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(written.ok(), fs::exists(directory / "x.gguf"));
  return written.ok() ? "written: " + said : written.error().message;
}

TEST(Gguf, RefusesModelsThatLlamaCppComputesOtherwise) {
  EXPECT_THAT(said_of("yarn", [](Json&) {}), HasSubstr("mscale 0.7 and mscale_all_dim 1; llama.cpp needs both, and equal"));
  EXPECT_THAT(said_of("yarn", [](Json& config) { config["rope_parameters"]["mscale"] = 1.0; }), HasSubstr("written"));
  EXPECT_THAT(said_of("groups", [](Json&) {}), HasSubstr("written"));
  EXPECT_THAT(said_of("moe", [](Json& config) { config["rms_norm_eps"] = 1e-5; }), HasSubstr("rms_norm_eps is not 1e-6"));
  EXPECT_THAT(said_of("moe", [](Json&) {}), HasSubstr("has no tokenizer"));
}

}  // namespace
}  // namespace godwit::store
