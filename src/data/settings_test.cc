// What could go wrong: a key that is accepted and has no effect, a default other than the reference says.
#include "data/settings.h"

#include "data/dataset.h"
#include "data/test_files.h"

namespace godwit::data {
namespace {

using testing::HasSubstr;

Result<DataSettings> read(std::string_view toml) {
  const auto keys = config_keys();
  TRY_ASSIGN(const Config config, Config::parse(toml, "run.toml", {}, keys, {}));
  return read_settings(config);
}

TEST(data_settings, defaults) {
  const DataSettings text = read("[data]\nkind = 'text'\npath = 'a.txt'\n").value();
  EXPECT_EQ(text.paths, std::vector<std::filesystem::path>{"a.txt"});
  EXPECT_EQ(text.sequence, 256);
  EXPECT_EQ(text.text_key, "text");
  EXPECT_EQ(text.validation, 0.1);
  EXPECT_EQ(read("[data]\nkind = 'ids'\npath = 'a.json'\n").value().validation, 0);
  EXPECT_EQ(read("[data]\nkind = 'ids'\npath = 'a.json'\nvalidation = 0.25").value().validation, 0.25);
}

TEST(data_settings, parts_inherit_what_they_leave_out) {
  const DataSettings mix = read(R"(
[data]
kind = "mix"
sequence = 64
text = "body"
[[data.parts]]
kind = "text"
path = ["a.txt", "b.jsonl"]
weight = 2.5
[[data.parts]]
kind = "ids"
path = "rows.json"
[[data.parts]]
kind = "text"
path = "c.jsonl"
text = "content"
sequence = 32
validation = 0
weight = 1
)")
                               .value();
  ASSERT_EQ(mix.parts.size(), 3u);
  EXPECT_EQ(mix.parts[0].paths, (std::vector<std::filesystem::path>{"a.txt", "b.jsonl"}));
  EXPECT_EQ(mix.parts[0].sequence, 64);
  EXPECT_EQ(mix.parts[0].text_key, "body");
  EXPECT_EQ(mix.parts[0].validation, 0.1);
  EXPECT_EQ(mix.parts[0].weight, 2.5);
  EXPECT_EQ(mix.parts[1].kind, "ids");
  EXPECT_EQ(mix.parts[1].weight, 1);
  EXPECT_EQ(mix.parts[1].validation, 0);
  EXPECT_EQ(mix.parts[2].sequence, 32);
  EXPECT_EQ(mix.parts[2].text_key, "content");
  EXPECT_EQ(mix.parts[2].validation, 0);
  EXPECT_TRUE(mix.parts[2].parts.empty());
}

TEST(data_settings, what_does_not_fit_together_is_named) {
  const auto error = [](std::string_view toml) {
    const auto settings = read(toml);
    EXPECT_FALSE(settings.ok());
    return message(settings);
  };
  EXPECT_THAT(error("[data]\npath = 'a.txt'\n"), HasSubstr("kind"));
  EXPECT_THAT(error("[data]\nkind = 'chats'\n"), HasSubstr("mix"));
  EXPECT_THAT(error("[data]\nkind = 'text'\n"), HasSubstr("needs path"));
  EXPECT_THAT(error("[data]\nkind = 'chat'\n"), HasSubstr("kind \"chat\" needs path"));
  EXPECT_THAT(error("[data]\nkind = 'chat'\npath = 'a'\ntoo_long = 'drop'\n"), HasSubstr("too_long"));
  EXPECT_THAT(error("[data]\nkind = 'text'\npath = 'a'\ntoo_long = 'cut'\n"),
              HasSubstr("too_long is only for kind \"chat\", and kind is \"text\""));
  EXPECT_THAT(error("[data]\nkind = 'text'\npath = []\n"), HasSubstr("path"));
  EXPECT_THAT(error("[data]\nkind = 'text'\npath = ['a', '']\n"), HasSubstr("empty name"));
  EXPECT_THAT(error("[data]\nkind = 'ids'\npath = ['a', 'b']\n"), HasSubstr("reads one file, path names 2"));
  EXPECT_THAT(error("[data]\nkind = 'text'\npath = 'a'\nvalidation = 0.95\n"), HasSubstr("validation"));
  EXPECT_THAT(error("[data]\nkind = 'text'\npath = 'a'\nsequence = 0\n"), HasSubstr("sequence"));
  EXPECT_THAT(error("[data]\nkind = 'text'\npath = 'a'\nsequnce = 8\n"), HasSubstr("did you mean sequence"));
  EXPECT_THAT(error("[data]\nkind = 'text'\npath = 'a'\nweight = 1\n"), HasSubstr("parts of a mix"));
  EXPECT_THAT(error("[data]\nkind = 'text'\npath = 'a'\n[[data.parts]]\nkind = 'text'\npath = 'b'\n"), HasSubstr("only for kind \"mix\""));
  EXPECT_THAT(error("[data]\nkind = 'mix'\n"), HasSubstr("a mix needs parts"));
  EXPECT_THAT(error("[data]\nkind = 'mix'\nparts = []\n"), HasSubstr("a mix of no parts"));
  EXPECT_THAT(error("[data]\nkind = 'mix'\npath = 'a'\n[[data.parts]]\nkind = 'text'\npath = 'b'\n"), HasSubstr("no path of its own"));
  EXPECT_THAT(error("[data]\nkind = 'mix'\n[[data.parts]]\npath = 'b'\n"),
              HasSubstr("parts[0]: has no kind; a part's kind is one of text, ids, chat, task"));
  EXPECT_THAT(error("[data]\nkind = 'mix'\n[[data.parts]]\nkind = 'mix'\n"), HasSubstr("kind is \"mix\""));
  EXPECT_THAT(error("[data]\nkind = 'mix'\n[[data.parts]]\nkind = 'text'\npath = 'b'\nbatch = 3\n"), HasSubstr("batch is for the whole"));
  EXPECT_THAT(error("[data]\nkind = 'mix'\n[[data.parts]]\nkind = 'text'\n"), HasSubstr("parts[0]: kind \"text\" needs path"));
  EXPECT_THAT(error("[data]\nkind = 'mix'\n[[data.parts]]\nkind = 'text'\npath = 'b'\nweight = 0\n"), HasSubstr("weight"));
}

TEST(data_settings, tasks_have_keys_of_their_own) {
  const DataSettings task = read("[data]\nkind = 'task'\ntask = 'parity'\noptions = { bits = 8 }\nvalidation_count = 9\n").value();
  EXPECT_EQ(task.task, "parity");
  EXPECT_EQ(write_json(task.options), R"({"bits":8})");
  EXPECT_EQ(task.validation_count, 9);
  const DataSettings mix = read(R"(
[data]
kind = "mix"
validation_count = 5
[[data.parts]]
kind = "task"
task = "gcd"
[[data.parts]]
kind = "task"
task = "parity"
options = { bits = 4 }
validation_count = 6
)")
                               .value();
  EXPECT_EQ(mix.parts[0].task, "gcd");
  EXPECT_TRUE(mix.parts[0].options.is_null());
  EXPECT_EQ(mix.parts[0].validation_count, 5);
  EXPECT_EQ(mix.parts[1].validation_count, 6);
  EXPECT_EQ(write_json(mix.parts[1].options), R"({"bits":4})");
  const auto error = [](std::string_view toml) { return message(read(toml)); };
  EXPECT_THAT(error("[data]\nkind = 'task'\n"), HasSubstr("needs task"));
  EXPECT_THAT(error("[data]\nkind = 'task'\ntask = 'gcd'\npath = 'a'\n"), HasSubstr("path is for text, ids and chat"));
  EXPECT_THAT(error("[data]\nkind = 'task'\ntask = 'gcd'\nvalidation = 0.1\n"), HasSubstr("of a task validation_count documents"));
  EXPECT_THAT(error("[data]\nkind = 'text'\npath = 'a'\ntask = 'gcd'\n"), HasSubstr("task is only for kind \"task\""));
  EXPECT_THAT(error("[data]\nkind = 'text'\npath = 'a'\noptions = { a = 1 }\n"), HasSubstr("options is only for kind \"task\""));
  EXPECT_THAT(error("[data]\nkind = 'ids'\npath = 'a'\nvalidation_count = 3\n"), HasSubstr("validation_count is only for kind"));
  EXPECT_THAT(error("[data]\nkind = 'mix'\ntask = 'gcd'\n[[data.parts]]\nkind = 'task'\ntask = 'gcd'\n"), HasSubstr("only for kind"));
  EXPECT_THAT(error("[data]\nkind = 'mix'\n[[data.parts]]\nkind = 'task'\ntask = 'gcd'\nvalidation = 0.5\n"),
              HasSubstr("parts[0]: validation is a share of files"));
}

TEST(data_settings, data_open_as_the_configuration_says) {
  const TestFiles files;
  files.write("rows.json", "[[1,2,3],[4,5,6]]");
  const auto keys = config_keys();
  const std::vector<std::string> sets{fmt::format("data.path='{}'", (files.cache().parent_path() / "rows.json").string())};
  const Config config = Config::parse("[data]\nkind = 'ids'\n", "run.toml", sets, keys, {}).value();
  DatasetOptions options;
  options.vocab_size = 7;
  const auto dataset = open_dataset(config, options);
  ASSERT_TRUE(dataset.ok()) << message(dataset);
  EXPECT_EQ(take(*dataset.value(), 2)[1].ids, (std::vector{4, 5, 6}));
}

}  // namespace
}  // namespace godwit::data
