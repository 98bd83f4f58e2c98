// What could go wrong: a weight is taken from the wrong shard or silently missed, an FP8 block gets its neighbour's scale.
#include "store/huggingface_files.h"

#include <gtest/gtest.h>

#include <bit>

#include "store/test_directory.h"

namespace godwit::store {
namespace {

std::string error_of(const Result<TensorSource>& result) {
  if (result.ok()) return "accepted";
  EXPECT_EQ(result.error().kind, ErrorKind::input);
  return result.error().message;
}

struct Example {
  std::vector<float> values = std::vector<float>(100);
  std::vector<OutputTensor> tensors;
  Example() {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 50;
    for (const char* name : {"d", "a", "c", "b"})
      tensors.push_back(tensor_of_f32(name, FileDtype::f32, {5, 5}, std::span(values).subspan(tensors.size() * 25, 25)));
  }
};

TEST(HuggingfaceFiles, OneFileOrShardsHoldTheSame) {
  const Example example;
  const TestDirectory one, many;
  EXPECT_EQ(write_huggingface_weights(one.path(), example.tensors, 1'000'000).value().size(), 1u);
  const auto written = write_huggingface_weights(many.path(), example.tensors, 200).value();  // two of 100 bytes each
  EXPECT_EQ(
      list_directory(many.path()).value(),
      (std::vector<std::string>{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"}));
  for (const auto& file : written) EXPECT_EQ(sha256(as_bytes(read_file(many / file.name).value())), file.sha256);
  EXPECT_EQ(read_file(many / "model.safetensors.index.json").value(), R"({
  "metadata": {
    "total_size": 400
  },
  "weight_map": {
    "a": "model-00001-of-00002.safetensors",
    "b": "model-00002-of-00002.safetensors",
    "c": "model-00002-of-00002.safetensors",
    "d": "model-00001-of-00002.safetensors"
  }
}
)");
  const auto single = TensorSource::open(one.path()).value();
  const auto sharded = TensorSource::open(many.path()).value();
  EXPECT_EQ(single.names(), (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(sharded.names(), single.names());
  EXPECT_EQ(sharded.digest(), single.digest());
  std::vector<float> out(25);
  ASSERT_TRUE(sharded.read_f32("b", out).ok());
  EXPECT_EQ(out, std::vector<float>(example.values.end() - 25, example.values.end()));
  EXPECT_EQ(sharded.file_of("b"), (many / "model-00002-of-00002.safetensors").string());
  EXPECT_EQ(single.find("x"), nullptr);
}

TEST(HuggingfaceFiles, ATensorLargerThanAShardGetsItsOwn) {
  const Example example;
  const TestDirectory directory;
  EXPECT_EQ(write_huggingface_weights(directory.path(), example.tensors, 1).value().size(), 5u);
  EXPECT_TRUE(TensorSource::open(directory.path()).ok());
}

TEST(HuggingfaceFiles, BadDirectoriesAreRefusedByName) {
  const Example example;
  const TestDirectory directory;
  const fs::path path = directory.path(), index = path / "model.safetensors.index.json";
  const std::string first = "model-00001-of-00002.safetensors", second = "model-00002-of-00002.safetensors", at = path.string() + "/";
  EXPECT_EQ(error_of(TensorSource::open(path)), path.string() + ": has neither model.safetensors nor model.safetensors.index.json");
  ASSERT_TRUE(write_huggingface_weights(path, example.tensors, 200).ok());
  const std::string good = read_file(index).value();
  auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    CHECK(write_file_durably(index, text).ok(), "write");
    return error_of(TensorSource::open(path));
  };
  const std::string b = "\"b\": \"" + second + "\"";
  EXPECT_EQ(with("total_size", "other"), "accepted");
  EXPECT_EQ(with(b, "\"b\": \"" + first + "\""), at + "model.safetensors.index.json: weight_map says b is in " + first + ", but it is not");
  EXPECT_EQ(with(b + ",", ""), at + "model.safetensors.index.json: " + second + " holds b, which weight_map does not place there");
  EXPECT_EQ(with(b, b + ", \"e\": \"" + second + "\""),
            at + "model.safetensors.index.json: weight_map says e is in " + second + ", but it is not");
  EXPECT_EQ(with(b, "\"b\": \"model-3.safetensors\""),
            at + "model.safetensors.index.json: names the shard model-3.safetensors, which is not there (1 tensors, the first b)");
  EXPECT_EQ(with(b, "\"b\": \"../x\""),
            at + "model.safetensors.index.json: weight_map: the shard of b is '../x', not the name of a file beside the index");
  EXPECT_EQ(with(b, "\"b\": 7"), at + "model.safetensors.index.json: weight_map: the shard of b is not a string");
  EXPECT_EQ(with("weight_map", "weights"), at + "model.safetensors.index.json: has no weight_map");
  ASSERT_TRUE(write_file_durably(index, good).ok());
  ASSERT_TRUE(write_safetensors(path / second, example.tensors).ok());
  EXPECT_EQ(error_of(TensorSource::open(path)), fmt::format("d is in {0}{1} and in {0}{2}", at, first, second));
  ASSERT_TRUE(write_safetensors(path / "model.safetensors", example.tensors).ok());
  EXPECT_NE(error_of(TensorSource::open(path)).find("has both"), std::string::npos);
}

TEST(HuggingfaceFiles, ReadingNamesWhatDoesNotFit) {
  const Example example;
  const TestDirectory directory;
  const std::vector<OutputTensor> tensors = {tensor_of_f32("w", FileDtype::bf16, {2, 3}, std::span(example.values).first(6)),
                                             tensor_of_bytes("i", FileDtype::i32, {1}, as_bytes("1234")),
                                             tensor_of_bytes("q", FileDtype::f8_e4m3, {2, 2}, as_bytes("1234")),
                                             tensor_of_bytes("r", FileDtype::f8_e4m3, {2, 2}, as_bytes("1234")),
                                             tensor_of_f32("r_scale_inv", FileDtype::f32, {1, 2}, std::span(example.values).first(2))};
  ASSERT_TRUE(write_huggingface_weights(directory.path(), tensors, 1'000'000).ok());
  const auto source = TensorSource::open(directory.path()).value();
  const std::string file = (directory / "model.safetensors").string();
  auto error = [&](std::string_view name, std::size_t size) {
    std::vector<float> out(size);
    return source.read_f32(name, out).error().message;
  };
  EXPECT_EQ(error("x", 1), file + ": has no tensor x");
  EXPECT_EQ(error("w", 5), file + ": w has shape [2, 3], 5 elements are wanted");
  EXPECT_EQ(error("i", 1), file + ": i is I32; weights are read from F32, BF16, F16 or F8_E4M3");
  EXPECT_EQ(error("q", 4), file + ": q is F8_E4M3 but there is no q_scale_inv");
  EXPECT_EQ(error("r", 4), file + ": r_scale_inv is F32 [1, 2], but r of shape [2, 2] needs F32 [1, 1]");
  EXPECT_EQ(source.weight_names(), (std::vector<std::string>{"i", "q", "r", "w"}));
}

// kv_a of V3 has 576 rows: four and a half blocks; 200 columns: one and a bit.
TEST(HuggingfaceFiles, Fp8BlocksAtTheEdges) {
  constexpr std::size_t rows = 576, columns = 200;
  const TestDirectory directory;
  std::string weight(rows * columns, '\0');
  for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<char>(i * 31 % 127);  // below 0x7F: no NaN
  std::vector<float> scales(5 * 2);
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = 0.001f * static_cast<float>(i + 1);
  const std::vector<OutputTensor> tensors = {tensor_of_bytes("kv_a.weight", FileDtype::f8_e4m3, {rows, columns}, as_bytes(weight)),
                                             tensor_of_f32("kv_a.weight_scale_inv", FileDtype::f32, {5, 2}, scales)};
  ASSERT_TRUE(write_huggingface_weights(directory.path(), tensors, 1'000'000).ok());
  const auto source = TensorSource::open(directory.path()).value();
  std::vector<float> out(rows * columns);
  ASSERT_TRUE(source.read_f32("kv_a.weight", out).ok());
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      const float expected =
          f32_from_f8_e4m3(static_cast<std::uint8_t>(weight[row * columns + column])) * scales[(row / 128) * 2 + column / 128];
      ASSERT_EQ(std::bit_cast<std::uint32_t>(out[row * columns + column]), std::bit_cast<std::uint32_t>(expected)) << row << ", " << column;
    }
  }
}

}  // namespace
}  // namespace godwit::store
