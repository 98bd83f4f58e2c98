// For this room's tests: a directory of its own, removed at the end, and what they all open.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "data/kinds.h"

namespace godwit::data {

class TestFiles {
 public:
  TestFiles() {
    std::string pattern = (std::filesystem::temp_directory_path() / "godwit_data_XXXXXX").string();
    CHECK(::mkdtemp(pattern.data()) != nullptr, "mkdtemp {}", pattern);
    path_ = pattern;
  }
  ~TestFiles() { std::filesystem::remove_all(path_); }
  TestFiles(const TestFiles&) = delete;
  TestFiles& operator=(const TestFiles&) = delete;

  std::filesystem::path write(std::string_view name, std::string_view content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }
  static std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::filesystem::path cache() const { return path_ / "cache"; }
  std::vector<std::filesystem::path> shards() const {
    std::vector<std::filesystem::path> list;
    for (const auto& entry : std::filesystem::directory_iterator(cache())) list.push_back(entry.path());
    return list;
  }

 private:
  std::filesystem::path path_;
};

// What the error says, or "" if there is none.
template <typename T>
std::string message(const Result<T>& result) {
  return result.ok() ? "" : result.error().message;
}

inline std::vector<Sample> take(const Dataset& dataset, Cursor& cursor, std::int64_t count) {
  auto samples = dataset.next(cursor, count);
  CHECK(samples.ok(), "{}", samples.error().message);
  return std::move(samples).value();
}

inline std::vector<Sample> take(const Dataset& dataset, std::int64_t count) {
  Cursor cursor = dataset.begin();
  return take(dataset, cursor, count);
}

inline std::vector<Sample> validation_of(const Dataset& dataset) {
  std::vector<Sample> samples;
  for (std::int64_t i = 0; i < dataset.validation_count(); ++i) samples.push_back(dataset.validation(i).value());
  return samples;
}

inline std::vector<std::vector<std::int32_t>> ids_of(const std::vector<Sample>& samples) {
  std::vector<std::vector<std::int32_t>> ids;
  for (const Sample& sample : samples) ids.push_back(sample.ids);
  return ids;
}

}  // namespace godwit::data
