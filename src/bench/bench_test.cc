// The parts of benches that are pure: how FLOPs are counted, how nodes become rows, how rows become text and JSON.
#include "bench/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "bench/flops.h"
#include "bench/op_table.h"
#include "bench/storm_agent.h"
#include "base/temporary_directory.h"
#include "bench/training_job.h"

namespace godwit::bench {
namespace {

using testing::HasSubstr;

// ---- FLOPs: wrong would be a forgotten factor, norms or the embedding counted, all experts counted ----

// Every product written out: 2 layers (1 dense), hidden 10, 2 heads of nope 3, rope 2, value 4, latents 5 and 6, dense 7, experts of width
// 8, 4 of them, 2 used, 1 shared, vocabulary 20.
model::DeepseekV3Config small() {
  model::DeepseekV3Config c;
  c.vocab_size = 20;
  c.hidden_size = 10;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 2;
  c.q_lora_rank = 5;
  c.kv_lora_rank = 6;
  c.qk_nope_head_dim = 3;
  c.qk_rope_head_dim = 2;
  c.v_head_dim = 4;
  c.intermediate_size = 7;
  c.moe_intermediate_size = 8;
  c.n_routed_experts = 4;
  c.num_experts_per_tok = 2;
  c.n_shared_experts = 1;
  c.first_k_dense_replace = 1;
  return c;
}
constexpr std::int64_t small_attention = 10 * 5 + 5 * 10 + 10 * 8 + 6 * 14 + 8 * 10;  // q_a, q_b, kv_a, kv_b, o
constexpr std::int64_t small_moe = 4 * 10 + 3 * (3 * 8 * 10);                         // router, two experts and the shared one
constexpr std::int64_t small_layers = 2 * small_attention + 3 * 7 * 10 + small_moe;

TEST(Flops, CountsTheProductsOfAToken) {
  EXPECT_EQ(layer_parameters(small()), small_layers);
  EXPECT_EQ(head_parameters(small()), 200);
  EXPECT_EQ(training_flops(small(), 100), 6 * (small_layers + 200) + 2 * 3 * 100 * 2 * (3 + 2 + 4));
  model::DeepseekV3Config direct = small();
  direct.q_lora_rank.reset();
  EXPECT_EQ(layer_parameters(direct), small_layers + 2 * (10 * 10 - 100));
}

TEST(Flops, APromptNeedsItsLastRowsLogitsOnly) {
  constexpr std::int64_t last = 8 * 10 + small_moe;  // o_proj and the mixture of the last layer
  EXPECT_DOUBLE_EQ(prefill_flops(small(), 100), 100 * (2 * (small_layers - last) + 2 * 100 * 2 * 9) + 2 * (last + 200));
  EXPECT_DOUBLE_EQ(prefill_flops(small(), 1), 2 * small_layers + 2 * 2 * 9 + 2 * 200);
}

TEST(Flops, ADecodeStepReadsEveryWeightOnceAndEveryStreamsCache) {
  EXPECT_EQ(decode_flops(small(), 50), 2 * (small_layers + 200) + 2 * 2 * 50 * 2 * (6 + 6 + 2));
  EXPECT_EQ(expanded_decode_flops(small(), 50), 2 * (small_layers + 200) + 2 * 2 * 50 * 2 * (3 + 2 + 4));
  const double router = 4 * 10, cache = 2 * 50 * (6 + 2);
  EXPECT_DOUBLE_EQ(decode_bytes(small(), model::WeightFormat::dtype, 1, 50), 2 * (small_layers - router + 200 + cache) + 4 * router);
  EXPECT_DOUBLE_EQ(decode_bytes(small(), model::WeightFormat::q8, 1, 50),
                   33.0 / 32 * (small_layers - router + 200) + 2 * cache + 4 * router);
  // Two rows use 4 · (1 − ½²) = 3 of the 4 experts; very many use all.
  EXPECT_DOUBLE_EQ(decode_bytes(small(), model::WeightFormat::dtype, 2, 50),
                   2 * (small_layers - router + 240 + 200 + 2 * cache) + 4 * router);
  EXPECT_DOUBLE_EQ(decode_bytes(small(), model::WeightFormat::dtype, 64, 0), 2 * (small_layers - router + 2 * 240 + 200) + 4 * router);
}

TEST(Flops, ThePresetsBenchesAreStatedFor) {
  // mini: six layers of attention, a dense one, five of four experts and a shared one, the head.
  constexpr double mini = 6 * 229376 + 589824 + 5 * (4096 + 5 * 147456) + 524288;
  EXPECT_EQ(training_flops(preset_config("mini"), 256), 6 * mini + 6 * 3 * 256 * 8 * 80);
  EXPECT_EQ(training_flops(preset_config("dense30"), 256), 6.0 * (8 * (802816 + 3 * 512 * 2048) + 8192 * 512) + 8 * 3 * 256 * 8 * 160);
  EXPECT_EQ(layer_parameters(preset_config("ds326")), 12 * 4767744 + 3 * 768 * 2048 + 11 * (32 * 768 + 5 * 3 * 768 * 256));
}

// ---- Op tables: wrong would be shapes thrown together, times of unequal nodes averaged, a share of the wrong peak ----

struct Nodes {
  Nodes() {
    program::Builder b("nodes");
    const auto x = b.declare("x", program::Role::input, program::Dtype::f32, {4, 8});
    const auto wide = b.declare("wide", program::Role::input, program::Dtype::f32, {4, 16});
    const auto w = b.declare("w", program::Role::state, program::Dtype::f32, {2, 8});
    const auto samples = b.declare("samples", program::Role::input, program::Dtype::i32, {2});
    const auto sum = b.emit1("add", {x, x});
    b.emit1("add", {sum, x});
    b.emit1("add", {wide, wide});
    b.emit1("linear", {b.cast(x, program::Dtype::bf16), b.cast(w, program::Dtype::bf16), samples});
    program = std::move(b).finish();
  }
  program::Program program;
};
const Ceilings ceilings{.threads = 1, .f32_flops = 1e9, .bf16_flops = 4e9, .read_bytes = 1e9};

TEST(OpTable, SaysWhatANodeWorksOn) {
  const Nodes nodes;
  EXPECT_EQ(shape_text(nodes.program, nodes.program.nodes[0]), "f32 4×8 (2 times) → 4×8");
  EXPECT_EQ(shape_text(nodes.program, nodes.program.nodes[3]), "f32 4×8 → bf16 4×8");
  EXPECT_EQ(shape_text(nodes.program, nodes.program.nodes[5]), "bf16 4×8, 2×8 → f32 4×2");
}

TEST(OpTable, GroupsByOpAndShape) {
  const Nodes nodes;
  ASSERT_EQ(nodes.program.nodes.size(), 6u);
  // Ten steps of one microsecond. The casts never ran.
  const TimedProgram timed{&nodes.program, {{10, 1000}, {10, 3000}, {10, 1500}, {0, 0}, {0, 0}, {10, 2000}}};
  const OpTable table = group_ops("job", std::span(&timed, 1), 10, 1e-6, ceilings);
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_DOUBLE_EQ(table.step_ms, 1e-3);
  const OpRow& adds = table.rows[0];  // the longest first
  EXPECT_EQ(adds.op, "add");
  EXPECT_EQ(adds.shape, "f32 4×8 (2 times) → 4×8");
  EXPECT_DOUBLE_EQ(adds.runs, 2);
  EXPECT_DOUBLE_EQ(adds.ms, 4e-4);
  EXPECT_DOUBLE_EQ(adds.share_of_step, 0.4);
  EXPECT_DOUBLE_EQ(adds.flops_per_s, 20 * 32 / 4e-6);
  EXPECT_DOUBLE_EQ(adds.bytes_per_s, 20 * 3 * 128 / 4e-6);
  EXPECT_DOUBLE_EQ(adds.share_of_ceiling, 20 * 3 * 128 / 1e9 / 4e-6);
  // 128 FLOPs a run at the bf16 peak take less than reading 136 + 8 bytes of it.
  const OpRow& linear = table.rows[1];
  EXPECT_EQ(linear.op, "linear");
  EXPECT_DOUBLE_EQ(linear.share_of_ceiling, 10 * (2 * 4 * 8 + 2 * 2 * 8 + 4 * 4 * 2 + 8) / 1e9 / 2e-6);
  EXPECT_DOUBLE_EQ(table.ops_ms(), 7.5e-4);

  Ceilings slow_arithmetic = ceilings;
  slow_arithmetic.bf16_flops = 1e8;
  EXPECT_DOUBLE_EQ(group_ops("job", std::span(&timed, 1), 10, 1e-6, slow_arithmetic).rows[1].share_of_ceiling, 10 * 128 / 1e8 / 2e-6);
}

TEST(OpTable, ProgramsOfAJobAreOneTable) {
  const Nodes nodes;
  const TimedProgram timed{&nodes.program, {{10, 1000}, {0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0}}};
  const std::vector<TimedProgram> twice(2, timed);
  const OpTable table = group_ops("job", twice, 10, 1e-6, ceilings);
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_DOUBLE_EQ(table.rows[0].runs, 2);
  EXPECT_DOUBLE_EQ(table.rows[0].ms, 2e-4);
}

// ---- Reports: wrong would be a target said to be met that is not, a document that says other than the table ----

TEST(Report, TargetsAreOfTheShareOrTheValueAndHaveASense) {
  Row row{.job = "job", .value = 60, .unit = "tokens/s", .ceiling = 100, .target = Target{.value = 0.65}, .note = {}};
  EXPECT_DOUBLE_EQ(*row.share(), 0.6);
  EXPECT_FALSE(*row.met());
  row.value = 65;
  EXPECT_TRUE(*row.met());
  row.target = Target{.of = Target::Of::value, .value = 75};
  EXPECT_FALSE(*row.met());
  row.target = Target{.of = Target::Of::value, .sense = Target::Sense::at_most, .value = 75};
  EXPECT_TRUE(*row.met());
  row.target.reset();
  row.ceiling.reset();
  EXPECT_FALSE(row.met().has_value());
  EXPECT_FALSE(row.share().has_value());
}

TEST(Report, TextAndJsonSayTheSame) {
  Report report;
  report.rows.push_back(
      {.job = "fast", .value = 1364.4, .unit = "tokens/s", .ceiling = 2098, .target = Target{.value = 0.65}, .note = "of the peak"});
  report.rows.push_back({.job = "plain", .value = 0.5, .unit = "s", .ceiling = {}, .target = {}, .note = {}});
  report.ops.push_back({"job", 2, {{"add", "f32 4×8", 3, 1.5, 0.75, 2e9, 3e9, 0.5}, {"cast", "f32 4×8", 1, 0.002, 0.001, 0, 3e9, 0.5}}});
  report.notes.emplace_back("a formula");
  EXPECT_EQ(text_of("train", report),
            "train\n"
            "  job    measured      unit  ceiling   share      target\n"
            "  fast      1,364  tokens/s    2,098  65.0 %  ≥ 65 % met  of the peak\n"
            "  plain     0.500         s\n"
            "  job: 2.0 ms a step\n"
            "  op           shape    runs     ms  of step  GFLOP/s  GB/s  of ceiling\n"
            "  add          f32 4×8     3  1.500   75.0 %     2.00  3.00  50.0 %\n"
            "  1 smaller                   0.002    0.1 %\n"
            "  outside ops                 0.498   24.9 %\n"
            "  a formula\n");
  const Json json = json_of("train", report);
  EXPECT_EQ(json["name"], "train");
  EXPECT_EQ(json["rows"][0]["target"]["met"], true);
  EXPECT_DOUBLE_EQ(json["rows"][0]["share"].get<double>(), 1364.4 / 2098);
  EXPECT_FALSE(json["rows"][1].contains("target"));
  EXPECT_EQ(json["ops"][0]["rows"].size(), 2u);  // the small one too
  EXPECT_EQ(json["notes"][0], "a formula");
}

TEST(Report, Numbers) {
  EXPECT_EQ(number_text(0.0404), "0.040");
  EXPECT_EQ(number_text(1.15), "1.15");
  EXPECT_EQ(number_text(31.26), "31.3");
  EXPECT_EQ(number_text(467.3), "467");
  EXPECT_EQ(number_text(1234567), "1,234,567");
  EXPECT_EQ(number_text(-123456), "-123,456");
}

TEST(Median, IsTheMiddle) {
  EXPECT_DOUBLE_EQ(median({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(median({4, 1, 3, 2}), 2.5);
}

// ---- Training jobs: wrong would be a kernel measured with its checks on, or beside other processes ----

TEST(TrainingJob, IsAloneAndUncheckedUnlessItSaysOtherwise) {
  auto directory = TemporaryDirectory::create();
  ASSERT_TRUE(directory.ok());
  TrainingJob job{.preset = "nano", .dtype = "f32"};
  EXPECT_EQ(job.workers, 0);
  const auto settings = [&] {
    const auto config = write_job(directory->path(), job, 10);
    return config.ok() ? read_file(*config).value() : std::string();
  };
  EXPECT_THAT(settings(), HasSubstr("checkpoint_every = 0\n\n[guard]\nverify = \"off\"\nreplay = 0\n"));
  job.verify = "dual";
  job.replay = 32;
  job.checkpoint_every = 10;
  EXPECT_THAT(settings(), HasSubstr("checkpoint_every = 10\n\n[guard]\nverify = \"dual\"\nreplay = 32\n"));
}

// ---- Recoveries: wrong would be a hang counted as a death, whose time it would spoil ----

TEST(Recovery, KnowsHangsByWhatTheWatchdogsSay) {
  EXPECT_TRUE((Recovery{"worker 1: it is stopped for 2.1 s", 0.1}).hang());
  EXPECT_TRUE((Recovery{"keeper: it sleeps for 2.0 s in applying", 0.1}).hang());
  EXPECT_TRUE((Recovery{"worker 0: it used 2.3 s of CPU without getting on in backward", 0.1}).hang());
  EXPECT_FALSE((Recovery{"worker 1: was killed (Killed)", 0.1}).hang());
}

// ---- The list: a bench without what a user needs to choose it ----

TEST(Benches, EachHasANameASummaryAndSomethingToRun) {
  for (const Bench* bench : all_benches()) {
    EXPECT_FALSE(bench->name.empty());
    EXPECT_THAT(std::string(bench->summary), HasSubstr("."));
    EXPECT_NE(bench->run, nullptr) << bench->name;
  }
}

TEST(Context, WantsWhatTheUserChose) {
  const Context all(Options{});
  EXPECT_TRUE(all.wants("mini", "f32"));
  const Context one({.device = {}, .job = "mini", .dtype = "bf16"});
  EXPECT_TRUE(one.wants("mini"));
  EXPECT_TRUE(one.wants("mini", "bf16"));
  EXPECT_FALSE(one.wants("mini", "f32"));
  EXPECT_FALSE(one.wants("dense30", "bf16"));
}

}  // namespace
}  // namespace godwit::bench
