// What could go wrong: a crash or a full disk leaves half a file where a whole one was, an error is swallowed, two writers share a run.
#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace godwit {
namespace {

class File : public testing::Test {
 protected:
  File() {
    std::string pattern = (fs::temp_directory_path() / "godwit_file_XXXXXX").string();
    CHECK(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
    directory_ = pattern;
  }
  ~File() override { fs::remove_all(directory_); }
  fs::path directory_;
};

TEST_F(File, WritesAndReadsBack) {
  const auto path = directory_ / "a";
  const std::string text(3'000'000, 'x');
  ASSERT_TRUE(write_file_durably(path, text).ok());
  EXPECT_EQ(read_file(path).value(), text);
  EXPECT_EQ(list_directory(directory_).value(), std::vector<std::string>{"a"});
  auto mapped = MappedFile::open(path).value();
  const auto moved = std::move(mapped);
  EXPECT_EQ(moved.bytes().size(), text.size());
  EXPECT_EQ(static_cast<char>(moved.bytes()[2'999'999]), 'x');
}

TEST_F(File, SmallAndLargeAppendsKeepTheirOrder) {
  std::string expected;
  auto writer = DurableWriter::create(directory_ / "a").value();
  for (std::size_t i = 0; i < 300; ++i) {
    const std::string piece((i * i * 37) % 100'003 + (i % 50 == 0 ? 2'000'000 : 0), static_cast<char>('a' + i % 26));
    ASSERT_TRUE(writer.append(piece).ok());
    expected += piece;
  }
  EXPECT_EQ(writer.bytes_written(), expected.size());
  EXPECT_FALSE(fs::exists(directory_ / "a"));
  ASSERT_TRUE(writer.commit().ok());
  EXPECT_EQ(read_file(directory_ / "a").value(), expected);
}

TEST_F(File, ARangeIsReadWholeOrNotAtAll) {
  const auto path = directory_ / "a";
  ASSERT_TRUE(write_file_durably(path, "0123456789").ok());
  std::string bytes(4, ' ');
  const auto read = [&](std::uint64_t offset) { return read_range(path, offset, std::as_writable_bytes(std::span(bytes))); };
  ASSERT_TRUE(read(6).ok());
  EXPECT_EQ(bytes, "6789");
  EXPECT_EQ(read(7).error().kind, ErrorKind::differs);
  EXPECT_EQ(read(7).error().message, path.string() + ": ends 1 bytes before what is read there");
  EXPECT_EQ(read(11).error().kind, ErrorKind::differs);
  ASSERT_TRUE(write_file_durably(path, "abcdefghij").ok());
  ASSERT_TRUE(read(0).ok());
  EXPECT_EQ(bytes, "abcd") << "the file that now has the name";
  fs::remove(path);
  EXPECT_EQ(read(0).error().kind, ErrorKind::input);
}

TEST_F(File, EmptyFiles) {
  ASSERT_TRUE(write_file_durably(directory_ / "e", "").ok());
  EXPECT_EQ(read_file(directory_ / "e").value(), "");
  EXPECT_EQ(MappedFile::open(directory_ / "e").value().bytes().size(), 0u);
}

TEST_F(File, ErrorsNameThePathAndTheReason) {
  auto missing = read_file(directory_ / "missing");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::input);
  EXPECT_EQ(missing.error().message, (directory_ / "missing").string() + ": cannot open: No such file or directory");
  EXPECT_EQ(MappedFile::open(directory_).error().message, directory_.string() + ": is not a regular file");
  EXPECT_EQ(read_file(directory_).error().kind, ErrorKind::input);
  EXPECT_FALSE(write_file_durably(directory_ / "no" / "file", "x").ok());
  ASSERT_TRUE(write_file_durably(directory_ / "five", "12345").ok());
  EXPECT_EQ(read_file(directory_ / "five", 5).value(), "12345");
  EXPECT_EQ(read_file(directory_ / "five", 4).error().message, (directory_ / "five").string() + ": is 5 bytes; at most 4 are read here");
  EXPECT_FALSE(read_file("/dev/zero", 10'000).ok());
}

TEST_F(File, UncommittedLeavesNothing) {
  {
    auto writer = DurableWriter::create(directory_ / "a").value();
    ASSERT_TRUE(writer.append("half").ok());
  }
  EXPECT_TRUE(list_directory(directory_).value().empty());
}

// The n-th call that changes the disk fails, for every n and every reason: the old file or the whole new one, an error in every case but
// the last, and no temporary file.
TEST_F(File, EveryFailingCallKeepsTheOldFileOrTheNew) {
  const auto path = directory_ / "a";
  const std::string before(100, 'o'), after(2'500'000, 'n');
  for (int code : {ENOSPC, EIO}) {
    int calls = 0;
    for (int failing = 0;; ++failing) {
      ASSERT_TRUE(write_file_durably(path, before).ok());
      Result<void> result;
      {
        calls = 0;
        ScopedDiskFault fault([&](DiskCall& call) {
          if (call.operation == DiskOperation::remove) return 0;
          call.bytes = std::min<std::size_t>(call.bytes, 700'001);  // short writes, too
          return calls++ == failing ? code : 0;
        });
        result = write_file_durably(path, after);
      }
      const auto now = read_file(path).value();
      EXPECT_EQ(list_directory(directory_).value(), std::vector<std::string>{"a"}) << failing;
      if (result.ok()) {
        EXPECT_EQ(now, after);
        break;
      }
      EXPECT_TRUE(now == before || now == after) << failing;
      EXPECT_EQ(result.error().kind, ErrorKind::world);
      EXPECT_NE(result.error().message.find(std::generic_category().message(code)), std::string::npos) << result.error().message;
    }
    EXPECT_EQ(calls, 1 + 5 + 1 + 1 + 1);  // create, five short writes, sync, rename, sync of the directory
  }
}

// Past the cache the disk takes whole pieces alone; an end, and what a short write leaves, is none.
TEST_F(File, WhatIsWrittenPastTheCacheIsTheSame) {
  const auto path = directory_ / "a";
  for (const std::size_t size : {0, 1, 4096, 1 << 20, (1 << 20) + 4096, 2'500'000}) {
    for (const std::size_t most : {std::size_t{1} << 30, std::size_t{700'001}, std::size_t{8192}}) {
      std::string content(size, '\0');
      for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 2654435761u >> 24);
      ScopedDiskFault fault([&](DiskCall& call) {
        call.bytes = std::min(call.bytes, most);
        return 0;
      });
      auto writer = DurableWriter::create(path, Cached::no).value();
      for (std::size_t at = 0; at < size; at += 99'991) ASSERT_TRUE(writer.append(std::string_view(content).substr(at, 99'991)).ok());
      ASSERT_TRUE(writer.commit().ok());
      EXPECT_EQ(read_file(path).value(), content) << size << " bytes, " << most << " at once";
    }
  }
}

// What a power cut leaves depends on the order of the calls, which no test on a running system can see otherwise.
TEST_F(File, BytesAreSyncedBeforeTheNameAndTheNameBeforeTheReturn) {
  std::vector<DiskOperation> calls;
  ScopedDiskFault record([&](DiskCall& call) {
    calls.push_back(call.operation);
    return 0;
  });
  using enum DiskOperation;
  ASSERT_TRUE(write_file_durably(directory_ / "a", "x").ok());
  EXPECT_EQ(calls, (std::vector{create, write, sync, rename, sync_directory}));
  calls.clear();
  ASSERT_TRUE(create_directories_durably(directory_ / "d" / "e").ok());
  EXPECT_EQ(calls, (std::vector{make_directory, sync_directory, make_directory, sync_directory}));
  calls.clear();
  ASSERT_TRUE(rename_durably(directory_ / "a", directory_ / "d" / "a").ok());
  EXPECT_EQ(calls, (std::vector{rename, sync_directory, sync_directory}));
  calls.clear();
  auto file = AppendFile::open(directory_ / "journal").value();
  ASSERT_TRUE(file.append("x").ok());
  ASSERT_TRUE(file.sync().ok());
  ASSERT_TRUE(file.truncate(0).ok());
  EXPECT_EQ(calls, (std::vector{create, sync_directory, write, sync, truncate, sync}));
}

TEST_F(File, WriterLatchesAfterAnError) {
  auto writer = DurableWriter::create(directory_ / "a").value();
  {
    ScopedDiskFault fault([&](DiskCall& call) { return call.operation == DiskOperation::sync ? EIO : 0; });
    EXPECT_FALSE(writer.commit().ok());
  }
  EXPECT_FALSE(writer.append("x").ok());
  EXPECT_FALSE(writer.commit().ok());
  EXPECT_FALSE(fs::exists(directory_ / "a"));
}

TEST_F(File, AppendFileGrowsIsCutAndLatches) {
  const auto path = directory_ / "journal";
  auto file = AppendFile::open(path).value();
  ASSERT_TRUE(file.append("one\ntwo\nthr").ok());
  ASSERT_TRUE(file.sync().ok());
  file = AppendFile::open(path).value();
  EXPECT_EQ(file.size(), 11u);
  ASSERT_TRUE(file.truncate(8).ok());
  ASSERT_TRUE(file.append("three\n").ok());
  EXPECT_EQ(read_file(path).value(), "one\ntwo\nthree\n");
  {
    ScopedDiskFault fault([&](DiskCall&) { return ENOSPC; });
    EXPECT_FALSE(file.append("four\n").ok());
  }
  EXPECT_NE(file.append("four\n").error().message.find("No space left"), std::string::npos);
  EXPECT_FALSE(file.sync().ok());
}

TEST_F(File, DirectoriesAreMadeRenamedAndRemoved) {
  ASSERT_TRUE(create_directories_durably(directory_ / "x" / "y" / "z").ok());
  ASSERT_TRUE(create_directories_durably(directory_ / "x" / "y" / "z").ok());
  ASSERT_TRUE(write_file_durably(directory_ / "x/y/z/f", "1").ok());
  ASSERT_TRUE(rename_durably(directory_ / "x" / "y", directory_ / "w").ok());
  EXPECT_EQ(read_file(directory_ / "w/z/f").value(), "1");
  EXPECT_FALSE(create_directories_durably(directory_ / "w/z/f").ok());
  EXPECT_FALSE(create_directories_durably(directory_ / "w/z/f/g").ok());
  ASSERT_TRUE(remove_tree(directory_ / "w").ok());
  ASSERT_TRUE(remove_tree(directory_ / "w").ok());
  ASSERT_TRUE(write_file_durably(directory_ / ".a.1.0.tmp", "left behind").ok());
  ASSERT_TRUE(remove_temporaries(directory_).ok());
  EXPECT_EQ(list_directory(directory_).value(), std::vector<std::string>{"x"});
  EXPECT_GT(free_space(directory_).value(), 0u);
}

TEST_F(File, LockKeepsTheSecondOutAndNamesTheFirst) {
  const auto path = directory_ / "lock";
  EXPECT_FALSE(LockFile::holder(path).value().has_value());
  {
    auto first = LockFile::acquire(path, "run 'demo'", "stop it first").value();
    auto second = LockFile::acquire(path, "run 'demo'", "stop it first");
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().kind, ErrorKind::input);
    EXPECT_EQ(second.error().message.rfind(fmt::format("run 'demo' is locked by process {} (started 2", ::getpid()), 0), 0u)
        << second.error().message;
    EXPECT_NE(second.error().message.find("); stop it first"), std::string::npos);
    EXPECT_EQ(LockFile::holder(path).value()->process, ::getpid());
  }
  EXPECT_FALSE(LockFile::holder(path).value().has_value());
  EXPECT_TRUE(LockFile::acquire(path, "run 'demo'", "").ok());
}

TEST_F(File, LockDiesWithItsProcess) {
  const auto path = directory_ / "lock";
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto lock = LockFile::acquire(path, "run", "");
    const char byte = lock.ok() ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_EQ(LockFile::holder(path).value()->process, child);
  EXPECT_FALSE(LockFile::acquire(path, "run", "").ok());
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  EXPECT_TRUE(LockFile::acquire(path, "run", "", std::chrono::seconds(10)).ok());
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace godwit
