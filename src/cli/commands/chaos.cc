// godwit chaos: runs stories of faults and says whether each run ended as if nothing had happened.
#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <set>

#include "base/file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "guard/chaos.h"
#include "guard/story.h"

namespace godwit::cli {
namespace {

struct Options {
  std::vector<std::string> stories;
  std::string keep;
  std::string text;
  bool json = false;
  bool quiet = false;
};

// A directory of the user's, or one of ours that goes with the object.
class Directory {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Directory>> create(const std::string& keep) {
    auto made = std::unique_ptr<Directory>(new Directory);
    if (!keep.empty()) {
      TRY(create_directories_durably(keep));
      made->path_ = keep;
      return made;
    }
    std::error_code error;
    std::string pattern = (fs::temp_directory_path(error) / "godwit-chaos-XXXXXX").string();
    if (error || ::mkdtemp(pattern.data()) == nullptr) {
      return world_error("there is no directory for temporary files: {}; set TMPDIR", error ? error.message() : std::strerror(errno));
    }
    made->path_ = pattern;
    made->ours_ = true;
    return made;
  }
  ~Directory() {
    std::error_code ignored;
    if (ours_) fs::remove_all(path_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  Directory() = default;
  fs::path path_;
  bool ours_ = false;
};

// All of them, before the first is run.
Result<std::vector<guard::Story>> load_stories(const std::vector<std::string>& paths) {
  std::vector<guard::Story> stories;
  std::set<std::string> names;
  for (const std::string& path : paths) {
    TRY_ASSIGN(guard::Story story, guard::load_story(path));
    if (!names.insert(story.name).second)
      return input_error("two stories are called {}; a story's runs have the name of its file", story.name);
    stories.push_back(std::move(story));
  }
  return stories;
}

Json json_of(const guard::CaseResult& result) {
  Json json;
  json["story"] = result.story;
  json["verdict"] = guard::verdict_name(result.verdict);
  json["reasons"] = result.reasons;
  json["state"] = result.state;
  json["faults"] = result.ordered;
  json["struck"] = result.struck;
  json["counters"] = Json::object();
  for (const auto& [name, count] : result.counters) json["counters"][name] = count;
  json["digest_equal"] = result.digest_equal ? Json(*result.digest_equal) : Json();
  json["seconds"] = result.seconds;
  json["guard"] = result.guard;
  return json;
}

std::string table(const std::vector<guard::CaseResult>& results) {
  std::size_t width = 5;
  for (const auto& result : results) width = std::max(width, result.story.size());
  std::string text = fmt::format("{:{}}  verdict  struck  respawns  replays  findings  restarts  digest     seconds\n", "story", width);
  for (const auto& result : results) {
    const auto counted = [&](const char* name) { return result.counters.contains(name) ? result.counters.at(name) : 0; };
    const char* digest = !result.digest_equal ? "none" : *result.digest_equal ? "equal" : "DIFFERENT";
    text += fmt::format("{:{}}  {:7}  {:6}  {:8}  {:7}  {:8}  {:8}  {:9}  {:7.1f}\n", result.story, width, verdict_name(result.verdict),
                        result.struck, counted("respawns"), counted("replays"), counted("findings"), counted("restarts") + counted("stops"),
                        digest, result.seconds);
    for (const std::string& reason : result.reasons) text += fmt::format("{:{}}  {}\n", "", width, reason);
  }
  return text;
}

Result<int> run_chaos(const Options& options) {
  TRY_ASSIGN(const std::vector<guard::Story> stories, load_stories(options.stories));
  TRY_ASSIGN(const std::unique_ptr<Directory> directory, Directory::create(options.keep));
  std::error_code error;
  const fs::path binary = fs::read_symlink("/proc/self/exe", error);
  if (error) return world_error("/proc/self/exe: {}", error.message());
  catch_interrupts();
  Progress progress(options.quiet);
  std::size_t done = 0;
  guard::Chaos chaos({
      .launch = guard::process_launcher(binary, {"--quiet"}),
      .directory = directory->path(),
      .text = options.text,
      .say = [&](const std::string& text) { progress.update(static_cast<double>(done) / static_cast<double>(stories.size()), text); },
      .interrupted = interrupted,
  });
  std::vector<guard::CaseResult> results;
  std::optional<Error> ended;  // before the last story
  for (const guard::Story& story : stories) {
    auto tried = chaos.run(story);
    if (!tried.ok()) {
      ended = tried.error();
      break;
    }
    guard::CaseResult result = std::move(tried).value();
    ++done;
    progress.line(fmt::format("{} {}: {}", story.name, verdict_name(result.verdict),
                              result.reasons.empty() ? fmt::format("{} faults struck, {}", result.struck, result.state)
                                                     : fmt::format("{}", fmt::join(result.reasons, "; "))));
    results.push_back(std::move(result));
  }
  if (options.json) {
    Json list = Json::array();
    for (const auto& result : results) list.push_back(json_of(result));
    TRY(print_json(list));
  } else {
    TRY(print(table(results)));
  }
  if (ended) return *ended;
  const auto any = [&](guard::Verdict verdict) {
    return std::ranges::any_of(results, [&](const auto& result) { return result.verdict == verdict; });
  };
  if (any(guard::Verdict::failed)) return exit_differs;
  return any(guard::Verdict::invalid) ? exit_other : exit_finished;
}

}  // namespace

extern const Command chaos;
const Command chaos{
    .name = "chaos",
    .summary = "Run stories of faults and see whether each run ends as if nothing had happened.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("STORY", options->stories, "Files of stories; docs/stories.md says what they can tell").required();
      app.add_option("--keep", options->keep, "Keep the run directories here").type_name("DIR");
      app.add_option("--text", options->text, "Text to train on; by default one is made").type_name("FILE");
      app.add_flag("--json", options->json, "Print one JSON document");
      declare_quiet(app, options->quiet);
      return [options] { return run_chaos(*options); };
    },
};

}  // namespace godwit::cli
