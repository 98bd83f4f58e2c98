// Any bytes are a safetensors file or an error; what is accepted can be read, and says the same when written and read again.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "store/huggingface_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace godwit::store;
  auto file = SafetensorsFile::parse(std::as_bytes(std::span(data, size)), "fuzz");
  if (!file.ok()) return 0;
  std::size_t total = 0;
  for (const auto& entry : file->entries()) {
    CHECK(file->find(entry.name) == &entry, "{} is not found", entry.name);
    total += entry.bytes.size();
  }
  CHECK(total < size, "the entries hold more than the file");
  const TensorSource source(std::move(file).value());
  for (const auto& name : source.weight_names()) {
    std::vector<float> out(source.find(name)->bytes.size() / dtype_bytes(source.find(name)->dtype));
    static_cast<void>(source.read_f32(name, out).ok());
  }
  static_cast<void>(source.digest());
  return 0;
}
