// What could go wrong with a library that is loaded at run time: it speaks another version, is older than this program, is no backend at
// all, crashes or hangs; and what it does must be a line in a list, not the end of who asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>

#include "device/backends.h"
#include "device/listing.h"

namespace godwit::device {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Plugins : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::setenv("GODWIT_BACKEND_PATH", GODWIT_TEST_PLUGINS, 1), 0); }
  void TearDown() override { ::unsetenv("GODWIT_BACKEND_PATH"); }
};

TEST_F(Plugins, AnUnknownNameIsAnInputErrorThatSaysWhichThereAre) {
  const auto found = find_backend("nosuch");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().kind, ErrorKind::input);
  EXPECT_THAT(found.error().message, AllOf(HasSubstr("nosuch"), HasSubstr("cpu"), HasSubstr("test_old")));
}

TEST_F(Plugins, AnotherMajorVersionIsRefusedWithBothNumbers) {
  const auto found = find_backend("test_foreign");
  ASSERT_FALSE(found.ok());
  EXPECT_THAT(found.error().message, AllOf(HasSubstr("libgodwit_backend_test_foreign.so"), HasSubstr("version 2.2"), HasSubstr("1.2")));
}

TEST_F(Plugins, AnOlderMinorVersionLoadsAndHasNothingBehindItsTable) {
  const auto found = find_backend("test_old");
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ((*found)->minor, 0);
  EXPECT_EQ((*found)->struct_size, sizeof(godwit_backend));
  EXPECT_EQ((*found)->op_time, nullptr);
  EXPECT_EQ((*found)->watch, nullptr);
  EXPECT_EQ(find_backend("test_old").value(), *found);  // loaded once
}

TEST(AdoptTable, LessThanTheFirstMinorVersionIsRefused) {
  godwit_backend table{};
  table.struct_size = offsetof(godwit_backend, abort);
  table.major = GODWIT_BACKEND_MAJOR;
  EXPECT_FALSE(adopt_table(table).ok());
}

TEST_F(Plugins, ALibraryIsWhatItsFileSaysItIs) {
  const auto found = find_backend("test_misnamed");
  ASSERT_FALSE(found.ok());
  EXPECT_THAT(found.error().message, HasSubstr("it calls itself somebody"));
}

TEST_F(Plugins, WhatCrashesOrHangsIsALineInTheList) {
  const auto asked = [](const char* name) { return list_devices_of(backend_place(name).value(), {.patience_ms = 1000}); };
  EXPECT_THAT(asked("test_crash").error, HasSubstr("Segmentation fault"));
  EXPECT_THAT(asked("test_hang").error, HasSubstr("did not answer within 1 s"));
  EXPECT_THAT(asked("test_foreign").error, HasSubstr("version 2.2"));
  const ListedBackend old = asked("test_old");
  EXPECT_THAT(old.error, HasSubstr("it is for being listed")) << "its devices are told, its ops cannot be";
  EXPECT_EQ(old.version, "1.0");
  ASSERT_EQ(old.devices.size(), 1u);
  EXPECT_EQ(old.devices[0].name, "a device of the test");
  EXPECT_THAT(old.devices[0].profiles, testing::ElementsAre("exact/1"));
}

}  // namespace
}  // namespace godwit::device
