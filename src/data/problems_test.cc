// What could go wrong: a right answer refused for its spelling; a line that is passed over without a word; what is held out trained on.
#include "data/problems.h"

#include "data/answers.h"
#include "data/problem_file.h"
#include "data/test_files.h"

namespace godwit::data {
namespace {

using testing::HasSubstr;

class ProblemsTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Problems>> open(std::string_view lines, Json options = Json::object()) {
    return open_problems({.name = files_.write("mine.jsonl", lines).string(), .options = std::move(options), .place = "test"});
  }
  TestFiles files_;
};

TEST_F(ProblemsTest, plain_lines_and_gsm8ks_form_are_read) {
  const auto problems = open(R"({"question": "What is 2+2?", "answer": "4", "source": {"page": 7}}

{"question": " Clips? ", "answer": "She sold 48/2 = <<48/2=24>>24 in May.\nAnd <<48+24=72>>72 in all.\n#### 1,072"}
{"question": "Which?", "answer": 12}
)")
                            .value();
  EXPECT_EQ(problems->count(Split::training), 3u);
  EXPECT_EQ(problems->count(Split::evaluation), 3u);
  EXPECT_EQ(problems->problem(Split::training, 0), (Problem{"What is 2+2?", "", "4"}));
  EXPECT_EQ(problems->problem(Split::training, 1), (Problem{"Clips?", "She sold 48/2 = 24 in May.\nAnd 72 in all.", "1,072"}));
  EXPECT_EQ(problems->problem(Split::evaluation, 2), (Problem{"Which?", "", "12"}));
  EXPECT_EQ(problems->longest().prompt, 12);
  EXPECT_EQ(problems->longest().chain, 41);
  EXPECT_EQ(problems->longest().truth, 5);
  EXPECT_EQ(problems->score(problems->problem(Split::training, 1), "It is 1072."), 1);
  EXPECT_EQ(problems->score(problems->problem(Split::training, 1), "1073"), 0);
  EXPECT_FALSE(problems->is_long(problems->problem(Split::training, 0), 0));
  EXPECT_TRUE(problems->is_long(problems->problem(Split::training, 1), 1));
  EXPECT_EQ(problems->name(), "mine.jsonl");
  EXPECT_EQ(problems->files().size(), 1u);
}

TEST_F(ProblemsTest, broken_lines_are_named) {
  const std::string good = R"({"question": "q", "answer": "a"})";
  const auto error = [&](const std::string& line) {
    const auto problems = open(good + "\n\n" + line + "\n" + good);
    EXPECT_FALSE(problems.ok()) << line;
    return message(problems);
  };
  EXPECT_THAT(error(R"({"question": "q", "answer": )"), HasSubstr("mine.jsonl:3"));
  EXPECT_THAT(error("[1]"), HasSubstr("mine.jsonl:3: is array, an object is wanted"));
  EXPECT_THAT(error(R"({"answer": "a"})"), HasSubstr("mine.jsonl:3: has no \"question\""));
  EXPECT_THAT(error(R"({"question": "q"})"), HasSubstr("mine.jsonl:3: has no \"answer\""));
  EXPECT_THAT(error(R"({"question": ["q"], "answer": "a"})"), HasSubstr("\"question\" is array, a text is wanted"));
  EXPECT_THAT(error(R"({"question": "q", "answer": " "})"), HasSubstr("\"answer\" is empty"));
  EXPECT_THAT(error(R"({"question": "q", "answer": "long story\n#### "})"), HasSubstr("nothing stands behind the #### of \"answer\""));
  EXPECT_THAT(error(R"({"question": "q", "answer": "1 << 2\n#### 4"})"), HasSubstr("\"answer\" has a << that no >> closes"));
  EXPECT_THAT(message(open("\n \n")), HasSubstr("mine.jsonl: there is no problem in it"));
  EXPECT_THAT(message(open_problems({.name = "/nowhere/x.jsonl", .place = "test"})), HasSubstr("/nowhere/x.jsonl"));
}

TEST_F(ProblemsTest, what_is_held_out_is_only_evaluated) {
  std::string lines;
  for (int i = 0; i < 5; ++i) lines += fmt::format("{{\"question\": \"q{}\", \"answer\": \"{}\"}}\n", i, i);
  const auto problems = open(lines, {{"held_out", 2}}).value();
  EXPECT_EQ(problems->count(Split::training), 3u);
  EXPECT_EQ(problems->count(Split::evaluation), 2u);
  EXPECT_EQ(problems->problem(Split::training, 2).prompt, "q2");
  EXPECT_EQ(problems->problem(Split::evaluation, 0).prompt, "q3");
  EXPECT_EQ(problems->problem(Split::evaluation, 1).prompt, "q4");
  EXPECT_THAT(message(open(lines, {{"held_out", 5}})), HasSubstr("held_out = 5 leaves none of the 5 problems"));
  EXPECT_THAT(message(open(lines, {{"held_ot", 5}})), HasSubstr("did you mean held_out?"));
  EXPECT_THAT(message(open(lines, {{"compare", "numbr"}})),
              HasSubstr("option compare = \"numbr\": one of automatic, number, text, choice"));
  EXPECT_NE(open(lines)->get()->digest(), problems->digest());
  EXPECT_NE(open(lines + "\n")->get()->digest(), open(lines)->get()->digest());
}

TEST(answers, numbers_are_compared_by_value) {
  for (const char* text : {"1234", "1,234", "1234.0", "01234.", " $1,234.00 ", "+1234", "1234%"})
    EXPECT_EQ(number_in(text), "1234") << text;
  EXPECT_EQ(number_in("-$1,234.50"), "-1234.5");
  EXPECT_EQ(number_in("$-3"), "-3");
  EXPECT_EQ(number_in(".50"), "0.5");
  EXPECT_EQ(number_in("-0.0"), "0");
  EXPECT_EQ(number_in("123456789012345678901234567890"), "123456789012345678901234567890");
  for (const char* text : {"", "-", "$", ".", "1,23", "12,34", ",123", "1234,567", "1,2345", "1.2.3", "1 2", "1e3", "--1", "12a", "1.x"}) {
    EXPECT_EQ(number_in(text), std::nullopt) << text;
  }
}

TEST(answers, the_truth_says_how_they_are_compared) {
  const auto right = [](std::string_view truth, std::string_view answer) { return same_answer(Compare::automatic, truth, answer); };
  for (const char* answer :
       {"72", "72.0", "The answer is 72.", "48+24 = 72", "She has $72.", "\\boxed{72}", "so \\boxed{ 72 } clips, not 3",
        "Thinking…\n#### 72", "#### 72 clips\n(of 100)", "it was 1,2 then 72", "\\boxed{72} or \\boxed{3"}) {
    EXPECT_TRUE(right("72", answer)) << answer;
  }
  for (const char* answer :
       {"", "seventy-two", "7 2", "172", "72.5", "-72", "= -72", "72 or 73", "\\boxed{73} 72", "\\boxed{72} \\boxed{1}"}) {
    EXPECT_FALSE(right("72", answer)) << answer;
  }
  EXPECT_TRUE(right("-5", "x = -5"));
  EXPECT_TRUE(right("5", "10-5 leaves 5"));
  EXPECT_TRUE(right("5", "3-(-2)=5"));
  EXPECT_TRUE(right("\\boxed{\\frac{1}{2}}", "so \\boxed{\\frac{1}{2}}"));
  for (const char* answer : {"B", "(B)", "B.", "B) because", "The answer is B.", "(A) is wrong, so (B)", "\\boxed{B}"}) {
    EXPECT_TRUE(right("B", answer)) << answer;
    EXPECT_TRUE(right("(B)", answer)) << answer;
  }
  for (const char* answer : {"", "b", "BA", "A", "B or A", "CAB", "it's B's"}) EXPECT_FALSE(right("B", answer)) << answer;
  EXPECT_TRUE(right("Paris", " Paris\n"));
  EXPECT_FALSE(right("Paris", "paris"));
  EXPECT_FALSE(same_answer(Compare::text, "72", "72.0"));
  EXPECT_FALSE(same_answer(Compare::number, "Paris", "Paris"));
}

TEST(answers, calculator_annotations_go) {
  EXPECT_EQ(without_annotations("48/2 = <<48/2=24>>24 and <<>>x"), "48/2 = 24 and x");
  EXPECT_EQ(without_annotations("a < b"), "a < b");
  EXPECT_EQ(without_annotations("a << b"), std::nullopt);
}

}  // namespace
}  // namespace godwit::data
