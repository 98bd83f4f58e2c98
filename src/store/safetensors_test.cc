// What could go wrong: a hostile or broken header is believed (bytes read outside the file, one tensor's bytes taken for another's), or
// what is written does not read back to the same bytes.
#include "store/safetensors.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "store/test_directory.h"

namespace godwit::store {
namespace {

std::string file_of(std::string_view header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  return file.append(header).append(data_bytes, 'd');
}

std::string error_of(std::string_view header, std::size_t data_bytes) {
  const std::string file = file_of(header, data_bytes);
  auto parsed = SafetensorsFile::parse(as_bytes(file), "f");
  if (parsed.ok()) return "accepted";
  EXPECT_EQ(parsed.error().kind, ErrorKind::input);
  return parsed.error().message;
}

std::vector<OutputTensor> example(std::span<const float> values, std::string_view flags) {
  return {tensor_of_bytes("flags", FileDtype::u8, {3}, as_bytes(flags)), tensor_of_f32("half", FileDtype::bf16, {2, 3}, values.first(6)),
          tensor_of_f32("w", FileDtype::f32, {3, 2}, values.first(6)), tensor_of_f32("none", FileDtype::f32, {0, 4}, {}),
          tensor_of_f32("scalar", FileDtype::f16, {}, values.first(1))};
}

TEST(Safetensors, WhatIsWrittenReadsBack) {
  const TestDirectory directory;
  const std::vector<float> values = {1.5f, -2, 3, 4, 5, 6.25f};
  const auto digest = write_safetensors(directory / "a", example(values, "\x01\x02\x03"), {{"made by", "a \"test\""}}).value();
  auto file = SafetensorsFile::open(directory / "a").value();
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}, {"made by", "a \"test\""}}));
  std::vector<std::string> names;
  for (const auto& entry : file.entries()) {
    names.push_back(entry.name);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(entry.bytes.data()) % dtype_bytes(entry.dtype), 0u) << entry.name;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"w", "none", "half", "scalar", "flags"}));  // wider first, else as given
  const auto* w = file.find("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->shape, (std::vector<std::uint64_t>{3, 2}));
  EXPECT_EQ(std::memcmp(w->bytes.data(), values.data(), 24), 0);
  EXPECT_EQ(file.find("none")->bytes.size(), 0u);
  EXPECT_EQ(file.find("scalar")->bytes.size(), 2u);
  EXPECT_EQ(file.find("x"), nullptr);

  const std::string bytes = read_file(directory / "a").value();
  EXPECT_EQ(sha256(as_bytes(bytes)), digest.file);
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ(header % 8, 0u);
  EXPECT_EQ(sha256(as_bytes(bytes).first(8 + header)), digest.header);

  // Written again from what was read: the same bytes.
  const auto moved = std::move(file);
  std::vector<OutputTensor> again;
  for (const auto& entry : moved.entries()) again.push_back(tensor_of_bytes(entry.name, entry.dtype, entry.shape, entry.bytes));
  const Metadata rest(moved.metadata().begin() + 1, moved.metadata().end());
  EXPECT_EQ(write_safetensors(directory / "b", again, rest).value().file, digest.file);
  EXPECT_EQ(read_file(directory / "b").value(), bytes);
}

TEST(Safetensors, LongTensorsConvertPieceByPiece) {
  const TestDirectory directory;
  std::vector<float> values(200'001);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  ASSERT_TRUE(write_safetensors(directory / "a", std::vector{tensor_of_f32("w", FileDtype::f16, {200'001}, values)}).ok());
  const auto file = SafetensorsFile::open(directory / "a").value();
  std::vector<float> back(values.size());
  to_f32(FileDtype::f16, file.find("w")->bytes, back);
  EXPECT_EQ(back[1999], 1999.0f);
  EXPECT_EQ(back[65'504], 65'504.0f);
  EXPECT_EQ(back[200'000], std::numeric_limits<float>::infinity());
}

TEST(Safetensors, AFailedWriteLeavesNoFileAndAWriterThatLiesAborts) {
  const TestDirectory directory;
  const std::vector<float> values(6);
  for (int failing = 0; failing < 4; ++failing) {  // create, write, sync, rename
    int calls = 0;
    ScopedDiskFault fault([&](DiskCall& call) { return call.operation != DiskOperation::remove && calls++ == failing ? ENOSPC : 0; });
    EXPECT_FALSE(write_safetensors(directory / "a", example(values, "abc")).ok()) << failing;
    EXPECT_TRUE(fs::is_empty(directory.path())) << failing;
  }
  EXPECT_DEATH(static_cast<void>(write_safetensors(directory / "b", std::vector{tensor_of_f32("w", FileDtype::f32, {7}, values)})),
               "w: 24 bytes were written for shape \\[7\\]");
  const std::vector twice{tensor_of_f32("w", FileDtype::f32, {6}, values), tensor_of_f32("w", FileDtype::f32, {6}, values)};
  EXPECT_DEATH(static_cast<void>(write_safetensors(directory / "b", twice)), "w is written twice");
}

TEST(Safetensors, GoodHeadersOfOthersAreRead) {
  EXPECT_EQ(error_of("{}", 0), "accepted");
  EXPECT_EQ(error_of("{}      ", 0), "accepted");
  EXPECT_EQ(error_of(R"({"a":{"data_offsets":[0,0],"shape":[0],"dtype":"F32"},"b":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]}})", 2),
            "accepted");
  const std::string file =
      file_of(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} )", 5);
  EXPECT_EQ(SafetensorsFile::parse(as_bytes(file), "f").value().entries()[0].name, "a");
}

TEST(Safetensors, BadHeadersAreRefusedByName) {
  auto one = [](std::string_view entry) { return fmt::format(R"({{"w":{}}})", entry); };
  auto w = [&](std::string_view dtype, std::string_view shape, std::string_view offsets) {
    return one(fmt::format(R"({{"dtype":{},"shape":{},"data_offsets":{}}})", dtype, shape, offsets));
  };
  auto two = [](const char* a, const char* b) {
    return fmt::format(R"({{"a":{{"dtype":"U8","shape":[4],"data_offsets":{}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{}}}}})", a,
                       b);
  };
  EXPECT_EQ(error_of(two("[0,4]", "[4,8]"), 8), "accepted");
  EXPECT_EQ(error_of(two("[0,4]", "[3,7]"), 7), "f: b begins at byte 3, inside a, which ends at 4");
  EXPECT_EQ(error_of(two("[0,4]", "[0,4]"), 4), "f: b begins at byte 0, inside a, which ends at 4");
  EXPECT_EQ(error_of(two("[0,4]", "[5,9]"), 9), "f: b begins at byte 5, but a ends at 4: a gap");
  EXPECT_EQ(error_of(two("[1,5]", "[5,9]"), 9), "f: a begins at byte 1, but the start of the data ends at 0: a gap");
  EXPECT_EQ(error_of(two("[0,4]", "[4,8]"), 9), "f: the tensors end at byte 8 of the data, which has 9");
  EXPECT_EQ(error_of(two("[0,4]", "[4,8]"), 7), "f: b: data_offsets [4, 8] lie outside the file, which has 7 bytes of data");
  EXPECT_EQ(error_of(w(R"("F32")", "[2]", "[8,0]"), 8), "f: w: data_offsets [8, 0] end before they begin");
  EXPECT_EQ(error_of(w(R"("F32")", "[2]", "[0,18446744073709551615]"), 8),
            "f: w: data_offsets [0, 18446744073709551615] lie outside the file, which has 8 bytes of data");
  EXPECT_EQ(error_of(w(R"("F32")", "[3]", "[0,8]"), 8), "f: w: shape [3] of F32 takes 12 bytes, data_offsets [0, 8] hold 8");
  EXPECT_EQ(error_of(w(R"("F32")", "[4294967296,4294967296]", "[0,0]"), 0), "f: w: shape [4294967296, 4294967296] is too large to be true");
  EXPECT_EQ(error_of(w(R"("F32")", "[4611686018427387904]", "[0,0]"), 0), "f: w: shape [4611686018427387904] is too large to be true");
  EXPECT_EQ(error_of(w(R"("F33")", "[2]", "[0,8]"), 8), "f: w: dtype \"F33\" is not one that can be read");
  EXPECT_EQ(error_of(w("7", "[2]", "[0,8]"), 8), "f: w: dtype 7 is not one that can be read");
  for (const char* list : {"2", "[-2]", "[2.0]", "[\"2\"]", "{}", "[[2]]", "null"}) {
    EXPECT_EQ(error_of(w(R"("F32")", list, "[0,8]"), 8), "f: w: shape is not a list of non-negative integers") << list;
    EXPECT_EQ(error_of(w(R"("F32")", "[2]", list), 8), "f: w: data_offsets is not a list of non-negative integers") << list;
  }
  EXPECT_EQ(error_of(w(R"("F32")", "[2]", "[0,4,8]"), 8), "f: w: data_offsets has 3 numbers, not 2");
  EXPECT_EQ(error_of(w(R"("U8")", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,8]", "[0,8]"), 8),
            "f: w: shape has 17 dimensions; at most 16 are read");
  EXPECT_EQ(error_of(one(R"({"dtype":"F32","shape":[2]})"), 8), "f: w: the header's entry has no data_offsets");
  EXPECT_EQ(error_of(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})"), 8),
            "f: w: the header's entry has a key 'x', which safetensors does not know");
  EXPECT_EQ(error_of(one("[1]"), 8), "f: w: the header's entry is not an object");
  EXPECT_EQ(error_of("[]", 0), "f: the header is not a JSON object");
  EXPECT_EQ(error_of(R"({"__metadata__":{"a":1}})", 0), "f: __metadata__: the value of 'a' is not a string");
  EXPECT_EQ(error_of(R"({"__metadata__":"a"})", 0), "f: __metadata__ is not an object");
  EXPECT_EQ(error_of(R"({"w":{},"w":{}})", 0), "f (header):1:9: the key \"w\" appears twice in one object");
  EXPECT_NE(error_of("{\"w\":" + std::string(1'000'000, '['), 0).find("nested deeper than 8 levels"), std::string::npos);
  EXPECT_NE(error_of("{\"w\"", 0).find("not valid JSON"), std::string::npos);
}

TEST(Safetensors, AbsurdLengthsAndTruncation) {
  auto error = [](std::string_view file) { return SafetensorsFile::parse(as_bytes(file), "f").error().message; };
  EXPECT_EQ(error(""), "f: is 0 bytes, too short for a safetensors file");
  EXPECT_EQ(error(std::string(8, '\xff')),
            "f: not a safetensors file: its header would be 18446744073709551615 bytes, more than 100000000");
  EXPECT_EQ(error(std::string("\x09\0\0\0\0\0\0\0{}", 10)), "f: is cut off: its header should be 9 bytes, 2 follow");
  const std::string whole = file_of(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  ASSERT_TRUE(SafetensorsFile::parse(as_bytes(whole), "f").ok());
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_FALSE(SafetensorsFile::parse(as_bytes(whole).first(bytes), "f").ok()) << bytes;
  }
  EXPECT_FALSE(SafetensorsFile::parse(as_bytes(whole + "x"), "f").ok());
}

}  // namespace
}  // namespace godwit::store
