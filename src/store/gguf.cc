#include "store/gguf.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstring>
#include <limits>
#include <string_view>
#include <unordered_set>

#include "base/check.h"
#include "store/dtype.h"
#include "store/narrow.h"

namespace godwit::store {
namespace {

constexpr std::uint32_t version = 3;
constexpr std::uint64_t alignment = 32;  // the format's default, which no key changes here

// The format's numbers of value types.
enum class ValueType : std::uint32_t { u32 = 4, i32 = 5, f32 = 6, boolean = 7, text = 8, array = 9 };

struct Q8Block {
  std::uint16_t scale;
  std::array<std::int8_t, q8_0_elements> quants;
};
static_assert(sizeof(Q8Block) == 34);

std::uint64_t padding(std::uint64_t bytes) {
  return (alignment - bytes % alignment) % alignment;
}

std::uint64_t tensor_bytes(const GgufTensor& tensor) {
  const auto count = element_count(tensor.shape);
  CHECK(count && !tensor.shape.empty(), "{} has shape {}", tensor.name, shape_text(tensor.shape));
  switch (tensor.type) {
    case GgufType::f32:
      return *count * sizeof(float);
    case GgufType::bf16:
      return *count * sizeof(std::uint16_t);
    case GgufType::q8_0:
      CHECK(tensor.shape.back() % q8_0_elements == 0, "{}: rows of {} are not blocks of {}", tensor.name, tensor.shape.back(),
            q8_0_elements);
      return *count / q8_0_elements * sizeof(Q8Block);
  }
  CHECK(false, "{} has no type", tensor.name);
}

// All that stands before the tensors' bytes.
class Header {
 public:
  void number(std::integral auto value) { bytes(&value, sizeof value); }
  void text(std::string_view text) {
    number(std::uint64_t{text.size()});
    bytes(text.data(), text.size());
  }
  void value(const GgufValue& value) {
    std::visit([this](const auto& v) { write(v); }, value);
  }
  void bytes(const void* data, std::size_t size) { text_.append(static_cast<const char*>(data), size); }
  [[nodiscard]] const std::string& written() const { return text_; }

 private:
  void type(ValueType type) { number(static_cast<std::uint32_t>(type)); }
  void write(std::uint32_t value) {
    type(ValueType::u32);
    number(value);
  }
  void write(float value) {
    type(ValueType::f32);
    bytes(&value, sizeof value);
  }
  void write(bool value) {
    type(ValueType::boolean);
    number(static_cast<std::uint8_t>(value));
  }
  void write(const std::string& value) {
    type(ValueType::text);
    text(value);
  }
  void write(const std::vector<std::string>& values) {
    array(ValueType::text, values.size());
    for (const auto& value : values) text(value);
  }
  void write(const std::vector<std::int32_t>& values) {
    array(ValueType::i32, values.size());
    bytes(values.data(), values.size() * sizeof values.front());
  }
  void array(ValueType items, std::uint64_t count) {
    type(ValueType::array);
    type(items);
    number(count);
  }

  std::string text_;
};

std::string make_header(std::span<const GgufKey> keys, std::span<const GgufTensor> tensors) {
  Header header;
  header.bytes("GGUF", 4);
  header.number(version);
  header.number(std::uint64_t{tensors.size()});
  header.number(std::uint64_t{keys.size()});
  std::unordered_set<std::string_view> names;
  for (const auto& key : keys) {
    CHECK(names.insert(key.name).second, "the key {} is written twice", key.name);
    header.text(key.name);
    header.value(key.value);
  }
  std::uint64_t offset = 0;
  for (const auto& tensor : tensors) {
    CHECK(names.insert(tensor.name).second, "{} is written twice", tensor.name);
    header.text(tensor.name);
    header.number(static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto dimension = tensor.shape.rbegin(); dimension != tensor.shape.rend(); ++dimension) header.number(*dimension);
    header.number(static_cast<std::uint32_t>(tensor.type));
    header.number(offset);
    const std::uint64_t bytes = tensor_bytes(tensor);
    offset += bytes + padding(bytes);
  }
  std::string text = header.written();
  text.append(padding(text.size()), '\0');
  return text;
}

Result<Q8Block> quantize(std::span<const float> values, const std::string& name, std::size_t start) {
  float largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i]))
      return input_error("{}: element {} is {}, which Q8_0 cannot hold; export as f32", name, start + i, values[i]);
    largest = std::max(largest, std::abs(values[i]));
  }
  const float scale = largest / 127;
  const float inverse = 1 / scale;
  Q8Block block{f16_from_f32(scale), {}};
  if (block.scale == 0x7c00)
    return input_error("{}: element {} or one of the {} after it is {}, too large for Q8_0; export as f32", name, start, values.size(),
                       largest);
  // So small a scale is 0 in F16: the quants do not matter, but they must be numbers.
  if (!std::isfinite(inverse)) return block;
  for (std::size_t i = 0; i < values.size(); ++i) block.quants[i] = static_cast<std::int8_t>(std::round(values[i] * inverse));
  return block;
}

Result<void> write_blocks(std::span<const float> values, const std::string& name, const ByteSink& sink) {
  constexpr std::size_t piece_blocks = 1 << 11;
  std::vector<Q8Block> piece;
  for (std::size_t start = 0; start < values.size(); start += q8_0_elements) {
    TRY_ASSIGN(const Q8Block block, quantize(values.subspan(start, q8_0_elements), name, start));
    piece.push_back(block);
    if (piece.size() < piece_blocks) continue;
    TRY(sink(std::as_bytes(std::span(piece))));
    piece.clear();
  }
  return sink(std::as_bytes(std::span(piece)));
}

}  // namespace

Result<void> write_gguf(const fs::path& path, std::span<const GgufKey> keys, std::span<const GgufTensor> tensors,
                        const GgufProgress& progress) {
  const std::string header = make_header(keys, tensors);
  std::uint64_t total = header.size();
  for (const auto& tensor : tensors) total += tensor_bytes(tensor) + padding(tensor_bytes(tensor));

  TRY_ASSIGN(auto writer, DurableWriter::create(path));
  TRY(writer.append(header));
  const ByteSink sink = [&](std::span<const std::byte> bytes) -> Result<void> {
    TRY(writer.append(bytes));
    return progress(static_cast<double>(writer.bytes_written()) / static_cast<double>(total));
  };
  for (const auto& tensor : tensors) {
    const std::uint64_t begin = writer.bytes_written(), bytes = tensor_bytes(tensor);
    TRY_ASSIGN(const auto values, tensor.values());
    CHECK(values.size() == *element_count(tensor.shape), "{}: {} values for shape {}", tensor.name, values.size(),
          shape_text(tensor.shape));
    if (tensor.type == GgufType::q8_0) {
      TRY(write_blocks(values, tensor.name, sink));
    } else {
      TRY(write_narrowed(values, tensor.type == GgufType::bf16 ? FileDtype::bf16 : FileDtype::f32, tensor.name, sink));
    }
    CHECK(writer.bytes_written() - begin == bytes, "{}: {} bytes were written, not {}", tensor.name, writer.bytes_written() - begin, bytes);
    TRY(writer.append(std::string(padding(bytes), '\0')));
  }
  return writer.commit();
}

}  // namespace godwit::store
