#include "golden_bits.h"
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/file.h"
#include "base/json.h"

namespace godwit::golden {
namespace {

using program::Dtype;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

Result<Dtype> dtype_from_name(const std::string& name) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::i32}) {
    if (program::dtype_name(dtype) == name) return dtype;
  }
  return input_error("dtype '{}' is none of f32, bf16, i32", name);
}

program::Shape shape_from(const Json& json) {
  switch (json.size()) {
    case 0:
      return {};
    case 1:
      return {json[0].get<std::int64_t>()};
    case 2:
      return {json[0].get<std::int64_t>(), json[1].get<std::int64_t>()};
    case 3:
      return {json[0].get<std::int64_t>(), json[1].get<std::int64_t>(), json[2].get<std::int64_t>()};
    default:
      return {json[0].get<std::int64_t>(), json[1].get<std::int64_t>(), json[2].get<std::int64_t>(), json[3].get<std::int64_t>()};
  }
}

Result<Bytes> sized_bytes(const Json& json, const char* key, const GoldenTensor& tensor) {
  TRY_ASSIGN(Bytes bytes, bytes_from_hex(json[key].get<std::string>()));
  if (bytes.size() != static_cast<std::size_t>(tensor.type.bytes())) {
    return input_error("tensor {} {} has {} bytes of {}, its shape asks for {}", tensor.name, tensor.type.shape.text(), bytes.size(), key,
                       tensor.type.bytes());
  }
  return bytes;
}

Result<GoldenTensor> tensor_from(const Json& json) {
  GoldenTensor tensor;
  tensor.name = json["name"].get<std::string>();
  TRY_ASSIGN(tensor.type.dtype, dtype_from_name(json["dtype"].get<std::string>()));
  tensor.type.shape = shape_from(json["shape"]);
  TRY_ASSIGN(tensor.bytes, sized_bytes(json, "bits", tensor));
  if (json.contains("initial")) {
    TRY_ASSIGN(tensor.initial, sized_bytes(json, "initial", tensor));
  }
  return tensor;
}

Result<GoldenCase> case_from(const Json& json) {
  GoldenCase golden;
  golden.name = json["name"].get<std::string>();
  for (const auto& [name, value] : json["attributes"].items()) {
    program::Attribute attribute{.name = name, .value = {}};
    if (value.is_number_float()) {
      attribute.value = value.get<double>();
    } else {
      attribute.value = value.get<std::int64_t>();
    }
    golden.attributes.push_back(std::move(attribute));
  }
  for (const Json& input : json["inputs"]) {
    TRY_ASSIGN(GoldenTensor tensor, tensor_from(input));
    golden.inputs.push_back(std::move(tensor));
  }
  for (const Json& output : json["outputs"]) {
    TRY_ASSIGN(GoldenTensor tensor, tensor_from(output));
    golden.outputs.push_back(std::move(tensor));
  }
  return golden;
}

Result<GoldenOp> op_from(const std::filesystem::path& path) {
  TRY_ASSIGN(const std::string text, read_file(path));
  TRY_ASSIGN(const Json json, parse_json(text, path.filename().string()));
  GoldenOp golden{.op = json["op"].get<std::string>(), .cases = {}};
  for (const Json& one : json["cases"]) {
    TRY_ASSIGN(GoldenCase parsed, case_from(one));
    golden.cases.push_back(std::move(parsed));
  }
  return golden;
}

bool is_nan_bits(std::uint32_t bits) {
  return (bits & 0x7FFFFFFFu) > 0x7F800000u;
}

std::string index_text(std::int64_t index, const program::Shape& shape) {
  std::vector<std::int64_t> places(static_cast<std::size_t>(shape.rank()));
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    places[static_cast<std::size_t>(axis)] = index % shape[axis];
    index /= shape[axis];
  }
  return fmt::format("[{}]", fmt::join(places, ", "));
}

}  // namespace

Result<Bytes> bytes_from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return input_error("{} hexadecimal digits are no whole number of bytes", hex.size());
  Bytes bytes(hex.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int high = hex_digit(hex[2 * i]);
    const int low = hex_digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return input_error("'{}{}' are no hexadecimal digits (0-9, a-f)", hex[2 * i], hex[2 * i + 1]);
    bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return bytes;
}

Result<std::vector<GoldenOp>> read_golden_ops(const std::filesystem::path& folder) {
  TRY_ASSIGN(const std::vector<std::string> names, list_directory(folder));
  std::vector<GoldenOp> ops;
  for (const std::string& name : names) {
    if (!name.ends_with(".json")) continue;
    auto golden = op_from(folder / name);
    if (!golden.ok()) return input_error("{}: {}", name, golden.error().message);
    ops.push_back(std::move(*golden));
  }
  return ops;
}

std::optional<std::string> first_difference(const GoldenTensor& golden, const Bytes& actual) {
  CHECK(actual.size() == golden.bytes.size(), "output {} has {} bytes, golden {}", golden.name, actual.size(), golden.bytes.size());
  const std::size_t width = static_cast<std::size_t>(program::dtype_bytes(golden.type.dtype));
  std::int64_t first = -1;
  std::int64_t differing = 0;
  for (std::size_t i = 0; i < golden.bytes.size() / width; ++i) {
    if (std::memcmp(&actual[i * width], &golden.bytes[i * width], width) == 0) continue;
    if (golden.type.dtype == Dtype::f32) {
      std::uint32_t a = 0;
      std::uint32_t b = 0;
      std::memcpy(&a, &actual[i * width], width);
      std::memcpy(&b, &golden.bytes[i * width], width);
      if (is_nan_bits(a) && is_nan_bits(b)) continue;
    }
    if (differing++ == 0) first = static_cast<std::int64_t>(i);
  }
  if (differing == 0) return std::nullopt;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  std::memcpy(&a, &actual[static_cast<std::size_t>(first) * width], width);
  std::memcpy(&b, &golden.bytes[static_cast<std::size_t>(first) * width], width);
  std::string values;
  if (golden.type.dtype == Dtype::i32) {
    values = fmt::format("{}, golden {}", std::bit_cast<std::int32_t>(a), std::bit_cast<std::int32_t>(b));
  } else {
    const int shift = golden.type.dtype == Dtype::bf16 ? 16 : 0;
    values = fmt::format("0x{:0{}x} ({:.9g}), golden 0x{:0{}x} ({:.9g})", a, 2 * width, std::bit_cast<float>(a << shift), b, 2 * width,
                         std::bit_cast<float>(b << shift));
  }
  return fmt::format("{} {}{} is {}; {} of {} elements differ", golden.name, golden.type.shape.text(), index_text(first, golden.type.shape),
                     values, differing, golden.type.shape.count());
}

}  // namespace godwit::golden
