// A device could be admitted that was never qualified, or not for this program, this driver, this library; that was refused, quarantined or
// found wrong since; or by a database that was damaged. Or an honest one be turned away because two processes noted something at once.
#include "guard/trust.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "store/test_directory.h"

namespace godwit::guard {
namespace {

using store::TestDirectory;
using testing::HasSubstr;

constexpr std::int64_t day = 86'400;
constexpr std::int64_t now = 2'000'000'000;
const DeviceIdentity chip{"opencl", 0, "a chip", "1.0", std::string(64, 'a'), ""};

TrustNote note(Known what, std::int64_t at, std::string program = "p", DeviceIdentity device = chip) {
  TrustNote made{.what = what, .device = std::move(device)};
  made.program = lowers(what) ? "" : std::move(program);
  made.at = at;
  return made;
}

bool admitted(const std::vector<TrustNote>& notes, const DeviceIdentity& device = chip, std::string_view program = "p") {
  return admission(notes, device, program, now).admitted;
}

std::string why(const std::vector<TrustNote>& notes, const DeviceIdentity& device = chip, std::string_view program = "p") {
  return admission(notes, device, program, now).why;
}

TEST(Admission, OnlyAFreshQualificationForTheseProgramsAdmits) {
  EXPECT_FALSE(admitted({}));
  EXPECT_THAT(why({}), HasSubstr("never qualified"));
  EXPECT_TRUE(admitted({note(Known::qualified, now - full_days * day)}));
  EXPECT_FALSE(admitted({note(Known::qualified, now - full_days * day - 1)}));
  EXPECT_THAT(why({note(Known::qualified, now - 31 * day)}), HasSubstr("more than 30 days ago"));
  EXPECT_TRUE(admitted({note(Known::qualified_short, now - short_days * day)}));
  EXPECT_FALSE(admitted({note(Known::qualified_short, now - short_days * day - 1)}));
  EXPECT_FALSE(admitted({note(Known::qualified, now, "another")}));
  EXPECT_THAT(why({note(Known::qualified, now, "another")}), HasSubstr("other programs"));
  EXPECT_TRUE(admitted({note(Known::qualified, now - 2 * day), note(Known::qualified_short, now - 2 * day)})) << "the full one still holds";
}

TEST(Admission, AnythingElseAboutTheDeviceAsksForANewOne) {
  const auto changed = [](auto change) {
    DeviceIdentity other = chip;
    change(other);
    return other;
  };
  const std::vector<TrustNote> notes = {note(Known::qualified, now)};
  EXPECT_FALSE(admitted(notes, changed([](DeviceIdentity& d) { d.backend = "cuda"; })));
  EXPECT_FALSE(admitted(notes, changed([](DeviceIdentity& d) { d.number = 1; })));
  EXPECT_FALSE(admitted(notes, changed([](DeviceIdentity& d) { d.name = "another chip"; })));
  const DeviceIdentity driver = changed([](DeviceIdentity& d) { d.driver = "1.1"; });
  EXPECT_FALSE(admitted(notes, driver));
  EXPECT_THAT(why(notes, driver), HasSubstr("driver 1.0 then, 1.1 now"));
  const DeviceIdentity library = changed([](DeviceIdentity& d) { d.library = std::string(64, 'b'); });
  EXPECT_FALSE(admitted(notes, library));
  EXPECT_THAT(why(notes, library), HasSubstr("library aaaaaaaaaaaaaaaa then, bbbbbbbbbbbbbbbb now"));
  EXPECT_FALSE(admitted(notes, changed([](DeviceIdentity& d) { d.isa = "tiled"; })));
}

TEST(Admission, WhateverLowersTrustAsksForAFullOneAfterIt) {
  for (const Known bad : {Known::refused, Known::finding, Known::quarantined, Known::complaint}) {
    const TrustNote before = note(Known::qualified, now - 3), fault = note(bad, now - 2);
    EXPECT_FALSE(admitted({before, fault})) << known_name(bad);
    EXPECT_FALSE(admitted({before, fault, note(Known::qualified_short, now)})) << known_name(bad);
    EXPECT_TRUE(admitted({before, fault, note(Known::qualified, now)})) << known_name(bad);
    EXPECT_FALSE(admitted({before, fault, note(Known::qualified, now, "another")})) << known_name(bad) << ": for other programs";
    EXPECT_TRUE(admitted({fault, note(Known::qualified, now - 1), note(Known::qualified_short, now)})) << known_name(bad);
    EXPECT_THAT(why({before, fault}), HasSubstr(std::string(known_name(bad))));
    // It is the device's, whatever its driver was then; another device's is none of its.
    DeviceIdentity older = chip, other = chip;
    older.driver = "0.9";
    other.number = 1;
    EXPECT_FALSE(admitted({before, note(bad, now - 2, "", older)})) << known_name(bad);
    EXPECT_TRUE(admitted({before, note(bad, now - 2, "", other)})) << known_name(bad);
  }
  EXPECT_TRUE(admitted({note(Known::qualified, now - 3), note(Known::moved_away, now - 2)}));
}

TEST(Standing, SaysWhatPeopleWantToKnow) {
  const auto word = [](const std::vector<TrustNote>& notes, const DeviceIdentity& device = chip) {
    return standing(notes, device, now).word;
  };
  DeviceIdentity linked{"cpu", 0, "a processor", "godwit", "", ""};
  EXPECT_EQ(word({}, linked), "linked");
  EXPECT_EQ(word({}), "unknown");
  EXPECT_EQ(word({note(Known::qualified, now)}), "qualified");
  EXPECT_EQ(word({note(Known::qualified_short, now)}), "qualified short");
  EXPECT_EQ(word({note(Known::qualified, now - 40 * day)}), "stale");
  EXPECT_EQ(word({note(Known::qualified, now - 3), note(Known::finding, now)}), "doubted");
  EXPECT_EQ(word({note(Known::qualified, now - 3), note(Known::quarantined, now)}), "quarantined");
  EXPECT_EQ(word({note(Known::refused, now)}), "refused");
  EXPECT_EQ(word({note(Known::refused, now - 1), note(Known::qualified, now)}), "qualified");
}

TEST(TrustStore, WhatIsNotedIsReadAgainByWhoeverAsks) {
  const TestDirectory directory;
  const Trust trust(directory.path() / "state");
  EXPECT_TRUE(trust.notes().value().empty());
  EXPECT_FALSE(fs::exists(trust.file())) << "reading makes nothing";
  TrustNote first = note(Known::qualified, 0);
  first.seconds = 123.456;
  first.source = "config.toml";
  first.text = "quotes \" and \n lines";
  ASSERT_TRUE(trust.note(first).ok());
  trust.note_finding(chip, "run", "linear differs");
  const auto notes = Trust(directory.path() / "state").notes();
  ASSERT_TRUE(notes.ok()) << notes.error().message;
  ASSERT_EQ(notes->size(), 2u);
  EXPECT_EQ((*notes)[0].device, chip);
  EXPECT_EQ((*notes)[0].seconds, 123.456);
  EXPECT_EQ((*notes)[0].text, first.text);
  EXPECT_NEAR(double((*notes)[0].at), double(unix_time()), 60);
  EXPECT_EQ((*notes)[1].what, Known::finding);
  EXPECT_EQ((*notes)[1].text, "linear differs");
  EXPECT_FALSE(trust.admits(chip, "p").value().admitted);
}

TEST(TrustStore, SeveralProcessesAtOnceLoseNothing) {
  const TestDirectory directory;
  constexpr int processes = 6, each = 15;
  std::vector<pid_t> children;
  for (int p = 0; p < processes; ++p) {
    const pid_t child = fork();
    if (child == 0) {
      const Trust trust(directory.path());
      bool well = true;
      for (int i = 0; i < each; ++i) {
        TrustNote made = note(Known::moved_away, now);
        made.text = fmt::format("{} {}", p, i);
        well = well && trust.note(made).ok() && trust.notes().ok();
      }
      _exit(well ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const auto notes = Trust(directory.path()).notes();
  ASSERT_TRUE(notes.ok()) << notes.error().message;
  EXPECT_EQ(notes->size(), std::size_t{processes * each});
}

// A bit anywhere in the file: what is read afterwards is what was written, or nothing.
TEST(TrustStore, ADamagedDatabaseIsSetAsideAndNeverBelieved) {
  const TestDirectory directory;
  const Trust trust(directory.path());
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(trust.note(note(i == 3 ? Known::quarantined : Known::qualified, now + i, fmt::format("p{}", i))).ok());
  const std::string whole = read_file(trust.file()).value();
  const auto written = trust.notes().value();
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); at += at < 128 ? 1 : 53) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    ASSERT_TRUE(write_file_durably(trust.file(), damaged).ok());
    const auto notes = trust.notes();
    ASSERT_TRUE(notes.ok()) << at << ": " << notes.error().message;
    if (notes->empty()) {
      ++refused;
      EXPECT_FALSE(fs::exists(trust.file())) << at;
    } else {
      ASSERT_EQ(notes->size(), written.size()) << at;
      for (std::size_t i = 0; i < written.size(); ++i) {
        EXPECT_EQ((*notes)[i].device, written[i].device) << at;
        EXPECT_EQ((*notes)[i].what, written[i].what) << at;
        EXPECT_EQ((*notes)[i].program, written[i].program) << at;
      }
    }
  }
  EXPECT_GT(refused, 10);
  ASSERT_TRUE(write_file_durably(trust.file(), "this is no database, but long enough to look like one" + std::string(4096, 'x')).ok());
  EXPECT_FALSE(trust.admits(chip, "p1").value().admitted);
  ASSERT_TRUE(trust.note(note(Known::qualified, 0)).ok()) << "a new one is begun";
  EXPECT_TRUE(trust.admits(chip, "p").value().admitted);
}

TEST(TrustStore, ANoteThatWasTakenOutIsNoticed) {
  const TestDirectory directory;
  const Trust trust(directory.path());
  ASSERT_TRUE(trust.note(note(Known::quarantined, now)).ok());
  ASSERT_TRUE(trust.note(note(Known::moved_away, now)).ok());
  std::string bytes = read_file(trust.file()).value();
  // The word alone, in the note: the hash stays what it was.
  const std::size_t at = bytes.find("quarantined");
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 11, "moved away\"");
  ASSERT_TRUE(write_file_durably(trust.file(), bytes).ok());
  EXPECT_TRUE(trust.notes().value().empty());
}

TEST(TrustStore, WhereNothingCanBeWrittenNobodyIsAdmitted) {
  const TestDirectory directory;
  ASSERT_TRUE(write_file_durably(directory.path() / "file", "not a directory").ok());
  const Trust trust(directory.path() / "file" / "state");
  EXPECT_FALSE(trust.note(note(Known::qualified, now)).ok());
  const auto asked = trust.admits(chip, "p");
  EXPECT_TRUE(!asked.ok() || !asked->admitted);
}

}  // namespace
}  // namespace godwit::guard
