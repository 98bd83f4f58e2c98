// The command line from outside, in one process: what it prints where, and its exit code.
#include "cli/main.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "cli/input_lines.h"
#include "store/checkpoint.h"
#include "store/journal.h"
#include "store/run_directory.h"

namespace godwit::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Outcome {
  int code = 0;
  std::string output;
  std::string errors;
};

// Runs `godwit args…` with `input` on standard input.
Outcome godwit(std::vector<std::string> args, const std::string& input = "") {
  const fs::path file = fs::path(testing::TempDir()) / "godwit_main_test_input";
  std::ofstream(file, std::ios::binary) << input;
  const int before = ::dup(STDIN_FILENO);
  const int descriptor = ::open(file.c_str(), O_RDONLY);
  ::dup2(descriptor, STDIN_FILENO);
  args.insert(args.begin(), "godwit");
  std::vector<const char*> pointers;
  for (const std::string& arg : args) pointers.push_back(arg.c_str());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.code = main(static_cast<int>(pointers.size()), pointers.data());
  outcome.output = testing::internal::GetCapturedStdout();
  outcome.errors = testing::internal::GetCapturedStderr();
  ::dup2(before, STDIN_FILENO);
  ::close(before);
  ::close(descriptor);
  fs::remove(file);
  return outcome;
}

// Refused with one line on standard error, nothing on standard output, exit code 2.
std::string refused(const std::vector<std::string>& args, const std::string& input = "") {
  const Outcome outcome = godwit(args, input);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.output, "");
  EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
  return outcome.errors;
}

class Scratch : public testing::Test {
 protected:
  Scratch() {
    fs::remove_all(directory);
    fs::create_directories(directory);
  }
  ~Scratch() override { fs::remove_all(directory); }
  fs::path directory = fs::path(testing::TempDir()) / fmt::format("godwit_main_test_{}", ::getpid());
};

TEST(Main, WhatIsMisspeltIsAnsweredWithTheNearestName) {
  EXPECT_EQ(refused({"lisst"}), "godwit: there is no command 'godwit lisst'; did you mean list?; see: godwit --help\n");
  EXPECT_EQ(refused({"xyzzy", "--json"}), "godwit: there is no command 'godwit xyzzy'; see: godwit --help\n");
  EXPECT_EQ(refused({"tokenizer", "encod", "d"}),
            "godwit: there is no command 'godwit tokenizer encod'; did you mean encode?; see: godwit tokenizer --help\n");
  EXPECT_EQ(refused({"digest", "--jsn"}), "godwit: godwit digest has no option --jsn; did you mean --json?; see: godwit digest --help\n");
  EXPECT_EQ(refused({"digest", "m", "--dtipe=f32"}), "godwit: godwit digest has no option --dtipe; see: godwit digest --help\n");
  EXPECT_EQ(refused({"export", "m", "--too", "d"}),
            "godwit: godwit export has no option --too; did you mean --to?; see: godwit export --help\n");
  EXPECT_EQ(refused({"digest", "a", "b"}), "godwit: 'b' is one argument too many for godwit digest; see: godwit digest --help\n");
  EXPECT_THAT(refused({"list", "opps"}), HasSubstr("there is no list of 'opps'; did you mean ops?"));
}

TEST(Main, WhatIsMissingOrWrongIsSaid) {
  EXPECT_THAT(refused({}), StartsWith("godwit: godwit needs a command: "));
  EXPECT_EQ(refused({"tokenizer"}), "godwit: godwit tokenizer needs a command: train, encode, decode; see: godwit tokenizer --help\n");
  EXPECT_EQ(refused({"digest"}), "godwit: MODEL is required; see: godwit digest --help\n");
  EXPECT_THAT(refused({"export", "m", "--to", "d", "--dtype", "f64"}), HasSubstr("f64"));
  EXPECT_THAT(refused({"tokenizer", "train", "--text", "t", "--out", "d", "--vocab", "many"}),
              StartsWith("godwit: --vocab = many is not of the kind the option takes"));
  EXPECT_THAT(refused({"digest", "/nowhere/at/all"}), HasSubstr("/nowhere/at/all"));
  EXPECT_THAT(refused({"verify", "/nowhere/at/all"}), HasSubstr("/nowhere/at/all"));
  EXPECT_THAT(refused({"export", "/nowhere/at/all", "--to", "d"}), HasSubstr("/nowhere/at/all"));
}

TEST(Main, HelpAndVersionGoToStandardOutput) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"--help"}, {"digest", "--help"}, {"tokenizer", "train", "-h"}, {"digest", "--version"}, {"--version"}}) {
    const Outcome outcome = godwit(args);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.errors, "");
    EXPECT_THAT(outcome.output, args.back() == "--version" ? HasSubstr("godwit 0.") : HasSubstr("Usage: godwit"));
  }
  EXPECT_THAT(godwit({"tokenizer", "train", "--help"}).output, HasSubstr("Usage: godwit tokenizer train"));
}

TEST(Main, Lists) {
  for (const char* thing : {"ops", "backends", "benches", "families", "presets", "tasks", "commands", "dtypes", "keys"}) {
    const Outcome json = godwit({"list", thing, "--json"});
    ASSERT_EQ(json.code, 0) << thing << json.errors;
    const auto document = parse_json(json.output, thing);
    ASSERT_TRUE(document.ok()) << document.error().message;
    ASSERT_FALSE(document->empty()) << thing;
    const Outcome plain = godwit({"list", thing});
    for (const Json& entry : *document) EXPECT_THAT(plain.output, HasSubstr(entry["name"].get<std::string>()));
    EXPECT_EQ(static_cast<std::size_t>(std::count(plain.output.begin(), plain.output.end(), '\n')), document->size());
  }
  EXPECT_THAT(godwit({"list"}).output, HasSubstr("presets"));
  EXPECT_THAT(godwit({"list", "config"}).output, HasSubstr("| `steps` | integer"));
}

TEST(Main, TasksAreListedAndSampled) {
  EXPECT_THAT(godwit({"tasks", "list"}).output, HasSubstr("bits  1 to 1024 (default 16)"));
  EXPECT_THAT(godwit({"tasks", "list", "--json"}).output, HasSubstr(R"("name":"parity","summary":)"));
  const std::vector<std::string> parity{"tasks", "sample",         "parity", "--count",         "5",
                                        "--set", "options.bits=4", "--set",  "options.long=0.2"};
  const Outcome lines = godwit(parity);
  EXPECT_EQ(lines.code, 0) << lines.errors;
  EXPECT_EQ(std::count(lines.output.begin(), lines.output.end(), '\n'), 5);
  EXPECT_THAT(lines.output, StartsWith("1001=<think></think>0\n"));
  auto json = parity;
  json.emplace_back("--json");
  const Json problems = parse_json(godwit(json).output, "output").value();
  ASSERT_EQ(problems.size(), 5u);
  EXPECT_EQ(write_json(problems[0]), R"({"index":0,"prompt":"1001=","truth":"0","long":false,"chain":"1110"})");
  EXPECT_EQ(problems[4]["long"], true);
  auto evaluation = parity;
  evaluation.emplace_back("--evaluation");
  EXPECT_NE(godwit(evaluation).output, lines.output);
  EXPECT_EQ(godwit({"tasks", "sample", "countdown", "--count", "3"}).output,
            godwit({"tasks", "sample", "countdown", "--count", "3"}).output);
  EXPECT_EQ(refused({"tasks", "sample", "party"}), "godwit: godwit tasks sample: there is no task 'party'; did you mean parity?\n");
  EXPECT_THAT(refused({"tasks", "sample", "parity", "--set", "options.bit=3"}), HasSubstr("there is no option bit; did you mean bits?"));
  EXPECT_THAT(refused({"tasks", "sample", "parity", "--set", "options.bits=many"}), HasSubstr("option bits = \"many\": a whole number"));
  EXPECT_THAT(refused({"tasks", "sample", "parity", "--set", "bits=3"}), HasSubstr("--set bits=3: options.KEY=VALUE is wanted"));
  EXPECT_THAT(refused({"tasks", "sample", "nowhere.jsonl"}), HasSubstr("nowhere.jsonl"));
}

// A bench or job that is not there must be refused before minutes are spent on the others.
TEST(Main, BenchRefusesWhatItDoesNotKnow) {
  const Outcome bench = godwit({"bench", "speeed"});
  EXPECT_EQ(bench.code, 2);
  EXPECT_THAT(bench.errors, testing::AllOf(HasSubstr("'speeed'"), HasSubstr("ceilings, ")));
  const Outcome job = godwit({"bench", "train", "--job", "maxi"});
  EXPECT_EQ(job.code, 2);
  EXPECT_THAT(job.errors, testing::AllOf(HasSubstr("'maxi'"), HasSubstr("mini")));
  EXPECT_EQ(godwit({"bench", "--job", "mini"}).code, 2);
  EXPECT_EQ(godwit({"bench", "ceilings", "--isa", "mmx"}).code, 2);
}

TEST(Main, AFullDiskIsAnErrorAndAReaderThatLeftIsQuiet) {
  const int before = ::dup(STDOUT_FILENO);
  const auto code_with_output_to = [&](int descriptor) {
    std::fflush(stdout);
    ::dup2(descriptor, STDOUT_FILENO);
    const char* args[] = {"godwit", "list", "ops"};
    const int code = main(3, args);
    std::clearerr(stdout);
    ::dup2(before, STDOUT_FILENO);
    ::close(descriptor);
    return code;
  };
  testing::internal::CaptureStderr();
  EXPECT_EQ(code_with_output_to(::open("/dev/full", O_WRONLY)), 1);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("godwit: standard output cannot be written: No space left"));
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  testing::internal::CaptureStderr();
  EXPECT_EQ(code_with_output_to(ends[1]), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  ::close(before);
}

TEST_F(Scratch, ATokenizerIsTrainedAndUsed) {
  const std::string text = directory / "text.txt";
  const std::string lines = directory / "lines.jsonl";
  const std::string out = directory / "tokenizer";
  std::ofstream(text) << "the cat and the hat and the bat\n";
  std::ofstream(lines) << "{\"text\": \"the cat, the hat\"}\n\n{\"text\": \"the bat\"}\n";
  const Outcome trained = godwit({"tokenizer", "train", "--text", text, lines, "--vocab", "300", "--out", out, "--quiet"});
  ASSERT_EQ(trained.code, 0) << trained.errors;
  EXPECT_EQ(trained.output + trained.errors, "");
  EXPECT_THAT(refused({"tokenizer", "train", "--text", text, "--vocab", "300", "--out", out}), HasSubstr("tokenizer.json exists"));

  const std::string input = "{\"text\": \"the cat\"}\n{\"text\": \"\"}\r\n\n{\"text\": \"\\u00e9 <think>\\n\", \"more\": 1}";
  const Outcome encoded = godwit({"tokenizer", "encode", out}, input);
  ASSERT_EQ(encoded.code, 0) << encoded.errors;
  EXPECT_THAT(encoded.output, StartsWith("{\"ids\":["));
  EXPECT_THAT(encoded.output, HasSubstr("\n{\"ids\":[]}\n"));
  const Outcome decoded = godwit({"tokenizer", "decode", out}, encoded.output);
  EXPECT_EQ(decoded.code, 0) << decoded.errors;
  EXPECT_EQ(decoded.output, "{\"text\":\"the cat\"}\n{\"text\":\"\"}\n{\"text\":\"é <think>\\n\"}\n");

  EXPECT_THAT(refused({"tokenizer", "encode", out}, "\n{\"txt\": 1}"),
              HasSubstr("standard input, line 2: an object with \"text\" is wanted"));
  EXPECT_THAT(refused({"tokenizer", "encode", out}, "{\"text\": 1}"), HasSubstr("\"text\" is number"));
  EXPECT_THAT(refused({"tokenizer", "encode", out}, "{\"text\": \"a\""), HasSubstr("standard input, line 1"));
  for (const char* wrong : {"-1", "1.5", "4294967296", "99999999999999999999", "\"a\"", "null", "2147483647"}) {
    EXPECT_THAT(refused({"tokenizer", "decode", out}, fmt::format("{{\"ids\": [{}]}}", wrong)), HasSubstr("standard input, line 1"));
  }
  EXPECT_THAT(refused({"tokenizer", "decode", out}, "[1]"), HasSubstr("standard input, line 1"));
}

TEST_F(Scratch, WrongTextsForATokenizerAreRefused) {
  const std::string lines = directory / "lines.jsonl";
  const std::string out = directory / "tokenizer";
  std::ofstream(lines) << "{\"text\": \"the cat\"}\n{\"txt\": \"the bat\"}\n";
  EXPECT_THAT(refused({"tokenizer", "train", "--text", lines, "--vocab", "300", "--out", out, "--quiet"}), HasSubstr("lines.jsonl:2: "));
  EXPECT_THAT(refused({"tokenizer", "train", "--text", directory / "none.txt", "--vocab", "300", "--out", out, "--quiet"}),
              HasSubstr("none.txt"));
  EXPECT_THAT(refused({"tokenizer", "train", "--text", directory, "--vocab", "300", "--out", out, "--quiet"}), HasSubstr("directory"));
  std::ofstream(directory / "empty.txt");
  EXPECT_THAT(refused({"tokenizer", "train", "--text", directory / "empty.txt", "--vocab", "300", "--out", out, "--quiet"}),
              HasSubstr("text"));
  std::ofstream(directory / "text.txt") << "the cat";
  EXPECT_THAT(refused({"tokenizer", "train", "--text", directory / "text.txt", "--vocab", "100", "--out", out, "--quiet"}),
              HasSubstr("100"));
  EXPECT_THAT(refused({"tokenizer", "train", "--text", directory / "text.txt", "--vocab", "-5", "--out", out, "--quiet"}), HasSubstr("-5"));
  EXPECT_FALSE(fs::exists(out)) << "a refused training left something";
}

// A checkpoint that is whole, but of another state than the run committed, passes its own digests.
TEST_F(Scratch, VerifyHoldsCheckpointsAgainstTheJournal) {
  const store::RunDirectory run{directory};
  float weight = 1;
  const store::StateList state = {{"weight", "F32", {1}, std::as_writable_bytes(std::span(&weight, 1))}};
  const auto write = [&](std::uint64_t step, float value) {
    weight = value;
    ASSERT_TRUE(store::write_checkpoint(run.checkpoints(), step, state, store::digest_tensors(state, 1), "exact/1").ok());
  };
  auto journal = store::Journal::open(run.journal());
  ASSERT_TRUE(journal.ok());
  for (const std::uint64_t step : {1, 2}) {
    write(step, static_cast<float>(step));
    ASSERT_TRUE(journal->append({step, store::digest_state(state, 1), "commit", ""}).ok());
  }
  fs::remove_all(run.checkpoints() / "2");
  write(2, 2.5);
  write(3, 3);
  const Outcome outcome = godwit({"verify", directory});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.output, HasSubstr("good  checkpoint 1: "));
  EXPECT_THAT(outcome.output, HasSubstr("BAD   checkpoint 2: its own digests hold"));
  EXPECT_THAT(outcome.output, HasSubstr("BAD   checkpoint 3: its own digests hold, but the journal has no line for step 3"));
  EXPECT_THAT(outcome.output, HasSubstr("BAD   config.toml"));
  const Outcome json = godwit({"verify", directory, "--json"});
  EXPECT_EQ(json.code, 3);
  EXPECT_THAT(json.output, StartsWith("{\"good\":false,"));
}

// Lines may end anywhere in the pieces the system hands over, and an unfinished last one counts.
TEST(InputLines, ComeWholeAndInOrder) {
  std::string text;
  std::vector<std::string> wanted;
  for (int i = 0; i < 3000; ++i) {
    wanted.push_back(std::string(static_cast<std::size_t>(i * i % 977), static_cast<char>('a' + i % 26)));
    text += wanted.back() + "\n";
  }
  wanted.push_back("unfinished");
  text += wanted.back();
  const fs::path file = fs::path(testing::TempDir()) / "godwit_input_lines_test";
  std::ofstream(file, std::ios::binary) << text;
  const int descriptor = ::open(file.c_str(), O_RDONLY);
  InputLines lines(descriptor);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto line = lines.next();
    ASSERT_TRUE(line.ok() && line->has_value());
    ASSERT_EQ(**line, wanted[i]);
    ASSERT_EQ(lines.number(), i + 1);
  }
  const auto end = lines.next();
  EXPECT_TRUE(end.ok() && !end->has_value());
  ::close(descriptor);
  fs::remove(file);
  EXPECT_FALSE(InputLines(descriptor).next().ok()) << "a closed descriptor is an error";
}

}  // namespace
}  // namespace godwit::cli
