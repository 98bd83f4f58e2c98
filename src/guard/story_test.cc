// A story could say one thing and order another, be misread without a word, or be refused without telling why.
#include "guard/story.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "base/file.h"

namespace godwit::guard {
namespace {

using testing::HasSubstr;

const std::string frame = "train nano 12 steps on 3 workers\nexpect finished\n";

Fault fault(const std::string& line) {
  const auto story = parse_story(frame + line, "a.story");
  EXPECT_TRUE(story.ok()) << (story.ok() ? "" : story.error().message);
  if (!story.ok()) return {};
  EXPECT_EQ(story->faults.size(), 1u);
  EXPECT_EQ(story->faults.at(0).text, line);
  return story->faults.at(0);
}

std::string refused(const std::string& text) {
  const auto story = parse_story(text, "a.story");
  EXPECT_FALSE(story.ok()) << text;
  if (story.ok()) return "";
  EXPECT_EQ(story.error().kind, ErrorKind::input);
  return story.error().message;
}

TEST(Story, TheExampleOfTheHouse) {
  const Story story = parse_story(R"(train nano 40 steps on 2 workers
at step 7 in backward: kill worker 1
at step 19: flip a high bit in 3 matmul accumulators on worker 0
expect finished, replays >= 1, digest = undisturbed
)",
                                  "a.story")
                          .value();
  EXPECT_EQ(story.preset, "nano");
  EXPECT_EQ(story.steps, 40u);
  EXPECT_EQ(story.workers, 2);
  EXPECT_EQ(story.verify, "inline");
  ASSERT_EQ(story.faults.size(), 2u);
  const Fault& death = story.faults[0];
  EXPECT_EQ(death.act, Act::kill);
  EXPECT_EQ(death.at.role, Role::worker);
  EXPECT_EQ(death.at.worker, 1);
  EXPECT_EQ(death.at.step, 7u);
  EXPECT_EQ(death.last_step, 7u);
  EXPECT_EQ(death.at.phase, Phase::backward);
  EXPECT_EQ(death.count, 1u);
  EXPECT_EQ(death.rate, 1);
  const Fault& lie = story.faults[1];
  EXPECT_EQ(lie.act, Act::spoil);
  EXPECT_EQ(lie.at.worker, 0);
  EXPECT_EQ(lie.at.phase, Phase::forward);
  EXPECT_EQ(lie.op, "");
  EXPECT_EQ(lie.spoil.kind, GODWIT_SPOIL_BIT);
  EXPECT_EQ(lie.spoil.bit, 30);
  EXPECT_EQ(lie.spoil.count, 3);
  EXPECT_EQ(lie.spoil.op_index, -1);
  EXPECT_NE(lie.spoil.seed, death.spoil.seed);
  ASSERT_EQ(story.expectations.size(), 3u);
  EXPECT_EQ(story.expectations[1].kind, Expectation::Kind::counter);
  EXPECT_EQ(story.expectations[1].counter, "replays");
  EXPECT_EQ(story.expectations[1].comparison, ">=");
  EXPECT_EQ(story.expectations[1].value, 1u);
  EXPECT_EQ(story.expectations[2].kind, Expectation::Kind::digest);
}

TEST(Story, SettingsOfTheRun) {
  const Story story = parse_story(
                          "# a remark\n\ntrain mini 3 steps on 1 worker with data.batch=4 run.dtype=bf16\nverify dual # here too\nseed 9\n"
                          "beside 2 busy threads\r\nexpect waiting",
                          "a.story")
                          .value();
  EXPECT_THAT(story.sets, testing::ElementsAre("data.batch=4", "run.dtype=bf16"));
  EXPECT_EQ(story.verify, "dual");
  EXPECT_EQ(story.seed, 9u);
  EXPECT_EQ(story.busy_threads, 2);
  EXPECT_EQ(story.expectations.at(0).kind, Expectation::Kind::waiting);
}

TEST(Story, HowOften) {
  EXPECT_EQ(fault("at step 3: kill a worker").count, 1u);
  EXPECT_FALSE(fault("at step 3: kill a worker").once_a_step);
  const Fault again = fault("at step 3, every time: kill a worker");
  EXPECT_EQ(again.count, 0u);
  EXPECT_FALSE(again.once_a_step);
  const Fault range = fault("steps 3 to 5: kill a worker");
  EXPECT_EQ(range.at.step, 3u);
  EXPECT_EQ(range.last_step, 5u);
  EXPECT_EQ(range.count, 0u);
  EXPECT_TRUE(range.once_a_step);
  const Fault some = fault("every step in backward with probability 0.25, up to 4 times: kill every worker");
  EXPECT_EQ(some.at.step, 0u);
  EXPECT_GT(some.last_step, 1u << 30);
  EXPECT_EQ(some.rate, 0.25);
  EXPECT_EQ(some.count, 4u);
  EXPECT_FALSE(some.once_a_step);
  EXPECT_TRUE(some.each_worker);
  EXPECT_EQ(some.at.worker, -1);
  EXPECT_EQ(fault("at step 3: poison the batch").count, 0u);
  EXPECT_EQ(fault("at step 3, up to 2 times: poison the batch").count, 2u);
}

TEST(Story, Where) {
  const Fault in_op = fault("at step 3 in op rope: kill worker 2");
  EXPECT_TRUE(in_op.any_phase);
  EXPECT_EQ(in_op.in_op, "rope");
  EXPECT_EQ(fault("every step anywhere with probability 0.01: kill a worker").in_op, "*");
  EXPECT_EQ(fault("at step 3: kill the keeper").at.phase, Phase::applying);
  EXPECT_EQ(fault("at step 3 in digesting: kill the keeper").at.phase, Phase::digesting);
  EXPECT_EQ(fault("at step 3: kill the supervisor").at.role, Role::supervisor);
  EXPECT_EQ(fault("at step 3: kill everything").how, "everything");
  EXPECT_EQ(fault("at step 3: kill the writer").at.phase, Phase::writing);
  EXPECT_EQ(fault("at step 3 in writing: terminate the run").at.role, Role::supervisor);
  EXPECT_EQ(fault("at step 3: terminate the run").at.role, Role::supervisor);
  EXPECT_EQ(fault("at step 3 in evaluating: terminate the run").at.role, Role::worker);
  EXPECT_TRUE(fault("at step 3: kill every worker on the trusted CPU too").trusted_too);
}

TEST(Story, EveryAct) {
  const auto act = [](const std::string& text) { return fault("at step 3: " + text).act; };
  EXPECT_EQ(act("crash worker 0"), Act::crash);
  EXPECT_EQ(act("abort the keeper"), Act::abandon);
  EXPECT_EQ(act("let worker 0 leave"), Act::leave);
  EXPECT_EQ(act("exhaust the memory of the keeper"), Act::exhaust);
  EXPECT_EQ(act("stop worker 0"), Act::stop);
  EXPECT_EQ(fault("at step 3: stop worker 0 for 2.5 seconds").seconds, 2.5);
  EXPECT_EQ(fault("at step 3: livelock worker 0 with 4 threads").threads, 4);
  EXPECT_EQ(fault("at step 3: let worker 0 sleep for 3 seconds").seconds, 3);
  EXPECT_EQ(fault("from step 3: slow worker 0 by 10").factor, 10);
  EXPECT_EQ(act("flip 3 bits in 2 rope results on worker 1"), Act::flip_tensor);
  const Fault tensor = fault("at step 3: flip 3 bits in 2 rope results on worker 1");
  EXPECT_EQ(tensor.bits, 3);
  EXPECT_EQ(tensor.results, 2);
  EXPECT_EQ(tensor.op, "rope");
  EXPECT_EQ(act("drop every linear result on worker 1"), Act::drop_tensor);
  const Fault state = fault("at step 3: flip bit 7 in the state of lm_head");
  EXPECT_EQ(state.act, Act::flip_state);
  EXPECT_EQ(state.tensor, "lm_head");
  EXPECT_EQ(state.bit, 7);
  EXPECT_EQ(state.at.role, Role::keeper);
  EXPECT_EQ(state.at.phase, Phase::joining);
  EXPECT_EQ(act("flip a bit in the gradient of worker 1"), Act::flip_proposal);
  EXPECT_EQ(act("swap two chunks in the gradient of worker 1"), Act::swap_proposal);
  EXPECT_EQ(act("cut the gradient of a worker"), Act::cut_proposal);
  EXPECT_EQ(act("poison the batch"), Act::poison);
  EXPECT_EQ(act("lose the answer of worker 1"), Act::lose_frame);
  EXPECT_EQ(act("repeat the answer of worker 1"), Act::repeat_frame);
  EXPECT_EQ(fault("at step 3: delay the answer of worker 1 by 0.5 seconds").seconds, 0.5);
  const Fault late = fault("at step 3: delay the answer of worker 1 by 0.5 seconds on the trusted CPU too");
  EXPECT_EQ(late.at.phase, Phase::sending);
  EXPECT_EQ(late.at.role, Role::supervisor);
  EXPECT_EQ(late.at.worker, 1);
  EXPECT_EQ(act("flip a bit in the answer of worker 1"), Act::flip_frame);
  EXPECT_EQ(act("reset the link of worker 1"), Act::reset_link);
  EXPECT_EQ(fault("at step 3: flip a bit in the newest checkpoint").how, "flip");
  EXPECT_EQ(fault("at step 3: truncate the newest checkpoint").at.phase, Phase::committed);
  EXPECT_EQ(act("remove the newest checkpoint"), Act::rot_checkpoint);
  EXPECT_EQ(act("flip a bit in the data"), Act::rot_data);
  EXPECT_EQ(fault("at step 3: truncate the data").at.phase, Phase::committed);
  EXPECT_EQ(fault("at step 3: remove the data").how, "remove");
  EXPECT_EQ(act("truncate the tokens"), Act::rot_tokens);
  EXPECT_EQ(fault("at step 3: flip a bit in the tokens").how, "flip");
  EXPECT_EQ(fault("at step 3: remove the tokens").at.role, Role::supervisor);
  EXPECT_EQ(fault("at step 3: disk full for 2 seconds").error_number, ENOSPC);
  EXPECT_EQ(fault("at step 3: disk error for 3 calls").calls, 3u);
  EXPECT_EQ(fault("at step 3: read-only disk").error_number, EROFS);
  EXPECT_EQ(fault("at step 3: disk at 10 MB/s for 1 second").factor, 10);
  EXPECT_EQ(fault("at step 3: disk sync error").how, "sync");
  EXPECT_EQ(fault("at step 3 in writing: short disk writes").how, "short");
}

TEST(Story, EverySpoil) {
  const auto kind = [](const std::string& text) { return fault("at step 3: " + text + " on worker 1").spoil.kind; };
  EXPECT_EQ(kind("flip a bit in a linear accumulator"), GODWIT_SPOIL_BIT);
  EXPECT_EQ(kind("flip 7 bits in a linear accumulator"), GODWIT_SPOIL_BITS);
  EXPECT_EQ(kind("spoil a lane of 2 matmul accumulators"), GODWIT_SPOIL_LANE);
  EXPECT_EQ(kind("spoil a stripe of 2 matmul accumulators"), GODWIT_SPOIL_STRIPE);
  EXPECT_EQ(kind("keep a stale tile in an attention accumulator"), GODWIT_SPOIL_STALE);
  EXPECT_EQ(kind("swap two rows in 1 matmul accumulator"), GODWIT_SPOIL_SWAP);
  EXPECT_EQ(kind("zero a tile in 1 matmul accumulator"), GODWIT_SPOIL_ZERO);
  EXPECT_EQ(kind("take a wrong expert in 1 grouped_linear accumulator"), GODWIT_SPOIL_EXPERT);
  EXPECT_EQ(kind("miss a tile in every matmul accumulator"), GODWIT_SPOIL_MISSING);
  const Fault which = fault(
      "from step 3, every time: flip a bit in every linear accumulator on worker 1 of 256 rows after 2 seconds with chance 1e-6 each on "
      "the trusted CPU too");
  EXPECT_EQ(which.op, "linear");
  EXPECT_EQ(which.spoil.count, 0);
  EXPECT_EQ(which.spoil.rows, 256);
  EXPECT_EQ(which.spoil.after_seconds, 2);
  EXPECT_EQ(which.spoil.rate, 1e-6);
  EXPECT_TRUE(which.trusted_too);
  EXPECT_EQ(fault("at step 3: flip bit 0 in 1 matmul accumulator on worker 1").spoil.bit, 0);
  EXPECT_EQ(fault("at step 3: flip a bit in 1 matmul accumulator on worker 1").spoil.bit, -1);
}

TEST(Story, Ends) {
  const Story story =
      parse_story(frame + "expect worker 1 quarantined, named worker 2 within 20 steps, checkpoints_refused <= 3, stops = 0", "a.story")
          .value();
  ASSERT_EQ(story.expectations.size(), 5u);
  EXPECT_EQ(story.expectations[1].kind, Expectation::Kind::quarantined);
  EXPECT_EQ(story.expectations[1].worker, 1);
  EXPECT_EQ(story.expectations[2].kind, Expectation::Kind::named);
  EXPECT_EQ(story.expectations[2].worker, 2);
  EXPECT_EQ(story.expectations[2].value, 20u);
  EXPECT_EQ(story.expectations[2].text, "named worker 2 within 20 steps");
  EXPECT_EQ(parse_story("train nano 3 steps on 1 worker\nexpect refused", "a.story")->expectations.at(0).kind, Expectation::Kind::refused);
  EXPECT_TRUE(holds(3, "<=", 3) && !holds(4, "<=", 3));
  EXPECT_TRUE(holds(3, ">=", 3) && !holds(2, ">=", 3));
  EXPECT_TRUE(holds(3, "=", 3) && !holds(2, "=", 3));
}

TEST(Story, WhatIsWrongIsNamedWithLineWordAndWhatIsNear) {
  EXPECT_EQ(refused(frame + "at step 3 in bakward: kill worker 1"),
            "a.story:3: word 5, 'bakward' is not what can stand there; did you mean backward?");
  EXPECT_EQ(refused(frame + "at step 3: kil worker 1"), "a.story:3: word 5, 'kil' is not what can stand there; did you mean kill?");
  EXPECT_THAT(refused(frame + "at step 3: kill wroker 1"), HasSubstr("did you mean worker?"));
  EXPECT_THAT(refused(frame + "at step 3: flip a bit in 2 atention results on worker 1"), HasSubstr("did you mean attention?"));
  EXPECT_THAT(refused(frame + "at step x: kill worker 1"), HasSubstr("a.story:3: at word 3, 'x' there can be: a step"));
  EXPECT_THAT(refused(frame + "at step 3: kill worker"), HasSubstr("at its end there can be: a worker's number"));
  EXPECT_THAT(refused(frame + "at step 3: kill worker 1 now"), HasSubstr("word 8, 'now'"));
  EXPECT_THAT(refused(frame + "at step 3: kill worker 3"), HasSubstr("there are workers 0 to 2"));
  EXPECT_THAT(refused(frame + "at step 3 in judging: kill worker 1"),
              HasSubstr("the worker is never in judging; it passes starting, preparing, idle, forward"));
  EXPECT_THAT(refused(frame + "at step 3 in writing: kill the supervisor"), HasSubstr("it passes starting, committing, committed"));
  EXPECT_THAT(refused(frame + "at step 3 in committing: kill the writer"), HasSubstr("this happens in writing and nowhere else"));
  EXPECT_THAT(refused(frame + "at step 3: remove the date"), HasSubstr("did you mean data?"));
  EXPECT_THAT(refused(frame + "at step 3: flip a bit in the token"), HasSubstr("did you mean tokens?"));
  EXPECT_THAT(refused(frame + "at step 3 in forward: remove the data"), HasSubstr("the supervisor is never in forward"));
  EXPECT_THAT(refused(frame + "expect refuse"), HasSubstr("did you mean refused?"));
  EXPECT_THAT(refused(frame + "steps 5 to 3: kill worker 1"), HasSubstr("a step, 5 or later"));
  EXPECT_THAT(refused(frame + "every step with probability 2: kill worker 1"), HasSubstr("a probability, 0 to 1"));
  EXPECT_THAT(refused(frame + "at step 3: kill worker 1 for 3 seconds"), HasSubstr("'for'"));
  EXPECT_THAT(refused(frame + "expect finishd"), HasSubstr("did you mean finished?"));
  EXPECT_THAT(refused(frame + "expect replay >= 1"), HasSubstr("did you mean replays?"));
  EXPECT_THAT(refused(frame + "verify all"), HasSubstr("dual, inline, off"));
  EXPECT_THAT(refused("train nan 3 steps on 1 worker"), HasSubstr("did you mean nano?"));
  EXPECT_THAT(refused("train nano 3 steps on 1 worker"), HasSubstr("has no line \"expect"));
  EXPECT_THAT(refused("expect finished"), HasSubstr("has no line \"train"));
  EXPECT_THAT(refused(frame + frame), HasSubstr("a story trains once"));
}

TEST(Story, MovesAndCandidates) {
  const Fault one = fault("at step 3: move worker 1 to opencl:2");
  EXPECT_EQ(one.act, Act::move);
  EXPECT_EQ(one.at.role, Role::supervisor);
  EXPECT_EQ(one.at.phase, Phase::committed);
  EXPECT_EQ(one.at.worker, 1);
  EXPECT_EQ(one.how, "opencl:2");
  EXPECT_EQ(fault("at step 3: move every worker to reference").at.worker, -1);
  const Fault death = fault("every step in comparing, up to 1 times: kill the candidate of worker 2");
  EXPECT_TRUE(death.at.candidate);
  EXPECT_EQ(death.at.worker, 2);
  EXPECT_EQ(death.at.phase, Phase::comparing);
  EXPECT_FALSE(fault("at step 3: kill worker 2").at.candidate);
  EXPECT_EQ(fault("at step 3: flip a bit in the copy of a candidate").act, Act::flip_copy);
  EXPECT_EQ(fault("at step 3: flip a bit in the copy of a candidate").at.phase, Phase::comparing);
  EXPECT_TRUE(fault("at step 3 in comparing: terminate the run").at.candidate);
  EXPECT_EQ(fault("at step 3 in moved: kill the supervisor").at.phase, Phase::moved);
  EXPECT_THAT(refused(frame + "at step 3 in comparing: kill worker 1"), HasSubstr("the worker is never in comparing"));
  EXPECT_THAT(refused(frame + "at step 3 in evaluating: kill a candidate"),
              HasSubstr("the candidate is never in evaluating; it passes starting"));
  EXPECT_THAT(refused(frame + "at step 3: move worker 3 to cpu"), HasSubstr("there are workers 0 to 2"));
  EXPECT_THAT(refused(frame + "at step 3: move worker 1"), HasSubstr("at its end there can be: to"));
  EXPECT_THAT(refused(frame + "at step 3: flip a bit in the copy of worker 1"), HasSubstr("can be: a, the"));
}

TEST(Story, EveryExampleOfThePageCanBeRead) {
  const std::string page = read_file(fs::path(GODWIT_SOURCE_DIR) / "docs" / "stories.md").value();
  int examples = 0;
  const std::string begin = "```story\n", end = "```";
  for (std::size_t at = page.find(begin); at != std::string::npos; at = page.find(begin, at)) {
    at += begin.size();
    const auto story = parse_story(std::string_view(page).substr(at, page.find(end, at) - at), "docs/stories.md");
    EXPECT_TRUE(story.ok()) << story.error().message;
    ++examples;
  }
  EXPECT_GE(examples, 3);
}

TEST(Story, EveryStoryOfTheTestsCanBeRead) {
  const fs::path directory = fs::path(GODWIT_SOURCE_DIR) / "tests" / "stories";
  std::set<std::string> ids;
  for (const std::string& name : list_directory(directory).value()) {
    if (!name.ends_with(".story")) continue;
    const auto story = load_story(directory / name);
    ASSERT_TRUE(story.ok()) << story.error().message;
    EXPECT_EQ(story->name + ".story", name);
    ids.insert(name.substr(0, name.find('_')));
  }
  EXPECT_THAT(ids, testing::IsSupersetOf({"a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "b1", "b2", "b3",
                                          "b4", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "d1", "d2", "d3", "d4",
                                          "d5", "e1", "e2", "f1", "h",  "m1", "m2", "m3", "m4", "m5", "m6", "m7"}));
}

}  // namespace
}  // namespace godwit::guard
