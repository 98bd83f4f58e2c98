// What could go wrong: a line is changed, dropped or moved and nobody notices; a crash's torn line blocks the run, or is glued to the next.
#include "store/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "store/test_directory.h"

namespace godwit::store {
namespace {

using testing::HasSubstr;

JournalEntry entry(std::uint64_t step, std::string verdict = "commit", std::string note = "") {
  return {step, sha256(as_bytes(fmt::format("state {}", step))), std::move(verdict), std::move(note)};
}

bool same(const JournalEntry& a, const JournalEntry& b) {
  return a.step == b.step && a.digest == b.digest && a.verdict == b.verdict && a.note == b.note;
}

std::vector<JournalEntry> written() {
  return {
      entry(0, "start", "steps = 4"), entry(1), entry(2, "commit", "a \"note\"\nof two lines, ü"), entry(3), entry(3, "extend"), entry(4)};
}

std::string write_all(const TestDirectory& directory) {
  auto journal = Journal::open(directory.path()).value();
  for (const auto& item : written()) EXPECT_TRUE(journal.append(item).ok());
  return read_file(directory / "journal.jsonl").value();
}

// Not durably, and not over an old file, which some file systems then sync on their own: it is done thousands of times.
void put(const TestDirectory& directory, std::string_view text) {
  fs::remove(directory / "journal.jsonl");
  std::ofstream(directory / "journal.jsonl", std::ios::binary) << text;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = text.find('\n', start) + 1;
    lines.push_back(text.substr(start, end - start));
    start = end;
  }
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line;
  return text;
}

TEST(Journal, WhatWasAppendedIsThereAgain) {
  const TestDirectory directory;
  const std::string text = write_all(directory);
  EXPECT_EQ(lines_of(text).size(), written().size());
  EXPECT_THAT(text, testing::StartsWith(fmt::format(R"({{"step":0,"digest":"{}","verdict":"start","note":"steps = 4","previous":"{}",)"
                                                    R"("hash":")",
                                                    hex(entry(0).digest), std::string(64, '0'))));
  auto journal = Journal::open(directory.path()).value();
  EXPECT_TRUE(std::equal(journal.entries().begin(), journal.entries().end(), written().begin(), same));
  EXPECT_EQ(journal.entries().size(), written().size());
  EXPECT_EQ(journal.committed(3), entry(3).digest);
  EXPECT_EQ(journal.committed(0), std::nullopt);
  EXPECT_EQ(journal.committed(7), std::nullopt);
  const auto other = sha256(as_bytes("another way"));
  ASSERT_TRUE(journal.append({3, other, "commit", ""}).ok());
  EXPECT_EQ(journal.committed(3), other) << "the latest commit of a step counts";
  const auto content = Journal::read(directory.path()).value();
  EXPECT_EQ(content.entries.size(), written().size() + 1);
  EXPECT_FALSE(content.torn);
}

TEST(Journal, WhatWasRolledBackIsNotCommitted) {
  const TestDirectory directory;
  {
    auto journal = Journal::open(directory.path()).value();
    for (const std::uint64_t step : {1u, 2u, 3u, 4u}) EXPECT_TRUE(journal.append(entry(step)).ok());
    EXPECT_TRUE(journal.append(entry(2, "rollback")).ok());
    EXPECT_EQ(journal.committed(2), entry(2).digest);
    EXPECT_EQ(journal.committed(3), std::nullopt);
    EXPECT_EQ(journal.committed(4), std::nullopt);
    JournalEntry anew = entry(3);
    anew.digest = entry(30).digest;
    EXPECT_TRUE(journal.append(anew).ok());
  }
  const auto journal = Journal::open(directory.path()).value();
  EXPECT_EQ(journal.committed(3), entry(30).digest);
  EXPECT_EQ(journal.committed(4), std::nullopt) << "it was committed after a state that does not count any more";
}

TEST(Journal, EveryFlippedByteIsFound) {
  const TestDirectory directory;
  const std::string text = write_all(directory);
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    for (const int flip : {0x01, 0x20, 0x80}) {
      std::string changed = text;
      changed[i] = static_cast<char>(changed[i] ^ flip);
      put(directory, changed);
      const auto content = Journal::read(directory.path());
      ASSERT_FALSE(content.ok()) << "byte " << i << ", bits " << flip;
      EXPECT_EQ(content.error().kind, ErrorKind::differs);
      if (i % 97 == 0) {
        EXPECT_FALSE(Journal::open(directory.path()).ok());
        EXPECT_EQ(read_file(directory / "journal.jsonl").value(), changed)
            << "a changed journal is left as it is, for its owner to look at";
      }
    }
  }
  // The last line feed alone is what a crash may leave out, but not change.
  put(directory, text.substr(0, text.size() - 1) + "x");
  EXPECT_FALSE(Journal::read(directory.path()).ok());
}

TEST(Journal, DroppedMovedAndRepeatedLinesAreFoundByNumber) {
  const TestDirectory directory;
  const auto lines = lines_of(write_all(directory));
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    auto dropped = lines, swapped = lines, doubled = lines;
    dropped.erase(dropped.begin() + static_cast<std::ptrdiff_t>(i));
    std::swap(swapped[i], swapped[i + 1]);
    doubled.insert(doubled.begin() + static_cast<std::ptrdiff_t>(i), lines[i]);
    for (const auto& [bad, number] : {std::pair(dropped, i + 1), std::pair(swapped, i + 1), std::pair(doubled, i + 2)}) {
      put(directory, joined(bad));
      const auto content = Journal::read(directory.path());
      ASSERT_FALSE(content.ok());
      EXPECT_THAT(content.error().message, HasSubstr(fmt::format("journal.jsonl: line {}: follows a line with the hash", number)));
    }
  }
  // A line of another journal, intact in itself.
  const TestDirectory other;
  {
    auto journal = Journal::open(other.path()).value();
    ASSERT_TRUE(journal.append(entry(0, "start", "another run")).ok());
    ASSERT_TRUE(journal.append(entry(1)).ok());
  }
  auto mixed = lines;
  mixed[1] = lines_of(read_file(other / "journal.jsonl").value())[1];
  put(directory, joined(mixed));
  EXPECT_THAT(Journal::read(directory.path()).error().message, HasSubstr("line 2"));
}

TEST(Journal, ATornLastLineIsCutOffAndTheRunGoesOn) {
  const TestDirectory directory;
  const std::string text = write_all(directory);
  const std::size_t last = text.size() - lines_of(text).back().size();
  testing::internal::CaptureStderr();
  for (std::size_t size = last; size < text.size(); size += size < last + 4 || size + 4 > text.size() ? 1 : 7) {
    put(directory, text.substr(0, size));
    EXPECT_EQ(Journal::read(directory.path()).value().torn, size != last);
    auto journal = Journal::open(directory.path()).value();
    EXPECT_EQ(journal.entries().size(), written().size() - 1);
    ASSERT_TRUE(journal.append(written().back()).ok());
    ASSERT_EQ(read_file(directory / "journal.jsonl").value(), text) << size;
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("line 6 is torn, as a crash leaves it; its 1 bytes are cut off"));
}

TEST(Journal, AFullDiskLatchesItUntilItIsOpenedAgain) {
  const TestDirectory directory;
  const std::string before = write_all(directory);
  for (const auto failing : {DiskOperation::write, DiskOperation::sync}) {
    auto journal = Journal::open(directory.path()).value();
    {
      const ScopedDiskFault fault([&](DiskCall& call) { return call.operation == failing ? ENOSPC : 0; });
      EXPECT_FALSE(journal.append(entry(5)).ok());
    }
    EXPECT_FALSE(journal.append(entry(5)).ok()) << "what is on the disk is not known";
    EXPECT_EQ(journal.entries().size(), written().size());
    auto again = Journal::open(directory.path()).value();
    EXPECT_GE(again.entries().size(), written().size());
    put(directory, before);
  }
}

TEST(Journal, AMissingOneIsAnErrorToReadAndMadeByOpen) {
  const TestDirectory directory;
  EXPECT_EQ(Journal::read(directory / "none").error().kind, ErrorKind::input);
  EXPECT_TRUE(Journal::open(directory / "none").value().entries().empty());
  EXPECT_TRUE(Journal::read(directory / "none").value().entries.empty());
}

}  // namespace
}  // namespace godwit::store
