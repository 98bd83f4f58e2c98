#include "base/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "base/random.h"

namespace godwit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using T = ConfigType;

const std::vector<ConfigKey> keys = {
    {.section = "model", .key = "preset", .type = T::text, .description = "A size."},
    {.section = "data", .key = "kind", .type = T::text, .fallback = "text", .choices = {"text", "ids", "mix"}, .description = "What."},
    {.section = "data", .key = "path", .type = T::texts, .may_change = true, .description = "Files."},
    {.section = "data",
     .key = "batch",
     .type = T::integer,
     .fallback = 8,
     .minimum = 1,
     .maximum = 1000,
     .description = "Sequences | step."},
    {.section = "data", .key = "weight", .type = T::real, .minimum = 0, .description = "In a mix."},
    {.section = "data", .key = "parts", .type = T::tables, .description = "Parts of a mix."},
    {.section = "data", .key = "options", .type = T::table, .description = "Of a task."},
    {.section = "optimizer", .key = "lr", .type = T::real, .fallback = 1e-3, .minimum = 0, .maximum = 100, .description = "Rate."},
    {.section = "optimizer",
     .key = "betas",
     .type = T::reals,
     .fallback = Json::array({0.9, 0.95}),
     .minimum = 0,
     .maximum = 1,
     .description = "Moments."},
    {.section = "run", .key = "steps", .type = T::integer, .required = true, .may_change = true, .description = "Steps."},
    {.section = "run", .key = "seed", .type = T::integer, .fallback = 0, .minimum = 0, .maximum = 9.2e18, .description = "Seed."},
    {.section = "run", .key = "recompute", .type = T::boolean, .fallback = false, .description = "Again."},
};
const std::vector<OpenSection> open_sections = {{"model", {"kv_lora_rank", "hidden_size", "rope_scaling", "rope_theta"}}};

Result<Config> parse(std::string_view toml, std::vector<std::string> sets = {}) {
  return Config::parse(toml, "config.toml", sets, keys, open_sections);
}

// The message for a text (and sets) that must be refused.
std::string refused(std::string_view toml, std::vector<std::string> sets = {}) {
  const auto config = parse(toml, std::move(sets));
  if (config.ok()) return "accepted:\n" + config->toml();
  EXPECT_EQ(config.error().kind, ErrorKind::input);
  return config.error().message;
}

// With the steps a run cannot do without, on the last line.
Result<Config> parse_run(const std::string& toml, std::vector<std::string> sets = {}) {
  sets.insert(sets.begin(), "run.steps=10");
  return parse(toml, std::move(sets));
}
std::string refused_run(const std::string& toml, std::vector<std::string> sets = {}) {
  sets.insert(sets.begin(), "run.steps=10");
  return refused(toml, std::move(sets));
}

TEST(Config, TypesDefaultsAndOrigins) {
  auto config = parse(R"(
[data]
kind = "ids"
path = "rows.json"

[model]
hidden_size = 256
rope_scaling = { type = "yarn", factor = 40, mscale = 1.0 }

[optimizer]
lr = 1
[run]
steps = 1_000
)");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->text("data", "kind"), "ids");
  EXPECT_THAT(config->texts("data", "path"), ElementsAre("rows.json"));
  EXPECT_EQ(config->integer("data", "batch"), 8);
  EXPECT_EQ(config->real("optimizer", "lr"), 1.0);
  EXPECT_TRUE(config->value("optimizer", "lr").is_number_float()) << "a real given as an integer is kept as a real";
  EXPECT_THAT(config->reals("optimizer", "betas"), ElementsAre(0.9, 0.95));
  EXPECT_EQ(config->integer("run", "steps"), 1000);
  EXPECT_FALSE(config->boolean("run", "recompute"));
  EXPECT_EQ(write_json(config->section("model")), R"({"hidden_size":256,"rope_scaling":{"type":"yarn","factor":40,"mscale":1.0}})");
  EXPECT_EQ(config->origin("data", "kind"), "config.toml:3: [data] kind");
  EXPECT_EQ(config->origin("data", "batch"), "[data] batch (default)");
  EXPECT_EQ(config->origin("model", "preset"), "[model] preset");
  EXPECT_TRUE(config->given("data", "kind"));
  EXPECT_FALSE(config->given("data", "batch"));
  EXPECT_TRUE(config->has("data", "batch"));
  EXPECT_FALSE(config->has("model", "preset"));
  EXPECT_FALSE(config->has("data", "weight"));
}

TEST(Config, UnknownNamesAreRefusedWithTheNearestKnownOne) {
  EXPECT_EQ(refused_run("\n\n[model]\npreset = \"nano\"\n\n\nkv_lora_rnak = 8"),
            "config.toml:7: [model] kv_lora_rnak is not a key; did you mean kv_lora_rank?");
  EXPECT_EQ(refused_run("[dta]\nbatch = 8"), "config.toml:1: [dta] is not a section; did you mean [data]?");
  EXPECT_EQ(refused_run("[guard]"), "config.toml:1: [guard] is not a section; there are: model, data, optimizer, run");
  EXPECT_EQ(refused_run("[run]\nlr = 1"), "config.toml:2: [run] lr is not a key; it belongs in [optimizer]");
  EXPECT_EQ(refused_run("[run]\nspeed = 1"), "config.toml:2: [run] speed is not a key; did you mean seed?");
  EXPECT_EQ(refused_run("[run]\ncolour = 1"), "config.toml:2: [run] colour is not a key; there are: steps, seed, recompute");
  EXPECT_EQ(refused("steps = 5"), "config.toml:1: steps stands outside every section; it belongs in [run]");
  EXPECT_EQ(refused("run = 5"), "config.toml:1: run is a section: write [run] above its keys");
  EXPECT_EQ(refused("[[run]]\nsteps = 5"), "config.toml:1: run is a section: write [run] above its keys");
  EXPECT_EQ(refused_run("[run]\n\"a\\nb\" = 1"), "config.toml:2: [run] \"a\\nb\" is not a key; there are: steps, seed, recompute");
  EXPECT_EQ(refused("[run]\nseed = 5"),
            "config.toml: [run] steps is missing and has no default; write it there, or add --set run.steps=VALUE");
}

TEST(Config, WrongValuesAreRefusedWithWhatIsWanted) {
  EXPECT_EQ(refused_run("[data]\nbatch = \"eight\""), "config.toml:2: [data] batch = \"eight\": an integer is wanted");
  EXPECT_EQ(refused_run("[data]\nbatch = 8.0"), "config.toml:2: [data] batch = 8.0: an integer is wanted");
  EXPECT_EQ(refused_run("[data]\nbatch = 0"), "config.toml:2: [data] batch = 0: from 1 to 1000 is wanted");
  EXPECT_EQ(refused_run("[data]\nbatch = 1001"), "config.toml:2: [data] batch = 1001: from 1 to 1000 is wanted");
  EXPECT_EQ(refused_run("[data]\nweight = -1"), "config.toml:2: [data] weight = -1: at least 0 is wanted");
  EXPECT_EQ(refused_run("[data]\nkind = \"idds\""),
            "config.toml:2: [data] kind = \"idds\": one of \"text\", \"ids\", \"mix\" is wanted; did you mean \"ids\"?");
  EXPECT_EQ(refused_run("[data]\nkind = 3"), "config.toml:2: [data] kind = 3: a text is wanted");
  EXPECT_EQ(refused_run("[data]\npath = [\"a\", 3]"), "config.toml:2: [data] path = 3: a text or a list of texts is wanted");
  EXPECT_EQ(refused_run("[data]\n[data.path]\na = 1"), "config.toml:2: [data] path = { a = 1 }: a text or a list of texts is wanted");
  EXPECT_EQ(refused_run("[optimizer]\nbetas = 0.9"), "config.toml:2: [optimizer] betas = 0.9: a list of numbers is wanted");
  EXPECT_EQ(refused_run("[optimizer]\nbetas = [0.9, 1.5]"), "config.toml:2: [optimizer] betas = 1.5: from 0 to 1 is wanted");
  EXPECT_EQ(refused_run("[run]\nrecompute = 1"), "config.toml:2: [run] recompute = 1: true or false is wanted");
  EXPECT_EQ(refused_run("[optimizer]\nlr = nan"), "config.toml:2: [optimizer] lr = nan: a finite number is wanted");
  EXPECT_EQ(refused_run("[optimizer]\nlr = -inf"), "config.toml:2: [optimizer] lr = -inf: a finite number is wanted");
  EXPECT_EQ(refused_run("[model]\nrope_theta = [inf]"), "config.toml:2: [model] rope_theta = inf: a finite number is wanted");
  EXPECT_THAT(refused_run("[model]\npreset = 2031-05-07"), StartsWith("config.toml:2: [model] preset is a date or a time"));
  EXPECT_THAT(refused_run("[model]\npreset = \"a\\u0000b\""), HasSubstr("NUL"));
  EXPECT_THAT(refused_run("[model]\npreset = " + std::string(100, '9') + ".5e-9"), HasSubstr("preset = 1e+91: a text"));
  const std::string longer = refused_run("[data]\nbatch = \"" + std::string(100000, 'x') + "\"");
  EXPECT_LT(longer.size(), 200u) << "a value in a message is cut";
}

TEST(Config, BrokenTomlIsRefusedWithItsPlace) {
  EXPECT_THAT(refused("[run]\nsteps = \n"), StartsWith("config.toml:2:"));
  EXPECT_THAT(refused("[run]\nsteps = 1\nsteps = 2"), StartsWith("config.toml:3:"));
  EXPECT_THAT(refused("[.a]"), StartsWith("config.toml:1:2: Error while parsing key"));
  EXPECT_THAT(refused("[run]\nsteps = é"), StartsWith("config.toml:2:"));
  EXPECT_THAT(refused("[run]\nsteps = 1\n[run]\nseed = 2"), StartsWith("config.toml:3:"));
  EXPECT_THAT(refused("[run]\nsteps = 1 # \xFF"), StartsWith("config.toml:2:"));
  EXPECT_THAT(refused("[run]\nsteps = 99999999999999999999"), StartsWith("config.toml:2:"));
  EXPECT_THAT(refused("[run]\nseed = 9223372036854775807\nsteps = 1"), HasSubstr("from 0 to 9.2e+18"));
  EXPECT_THAT(refused(std::string("[run]\nst\0eps = 1", 15)), StartsWith("config.toml:2:"));
}

// Depth must never reach the stack: not as brackets, not as dotted keys, which toml++ does not limit.
TEST(Config, DepthIsLimited) {
  const std::size_t many = 300000;
  EXPECT_THAT(refused("[model]\nrope_scaling = " + std::string(many, '[')), StartsWith("config.toml:2:"));
  std::string inline_tables = "[model]\nrope_scaling = ";
  for (std::size_t i = 0; i < many; ++i) inline_tables += "{a=";
  EXPECT_THAT(refused(inline_tables), StartsWith("config.toml:2:"));
  std::string dotted = "a";
  for (std::size_t i = 0; i < many; ++i) dotted += ".a";
  EXPECT_EQ(refused("[run]\n" + dotted + " = 1"), "config.toml:2: a key of more than 16 parts");
  EXPECT_EQ(refused("\n\n[" + dotted + "]"), "config.toml:3: a key of more than 16 parts");
  EXPECT_EQ(refused("[model]\nrope_scaling = { " + dotted + " = 1 }"), "config.toml:2: a key of more than 16 parts");
  // Points in texts and comments do not count, however the texts are written.
  const std::string dots(40, '.');
  for (const std::string& text : {"\"" + dots + "\"", "'" + dots + "'", "\"\"\"" + dots + "\n\"" + dots + "\\\"\"\"\"\"",
                                  "'''" + dots + "\n''" + dots + "'''", "\"\\\"" + dots + "\"", "\"\\\\\" # " + dots}) {
    const auto config = parse_run("[model]\npreset = " + text + "\n[data]\nweight = 1.5 # " + dots);
    EXPECT_TRUE(config.ok()) << text << ": " << (config.ok() ? "" : config.error().message);
  }
  // Neither do a text's quotes hide a deep key behind it.
  EXPECT_EQ(refused("[model]\npreset = \"\"\"a\n\"\"\"\"\"\n[run]\n" + dotted + " = 1"), "config.toml:5: a key of more than 16 parts");
  EXPECT_EQ(refused("[model]\npreset = \"\\\\\"\n" + dotted + " = 1"), "config.toml:3: a key of more than 16 parts");
}

TEST(Config, SetsAreTomlValuesOrBareWords) {
  const auto config = parse_run("[data]\nbatch = 4\n", {"data.batch=16", "data.kind=ids", "model.preset=2024", "data.path=[\"a\", \"b\"]",
                                                        "optimizer.lr=1e-2", "run.recompute=true", "model.hidden_size=128",
                                                        "model.rope_scaling={type=\"yarn\"}", "data.batch = 32", "run.seed=7 "});
  // A blank before the = belongs to the key, and there is none of that name.
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(config.error().message, StartsWith("--set data.\"batch \" is not a key"));

  const auto good = parse_run("[data]\nbatch = 4\n",
                              {"data.batch=16", "data.kind=ids", "model.preset=2024", "data.path=[\"a\", \"b\"]", "optimizer.lr=1e-2",
                               "run.recompute=true", "model.hidden_size=128", "model.rope_scaling={type=\"yarn\"}", "data.batch= 32"});
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_EQ(good->integer("data", "batch"), 32);
  EXPECT_EQ(good->origin("data", "batch"), "--set data.batch");
  EXPECT_EQ(good->text("data", "kind"), "ids");
  EXPECT_EQ(good->text("model", "preset"), "2024");
  EXPECT_THAT(good->texts("data", "path"), ElementsAre("a", "b"));
  EXPECT_EQ(good->real("optimizer", "lr"), 0.01);
  EXPECT_TRUE(good->boolean("run", "recompute"));
  EXPECT_EQ(good->value("model", "hidden_size"), 128);
  EXPECT_EQ(good->value("model", "rope_scaling")["type"], "yarn");

  for (const auto& [set, path] : std::vector<std::pair<std::string, std::string>>{{"data.path=/tmp/a b.txt", "/tmp/a b.txt"},
                                                                                  {"data.path=a=b", "a=b"},
                                                                                  {"data.path=a#b", "a#b"},
                                                                                  {"data.path='a#b'", "a#b"},
                                                                                  {"data.path=true", "true"},
                                                                                  {"data.path=1\nb=2", "1\nb=2"},
                                                                                  {"data.path=é", "é"},
                                                                                  {"data.path=\"\"", ""}}) {
    const auto one = parse_run("", {set});
    ASSERT_TRUE(one.ok()) << set << ": " << one.error().message;
    EXPECT_THAT(one->texts("data", "path"), ElementsAre(path));
  }
}

TEST(Config, WrongSetsAreRefusedLikeTheFile) {
  EXPECT_EQ(refused_run("", {"data.batsch=8"}), "--set data.batsch is not a key; did you mean batch?");
  EXPECT_EQ(refused_run("", {"dat.batch=8"}), "--set dat.batch: [dat] is not a section; did you mean [data]?");
  EXPECT_EQ(refused_run("", {"model.kv_lora_rnak=8"}), "--set model.kv_lora_rnak is not a key; did you mean kv_lora_rank?");
  EXPECT_EQ(refused_run("", {"data.batch=eight"}), "--set data.batch = \"eight\": an integer is wanted");
  EXPECT_EQ(refused_run("", {"data.batch=0"}), "--set data.batch = 0: from 1 to 1000 is wanted");
  EXPECT_EQ(refused_run("", {"optimizer.lr=nan"}), "--set optimizer.lr = nan: a finite number is wanted");
  EXPECT_THAT(refused_run("", {"optimizer.betas=[0.9,"}), StartsWith("--set optimizer.betas = \"[0.9,\" is not TOML: "));
  EXPECT_THAT(refused_run("", {"data.batch="}), StartsWith("--set data.batch has no value"));
  EXPECT_EQ(refused_run("", {"batch=8"}), "--set \"batch=8\": SECTION.KEY=VALUE is wanted");
  EXPECT_EQ(refused_run("", {"data.batch"}), "--set \"data.batch\": SECTION.KEY=VALUE is wanted");
  EXPECT_THAT(refused_run("", {"data.path=\xC3\x28"}), HasSubstr("UTF-8"));
  EXPECT_THAT(refused_run("", {"model.rope_scaling=" + std::string(300000, '[')}), HasSubstr("is not TOML"));
}

TEST(Config, PartsAreReadByTheSectionsRules) {
  const auto config = parse_run("[data]\nkind = \"mix\"\n[[data.parts]]\npath = \"a\"\nweight = 2\n[[data.parts]]\npath = [\"b\"]\n");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(write_json(config->value("data", "parts")), R"([{"path":["a"],"weight":2.0},{"path":["b"]}])");
  EXPECT_EQ(refused_run("[data]\nparts = [{ path = \"a\" }, { wieght = 1 }]"),
            "config.toml:2: [data] parts[1].wieght is not a key; did you mean weight?");
  EXPECT_EQ(refused_run("[data]\nparts = [{ batch = 0 }]"), "config.toml:2: [data] parts[0].batch = 0: from 1 to 1000 is wanted");
  EXPECT_EQ(refused_run("[data]\nparts = [3]"), "config.toml:2: [data] parts = 3: a list of tables is wanted");
  EXPECT_EQ(refused_run("[data]\nparts = 3"), "config.toml:2: [data] parts = 3: a list of tables is wanted");
}

TEST(Config, TablesHoldValuesByName) {
  const auto options = [](const std::string& toml, std::vector<std::string> sets = {}) {
    const auto config = parse_run(toml, std::move(sets));
    return config.ok() ? write_json(config->value("data", "options")) : config.error().message;
  };
  EXPECT_EQ(options("[data]\noptions = { long = 0.2, bits = 16 }"), R"({"bits":16,"long":0.2})");
  EXPECT_EQ(options("[data]\noptions = { bits = 16 }", {"data.options.long=1", "data.options.bits=8"}), R"({"bits":8,"long":1})");
  EXPECT_EQ(options("", {"data.options.compare=number"}), R"({"compare":"number"})");
  EXPECT_EQ(options("[data]\noptions = { bits = 16 }", {"data.options={}"}), "{}");
  EXPECT_EQ(refused_run("[data]\noptions = 3"), "config.toml:2: [data] options = 3: a table, { name = value, … }, is wanted");
  EXPECT_EQ(refused_run("[data]\noptions = { a = [1] }"),
            "config.toml:2: [data] options.a = [1]: a number, a text, or true or false is wanted");
  EXPECT_EQ(refused_run("", {"data.batch.x=1"}), "--set data.\"batch.x\" is not a key; did you mean batch?");
  EXPECT_THAT(refused_run("", {"data.options.a={b=1}"}), StartsWith("--set data.options.a"));
  EXPECT_EQ(options("[data.options]\nbits = 4"), R"({"bits":4})");
}

TEST(Config, TomlReadsBackToTheSameValues) {
  auto config = parse_run(
      "[model]\npreset = \"a\\\"b\\\\c\\n\\t\\u0001é\\u007F\"\nrope_scaling = { \"odd key\" = [1, 2.0, [\"x\"]], \"\" = {}, t = true }\n"
      "hidden_size = -9223372036854775808\n[optimizer]\nlr = 0.1\nbetas = [1e-300, 0.30000000000000004]\n"
      "[data]\nweight = 12345678901234567890.0\nparts = [{ weight = -0.0 }]\noptions = { z = 0.1, a = \"b\" }");
  ASSERT_TRUE(config.ok()) << config.error().message;
  config->set("data", "path", Json::array({"x.txt"}));
  const auto again = parse(config->toml());
  ASSERT_TRUE(again.ok()) << again.error().message << "\n" << config->toml();
  for (const std::string section : {"model", "data", "optimizer", "run"}) {
    EXPECT_EQ(write_json(again->section(section)), write_json(config->section(section)));
  }
  EXPECT_EQ(again->toml(), config->toml());
  EXPECT_THAT(again->differences(*config), ElementsAre());
  EXPECT_THAT(config->toml(), HasSubstr("lr = 0.1\n"));
  EXPECT_THAT(config->toml(), HasSubstr("recompute = false\n")) << "defaults are written too";
}

TEST(Config, EveryDoubleReadsBackToItself) {
  const RandomStream random(1, Purpose::test, 0);
  for (std::uint64_t i = 0; i < 3000; ++i) {
    double value = 0;
    const std::uint64_t bits = random.u64(i) & ~(std::uint64_t{1} << 63);
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    const auto config = parse_run("", {"model.rope_theta=" + toml_value(Json(value))});
    ASSERT_TRUE(config.ok()) << config.error().message;
    ASSERT_TRUE(config->value("model", "rope_theta").is_number_float());
    const double back = config->value("model", "rope_theta").get<double>();
    ASSERT_EQ(std::memcmp(&back, &value, sizeof value), 0) << toml_value(Json(value));
  }
}

TEST(Config, DifferencesNameWhatMayNotChange) {
  const auto earlier = parse("[data]\nbatch = 3\npath = \"here\"\n[model]\nhidden_size = 8\n[run]\nsteps = 5");
  const auto later = parse("[data]\nbatch = 4\npath = \"there\"\n[model]\nrope_theta = 1.5\n[run]\nsteps = 50");
  ASSERT_TRUE(earlier.ok() && later.ok());
  EXPECT_THAT(later->differences(*earlier), ElementsAre("data.batch: 3 there, 4 here", "model.rope_theta: nothing there, 1.5 here",
                                                        "model.hidden_size: 8 there, nothing here"));
  EXPECT_THAT(later->differences(*later), ElementsAre());
  // The default, written out, is no difference.
  const auto spelt = parse("[data]\nbatch = 8\n[run]\nsteps = 1");
  const auto silent = parse("[run]\nsteps = 2");
  ASSERT_TRUE(spelt.ok() && silent.ok());
  EXPECT_THAT(silent->differences(*spelt), ElementsAre());
}

TEST(Config, ResolvedValues) {
  auto config = parse_run("[data]\nbatch = 3");
  ASSERT_TRUE(config.ok());
  config->set("data", "batch", std::uint64_t{5});
  EXPECT_EQ(config->integer("data", "batch"), 5);
  EXPECT_EQ(config->origin("data", "batch"), "[data] batch (resolved)");
  EXPECT_TRUE(config->given("data", "batch"));
  config->set("data", "weight", 2);
  EXPECT_FALSE(config->given("data", "weight"));
  config->set("data", "weight", nullptr);
  EXPECT_FALSE(config->has("data", "weight"));
  EXPECT_DEATH(config->set("data", "batch", 0), "from 1 to 1000 is wanted");
  EXPECT_DEATH(config->set("data", "bach", 1), "did you mean batch");
  EXPECT_DEATH(static_cast<void>(config->integer("data", "weight")), "has no value");
}

TEST(Config, LoadsFilesAndNamesThoseItCannot) {
  const auto directory = std::filesystem::path(testing::TempDir());
  const auto missing = Config::load(directory / "no such config.toml", {}, keys, open_sections);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::input);
  EXPECT_THAT(missing.error().message, HasSubstr("no such config.toml"));
  const auto path = directory / "godwit_config_test.toml";
  std::ofstream(path) << "[run]\nsteps = 3\nsede = 1\n";
  const auto misspelt = Config::load(path, {}, keys, open_sections);
  ASSERT_FALSE(misspelt.ok());
  EXPECT_EQ(misspelt.error().message, path.string() + ":3: [run] sede is not a key; did you mean seed?");
  std::filesystem::remove(path);
}

TEST(Config, Reference) {
  const std::string text = config_reference(keys, open_sections);
  EXPECT_THAT(text, HasSubstr("## [data]\n\n| key | value | default | on resume | meaning |\n|---|---|---|---|---|\n"
                              "| `kind` | `\"text\"`, `\"ids\"`, `\"mix\"` | `\"text\"` | fixed | What. |\n"));
  EXPECT_THAT(text, HasSubstr("| `batch` | integer ≥ 1, ≤ 1000 | `8` | fixed | Sequences \\| step. |\n"));
  EXPECT_THAT(text, HasSubstr("| `steps` | integer | **required** | may change | Steps. |\n"));
  EXPECT_THAT(text, HasSubstr("It also takes: `kv_lora_rank`, `hidden_size`, `rope_scaling`, `rope_theta`.\n"));
}

TEST(NearestName, IsNearOrNothing) {
  const std::vector<std::string> names = {"lr", "lr_min", "eps", "warmup", "checkpoint_every", "evaluate_every"};
  EXPECT_EQ(nearest_name("lr", names), "lr");
  EXPECT_EQ(nearest_name("rl", names), "lr");
  EXPECT_EQ(nearest_name("esp", names), "eps");
  EXPECT_EQ(nearest_name("warm_up", names), "warmup");
  EXPECT_EQ(nearest_name("checkpiont_evrey", names), "checkpoint_every");
  EXPECT_EQ(nearest_name("x", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("gradient", names), "");
  EXPECT_EQ(nearest_name(std::string(1 << 20, 'a'), names), "");
}

}  // namespace
}  // namespace godwit
