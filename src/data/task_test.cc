// What could go wrong: a chain that does not lead to the truth; a verifier that takes what is wrong, or refuses what is right otherwise
// spelled; a problem that depends on another one, or is seen by training and evaluation alike; a document longer than was promised.
#include "data/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <set>

#include "data/problems.h"
#include "data/test_files.h"

namespace godwit::data {
namespace {

using testing::HasSubstr;

std::unique_ptr<Problems> open(std::string_view name, Json options = Json::object(), std::uint64_t seed = 0) {
  return open_problems({.name = std::string(name), .options = std::move(options), .seed = seed, .place = "test"}).value();
}

Problem first(std::string_view name, Json options = Json::object()) {
  return open(name, std::move(options))->problem(Split::training, 0);
}

std::vector<std::string> split(std::string_view text, std::string_view marks) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find_first_of(marks, at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// What stands between the two in the text.
std::string between(const std::string& text, std::string_view before, std::string_view after) {
  const std::size_t begin = text.find(before) + before.size();
  return text.substr(begin, text.find(after, begin) - begin);
}

// A sum of products of whole numbers.
std::int64_t value_of(const std::string& sum) {
  std::int64_t value = 0;
  for (const std::string& term : split(sum, "+")) {
    std::int64_t product = 1;
    for (const std::string& factor : split(term, "*")) product *= std::stoll(factor);
    value += product;
  }
  return value;
}

void expect_equations(const std::string& chain) {
  for (const std::string& line : split(chain, ";")) {
    const auto sides = split(line, "=");
    ASSERT_EQ(sides.size(), 2u) << chain;
    EXPECT_EQ(value_of(sides[0]), value_of(sides[1])) << line;
  }
}

bool formula_value(std::string_view& text, const std::map<char, bool>& values) {
  const char c = text.front();
  text.remove_prefix(1);
  if (c == '!') return !formula_value(text, values);
  if (c != '(') return values.at(c);
  const bool left = formula_value(text, values);
  const char op = text.front();
  text.remove_prefix(1);
  const bool right = formula_value(text, values);
  EXPECT_EQ(text.front(), ')');
  text.remove_prefix(1);
  return op == '&' ? left && right : op == '|' ? left || right : op == '>' ? !left || right : (ADD_FAILURE() << op, false);
}

// What each task promises of chain and truth, worked out anew from the prompt.
const std::map<std::string, void (*)(const Problem&)> chain_checks{
    {"parity",
     [](const Problem& p) {
       std::string expected;
       for (std::size_t i = 1; i < p.prompt.size(); ++i) {
         expected += std::count(p.prompt.begin(), p.prompt.begin() + static_cast<std::ptrdiff_t>(i), '1') % 2 == 1 ? '1' : '0';
       }
       EXPECT_EQ(p.chain, expected);
       EXPECT_EQ(p.truth, expected.substr(expected.size() - 1));
     }},
    {"chain_sum",  // as the default options have it: digits, modulo 10
     [](const Problem& p) {
       ASSERT_EQ(p.chain.size() + 1, p.prompt.size());
       int result = p.prompt[0] - '0';
       EXPECT_EQ(p.chain[0], p.prompt[0]);
       for (std::size_t i = 1; i + 1 < p.prompt.size(); i += 2) {
         EXPECT_EQ(p.chain[i], p.prompt[i]);
         result = (result + 10 + (p.prompt[i] == '+' ? 1 : -1) * (p.prompt[i + 1] - '0')) % 10;
         EXPECT_EQ(p.chain[i + 1] - '0', result);
       }
       EXPECT_EQ(p.truth, std::to_string(result));
     }},
    {"products",
     [](const Problem& p) {
       expect_equations(p.chain);
       EXPECT_EQ(std::stoll(p.truth), value_of(p.prompt.substr(0, p.prompt.size() - 1)));
       EXPECT_TRUE(p.chain.ends_with("=" + p.truth));
     }},
    {"gcd",
     [](const Problem& p) {
       expect_equations(p.chain);
       const std::int64_t a = std::stoll(between(p.prompt, "(", ",")), b = std::stoll(between(p.prompt, ",", ")"));
       EXPECT_EQ(std::stoll(p.truth), std::gcd(a, b));
       EXPECT_TRUE(p.chain.ends_with("*" + p.truth + "+0")) << p.chain;
     }},
    {"number_sorting",
     [](const Problem& p) {
       const auto numbers = split(between(p.prompt, " ", ":"), ",");
       const auto steps = split(p.chain, ";");
       ASSERT_EQ(steps.size(), numbers.size());
       for (std::size_t i = 0; i < steps.size(); ++i) {
         std::vector<int> sorted;
         for (std::size_t j = 0; j <= i; ++j) sorted.push_back(std::stoi(numbers[j]));
         std::ranges::sort(sorted);
         EXPECT_EQ(steps[i], fmt::format("{}", fmt::join(sorted, ",")));
       }
       EXPECT_EQ(steps.back(), p.truth);
     }},
    {"spell_backward",
     [](const Problem& p) {
       const std::string word = between(p.prompt, " ", ":");
       const auto steps = split(p.chain, ";");
       ASSERT_EQ(steps.size(), word.size());
       for (std::size_t i = 0; i < steps.size(); ++i) {
         EXPECT_EQ(steps[i], std::string(word.rend() - static_cast<std::ptrdiff_t>(i) - 1, word.rend()));
       }
       EXPECT_EQ(steps.back(), p.truth);
     }},
    {"letter_counting",
     [](const Problem& p) {
       const char wanted = p.prompt[6];
       std::string expected;
       const std::string word = between(p.prompt, "in ", ":");
       for (std::size_t i = 0; i < word.size(); ++i) {
         expected += word[i] + std::to_string(std::count(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(i) + 1, wanted));
       }
       EXPECT_EQ(p.chain, expected);
       EXPECT_EQ(p.truth, std::to_string(std::ranges::count(word, wanted)));
     }},
    {"base_conversion",
     [](const Problem& p) {
       expect_equations(p.chain);
       const int from = std::stoi(p.prompt.substr(5)), to = std::stoi(between(p.prompt, "to ", ":"));
       const std::string given = between(p.prompt, ": ", "=");
       EXPECT_EQ(std::stoll(given, nullptr, from), std::stoll(p.truth, nullptr, to));
       // Read forwards, the last value; written, the remainders from the last to the first.
       std::string digits;
       for (const std::string& line : split(p.chain, ";")) {
         const auto sides = split(line, "=");
         if (sides[0].find('*') != std::string::npos) continue;
         const int digit = std::stoi(between(line, "+", ";"));
         digits.insert(digits.begin(), static_cast<char>(digit < 10 ? '0' + digit : 'a' + digit - 10));
       }
       if (to == 10) {
         EXPECT_TRUE(p.chain.ends_with("=" + p.truth));
       } else {
         EXPECT_EQ(digits, p.truth);
       }
     }},
    {"propositional_logic",
     [](const Problem& p) {
       std::map<char, bool> values{{'0', false}, {'1', true}};
       for (const std::string& value : split(p.prompt.substr(0, p.prompt.find(':')), ",")) values[value[0]] = value[2] == '1';
       const std::string formula = between(p.prompt, ":", "=");
       std::string_view whole = formula;
       EXPECT_EQ(formula_value(whole, values), p.truth == "1");
       EXPECT_EQ(whole, "");
       for (const std::string& line : split(p.chain, ";")) {
         std::string_view rest = line;
         EXPECT_EQ(formula_value(rest, values), p.truth == "1") << p.chain;
       }
       EXPECT_TRUE(p.chain == p.truth || p.chain.ends_with(";" + p.truth));
     }},
};

// Options beside the defaults, at their ends.
const std::vector<std::pair<std::string, Json>> settings{
    {"parity", {{"bits", 1}}},
    {"parity", {{"bits", 64}}},
    {"chain_sum", {{"terms", 2}}},
    {"products", {{"digits", 1}}},
    {"products", {{"digits", 6}, {"multiplier_digits", 6}}},
    {"products", {{"digits", 1}, {"multiplier_digits", 3}}},
    {"gcd", {{"max", 2}}},
    {"gcd", {{"max", 999}}},
    {"countdown", {{"numbers", 2}, {"max", 1}, {"target_max", 1}}},
    {"countdown", {{"numbers", 6}, {"max", 999}, {"target_max", 999999}}},
    {"number_sorting", {{"count", 32}, {"max", 999999}}},
    {"number_sorting", {{"count", 9}, {"max", 1}}},
    {"spell_backward", {{"letters", 1}}},
    {"spell_backward", {{"letters", 64}}},
    {"letter_counting", {{"letters", 120}, {"alphabet", 1}}},
    {"letter_counting", {{"alphabet", 26}}},
    {"base_conversion", {{"from", 16}, {"to", 10}, {"max", 999999}}},
    {"base_conversion", {{"from", 2}, {"to", 36}, {"max", 1000}}},
    {"base_conversion", {{"to", 16}}},
    {"mini_sudoku", {{"empty", 16}}},
    {"mini_sudoku", {{"empty", 1}}},
    {"shortest_path", {{"nodes", 2}, {"edges", 1}}},
    {"shortest_path", {{"nodes", 26}, {"edges", 325}}},
    {"shortest_path", {{"nodes", 26}, {"edges", 25}}},
    {"propositional_logic", {{"variables", 1}, {"operators", 1}}},
    {"propositional_logic", {{"variables", 8}, {"operators", 32}}},
};

void check_problems(const std::string& name, const Json& options, int count) {
  SCOPED_TRACE(name + " " + write_json(options));
  const auto problems = open(name, options, 7);
  const ProblemBytes longest = problems->longest();
  const auto check = chain_checks.find(name);
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(count); ++i) {
    const Problem problem = problems->problem(Split::training, i);
    SCOPED_TRACE(problem.prompt);
    EXPECT_EQ(problem.chain.empty(), check == chain_checks.end());
    if (check != chain_checks.end()) check->second(problem);
    EXPECT_EQ(problems->score(problem, problem.truth), 1) << problem.truth;
    EXPECT_EQ(problems->score(problem, " " + problem.truth + "\n"), 1);
    EXPECT_LE(static_cast<std::int64_t>(problem.prompt.size()), longest.prompt);
    EXPECT_LE(static_cast<std::int64_t>(problem.chain.size()), longest.chain);
    EXPECT_LE(static_cast<std::int64_t>(problem.truth.size()), longest.truth);
    for (const std::string& wrong : {std::string(), std::string("?"), problem.truth + "1", problem.truth + problem.truth,
                                     problem.truth + " x", problem.prompt, std::string(100000, '('), "1" + problem.truth}) {
      if (wrong == "00") continue;  // is 0
      EXPECT_LT(problems->score(problem, wrong), 1) << wrong;
    }
  }
}

TEST(tasks, chains_lead_to_the_truth_and_verifiers_take_it_and_nothing_like_it) {
  for (const Task* task : all_tasks()) check_problems(std::string(task->name), Json::object(), 300);
  for (const auto& [name, options] : settings) check_problems(name, options, 40);
}

TEST(tasks, there_are_these) {
  std::vector<std::string> names;
  for (const Task* task : all_tasks()) {
    names.emplace_back(task->name);
    EXPECT_EQ(task->has_chain, chain_checks.contains(names.back())) << task->name;
  }
  EXPECT_THAT(names,
              testing::ElementsAre("base_conversion", "chain_sum", "countdown", "gcd", "letter_counting", "mini_sudoku", "number_sorting",
                                   "parity", "products", "propositional_logic", "shortest_path", "spell_backward"));
}

TEST(tasks, sums_without_modulus_or_of_longer_terms) {
  for (const Json& options : {Json{{"modulus", 0}, {"digits", 3}, {"terms", 9}}, Json{{"modulus", 97}, {"digits", 2}}}) {
    const auto modulus = options.value("modulus", std::int64_t{10});
    const auto problems = open("chain_sum", options);
    for (std::uint64_t i = 0; i < 100; ++i) {
      const Problem p = problems->problem(Split::training, i);
      const auto terms = split(p.prompt.substr(0, p.prompt.size() - 1), "+-"), results = split(p.chain, "+-");
      ASSERT_EQ(terms.size(), results.size());
      std::int64_t result = 0;
      std::size_t at = 0;
      for (std::size_t k = 0; k < terms.size(); ++k) {
        result += (k > 0 && p.prompt[at - 1] == '-' ? -1 : 1) * std::stoll(terms[k]);
        if (modulus > 0) result = (result % modulus + modulus) % modulus;
        EXPECT_EQ(results[k], std::to_string(result)) << p.prompt << p.chain;
        at += terms[k].size() + 1;
      }
      EXPECT_EQ(p.truth, std::to_string(result));
      EXPECT_LE(static_cast<std::int64_t>(p.chain.size()), problems->longest().chain);
      EXPECT_EQ(static_cast<std::int64_t>(p.prompt.size()), problems->longest().prompt);
    }
  }
}

TEST(tasks, several_right_answers_are_all_right) {
  const auto score = [](std::string_view task, std::string_view prompt, std::string_view answer) {
    return find_task(task, "test").value()->score({std::string(prompt), "", ""}, answer);
  };
  for (const char* right : {"(7-3)*3", "3*(7-3)", "(7 - 3) * 3", "((3))*((7)-3)", "3*7-3*3"}) {
    const bool all = std::string(right) != "3*7-3*3";
    EXPECT_EQ(score("countdown", "make 12 of 3,7,3:", right), all ? 1 : 0) << right;  // the last uses 3 three times
  }
  EXPECT_EQ(score("countdown", "make 24 of 8,3,8,3:", "8/(3-8/3)"), 1);
  EXPECT_EQ(score("countdown", "make 12 of 3,7,3:", "3+7+3"), 0.1);
  for (const char* wrong :
       {"7*3", "(7-3)*3*1", "12", "(7-3)*", "(7-3)*3=12", "7/(3-3)", "-3+7+3", "3 7 3", "(7-3*3", "99999999999999999999"}) {
    EXPECT_EQ(score("countdown", "make 12 of 3,7,3:", wrong), 0) << wrong;
  }
  const std::string_view empty = "sudoku ..../..../..../....:", given = "sudoku 1.../..../..../....:";
  for (const char* grid : {"1234/3412/2143/4321", "1234 3412 2143 4321", "1234341221434321", "1234\n3412\n2143\n4321"}) {
    EXPECT_EQ(score("mini_sudoku", empty, grid), 1) << grid;
    EXPECT_EQ(score("mini_sudoku", given, grid), 1) << grid;
  }
  EXPECT_EQ(score("mini_sudoku", empty, "1234/2341/3412/4123"), 0);  // rows and columns are right, no quarter is
  EXPECT_EQ(score("mini_sudoku", given, "2143/4321/1234/3412"), 0);  // right, but not the one given
  EXPECT_EQ(score("mini_sudoku", empty, "1234/3412/2143/432."), 0);
  EXPECT_EQ(score("mini_sudoku", empty, "1234/3412/2143/43215"), 0);
  const std::string_view graph = "path a to d in ab,bd,ac,dc,ce,ed:";
  for (const char* path : {"abd", "acd", "a-b-d", "a, c, d", "a -> b -> d"}) EXPECT_EQ(score("shortest_path", graph, path), 1) << path;
  EXPECT_EQ(score("shortest_path", graph, "aced"), 0.1);
  for (const char* path : {"ad", "ab", "bd", "dba", "abdd", "ABD", "a1d", "d"}) EXPECT_EQ(score("shortest_path", graph, path), 0) << path;
  EXPECT_EQ(score("number_sorting", "", "1"), 0);
  EXPECT_EQ(find_task("number_sorting", "").value()->score({"", "", "3,7,10"}, "3 7 10"), 1);
  EXPECT_EQ(find_task("number_sorting", "").value()->score({"", "", "3,7,10"}, "3, 7, 010"), 1);
  EXPECT_EQ(find_task("base_conversion", "").value()->score({"", "", "ff"}, "0FF"), 1);
  EXPECT_EQ(find_task("base_conversion", "").value()->score({"", "", "0"}, "0"), 1);
  EXPECT_EQ(find_task("base_conversion", "").value()->score({"", "", "0"}, ""), 0);
}

TEST(tasks, every_sudoku_can_come) {
  const auto problems = open("mini_sudoku");
  std::set<std::string> grids;
  for (std::uint64_t i = 0; i < 6000; ++i) grids.insert(problems->problem(Split::training, i).truth);
  EXPECT_EQ(grids.size(), 288u);
}

TEST(tasks, a_problem_depends_on_seed_split_and_index_alone) {
  for (const Task* task : all_tasks()) {
    const auto one = open(task->name, {}, 3), same = open(task->name, {}, 3), other = open(task->name, {}, 4);
    int alike = 0;
    std::vector<Problem> in_order;
    for (std::uint64_t i = 0; i < 50; ++i) in_order.push_back(one->problem(Split::training, i));
    for (std::uint64_t i = 50; i-- > 0;) {
      const Problem& problem = in_order[i];
      EXPECT_EQ(same->problem(Split::training, i), problem);
      alike += one->problem(Split::evaluation, i) == problem;
      alike += other->problem(Split::training, i) == problem;
      alike += i > 0 && in_order[i - 1] == problem;
    }
    EXPECT_LT(alike, 8) << task->name;
  }
  EXPECT_NE(open("parity")->problem(Split::training, (std::uint64_t{1} << 55) - 1), first("parity"));
}

// The problems of a seed are part of a run: what changes them changes every run on them.
TEST(tasks, the_problems_of_a_seed_are_pinned) {
  const std::map<std::string, Problem> golden{
      {"base_conversion", {"base 10 to 2: 128=", "128=64*2+0;64=32*2+0;32=16*2+0;16=8*2+0;8=4*2+0;4=2*2+0;2=1*2+0;1=0*2+1", "10000000"}},
      {"chain_sum", {"5+3-8+4-9=", "5+8-0+4-5", "5"}},
      {"countdown", {"make 99 of 11,8,1:", "", "(8+1)*11"}},
      {"gcd", {"gcd(40,5)=", "40=8*5+0", "5"}},
      {"letter_counting", {"count c in badcbbdd:", "b0a0d0c1b1b1d1d1", "1"}},
      {"mini_sudoku", {"sudoku .31./1.4./3.../.431:", "", "4312/1243/3124/2431"}},
      {"number_sorting", {"sort 50,37,3,87,59:", "50;37,50;3,37,50;3,37,50,87;3,37,50,59,87", "3,37,50,59,87"}},
      {"parity", {"1001100111111010=", "1110111010101100", "0"}},
      {"products", {"55*4=", "5*4=20;50*4=200;20+200=220", "220"}},
      {"propositional_logic", {"p=1,q=0,r=0:((r>r)|(!p|q))=", "((0>0)|(0|0));(1|(0|0));(1|0);1", "1"}},
      {"shortest_path", {"path f to c in ac,bd,fe,ae,fb,dc,cf,ab:", "", "fc"}},
      {"spell_backward", {"reverse njawp:", "n;jn;ajn;wajn;pwajn", "pwajn"}},
  };
  for (const Task* task : all_tasks()) {
    const Problem problem = first(task->name), expected = golden.at(std::string(task->name));
    EXPECT_EQ(problem.prompt, expected.prompt);
    EXPECT_EQ(problem.chain, expected.chain);
    EXPECT_EQ(problem.truth, expected.truth);
  }
  EXPECT_EQ(open("parity", {}, 9)->problem(Split::evaluation, 1000).prompt, "0001100100101111=");
}

TEST(tasks, wrong_names_and_options_are_answered) {
  const auto error = [](std::string_view name, Json options) {
    const auto problems = open_problems({.name = std::string(name), .options = std::move(options), .place = "run.toml:7: [data] task"});
    EXPECT_FALSE(problems.ok());
    return problems.ok() ? "" : problems.error().message;
  };
  EXPECT_EQ(error("party", {}), "run.toml:7: [data] task: there is no task 'party'; did you mean parity?");
  EXPECT_THAT(error("xyzzy", {}), HasSubstr("there are: base_conversion, chain_sum"));
  EXPECT_EQ(error("parity", {{"bit", 3}}), "run.toml:7: [data] task: parity: there is no option bit; did you mean bits?");
  EXPECT_THAT(error("parity", {{"xyzzy", 3}}), HasSubstr("there is no option xyzzy; there are: bits, long"));
  EXPECT_EQ(error("parity", {{"bits", 0}}), "run.toml:7: [data] task: parity: option bits = 0: a whole number from 1 to 1024 is wanted");
  EXPECT_THAT(error("parity", {{"bits", 2.5}}), HasSubstr("option bits = 2.5: a whole number"));
  EXPECT_THAT(error("parity", {{"bits", "8"}}), HasSubstr("option bits = \"8\": a whole number"));
  EXPECT_THAT(error("parity", {{"long", 1.5}}), HasSubstr("option long = 1.5: a number from 0 to 1 is wanted"));
  EXPECT_THAT(error("countdown", {{"long", 1}}), HasSubstr("option long = 1: only 0 is wanted"));
  EXPECT_THAT(error("parity", Json::array({1})), HasSubstr("options are a table of numbers and words, not array"));
  EXPECT_THAT(error("chain_sum", {{"modulus", 1}}), HasSubstr("chain_sum: option modulus = 1 makes every answer 0"));
  EXPECT_THAT(error("base_conversion", {{"to", 10}}), HasSubstr("options from and to are both 10"));
  EXPECT_THAT(error("shortest_path", {{"nodes", 4}}), HasSubstr("option edges = 8: 4 nodes in one piece have from 3 to 6 edges"));
  EXPECT_THAT(error("countdown", {{"target_max", 19}}), HasSubstr("option target_max = 19 is below max = 20"));
  EXPECT_EQ(open("parity", {{"bits", 4.0}})->options().integer("bits"), 4);
}

TEST(tasks, options_and_name_are_in_the_digest) {
  const Digest digest = open("parity")->digest();
  EXPECT_EQ(open("parity", {{"bits", 16}, {"long", 1}}, 5)->digest(), digest);
  EXPECT_NE(open("parity", {{"bits", 15}})->digest(), digest);
  EXPECT_NE(open("parity", {{"long", 0.5}})->digest(), digest);
  EXPECT_NE(open("chain_sum")->digest(), open("letter_counting")->digest());
}

TEST(tasks, the_long_ones_are_spread_evenly) {
  for (const double p : {0.0, 0.2, 0.25, 1.0 / 3, 0.5, 0.77, 1.0}) {
    std::vector<int> sums{0};
    for (std::uint64_t i = 0; i < 5000; ++i) sums.push_back(sums.back() + (is_long(p, i) ? 1 : 0));
    for (const std::size_t batch : {1u, 7u, 64u, 1000u}) {
      for (std::size_t begin = 0; begin + batch < sums.size(); begin += batch) {
        EXPECT_NEAR(sums[begin + batch] - sums[begin], p * static_cast<double>(batch), 1 - 1e-9 + 1e-8) << p << " " << begin;
      }
    }
  }
  std::vector<std::uint64_t> fifth;
  for (std::uint64_t i = 0; i < 20; ++i) {
    if (is_long(0.2, i)) fifth.push_back(i);
  }
  EXPECT_EQ(fifth, (std::vector<std::uint64_t>{4, 9, 14, 19}));
  EXPECT_TRUE(is_long(1, ~std::uint64_t{0}));
  EXPECT_FALSE(is_long(0, ~std::uint64_t{0}));
  EXPECT_FALSE(is_long(1e-300, ~std::uint64_t{0}));
  EXPECT_TRUE(is_long(0x1p-60, (std::uint64_t{1} << 60) - 1));
  EXPECT_FALSE(is_long(0x1p-60, std::uint64_t{1} << 60));
}

}  // namespace
}  // namespace godwit::data
