// godwit report: a run's curves, faults and config as one HTML page; never disturbs the run.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/report_page.h"
#include "cli/run_status.h"
#include "store/journal.h"
#include "store/run_directory.h"

namespace godwit::cli {

namespace {

struct Options {
  std::string run;
  std::string out;
};

constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 34;

template <typename Take>
void each_line(std::string_view text, const Take& take) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // a line being written
    take(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
}

// Objects, one a line; of a file that is not there none. What cannot be read is counted, for the page to say so.
Result<std::vector<Json>> read_objects(const fs::path& path, std::vector<std::string>& damaged) {
  std::vector<Json> objects;
  if (!fs::exists(path)) return objects;
  TRY_ASSIGN(const std::string text, read_file(path, file_bytes_max));
  std::uint64_t bad = 0;
  each_line(text, [&](std::string_view line) {
    auto json = parse_json(line, path.string());
    if (json.ok() && json->is_object()) {
      objects.push_back(std::move(json).value());
    } else {
      ++bad;
    }
  });
  if (bad > 0) damaged.push_back(fmt::format("{}: {} lines cannot be read and are left out.", path.filename().string(), bad));
  return objects;
}

// What the journal says besides commits, and what the log warns of.
Result<std::vector<std::string>> read_events(const store::RunDirectory& run) {
  std::vector<std::string> events;
  TRY_ASSIGN(const store::Journal::Content journal, store::Journal::read(run.journal()));
  for (const store::JournalEntry& entry : journal.entries) {
    if (entry.verdict == "commit") continue;
    events.push_back(fmt::format("step {}: {}{}{}", entry.step, entry.verdict, entry.note.empty() ? "" : ", ", entry.note));
  }
  if (!fs::exists(run.log())) return events;
  TRY_ASSIGN(const std::string log, read_file(run.log(), file_bytes_max));
  each_line(log, [&](std::string_view line) {
    if (line.find("warning") != std::string_view::npos || line.find("error") != std::string_view::npos) events.emplace_back(line);
  });
  return events;
}

Result<int> run_report(const Options& options) {
  if (fs::is_directory(options.out)) return input_error("--out {} is a directory; name a file in it", options.out);
  const store::RunDirectory run{options.run};
  RunReport report;
  report.name = options.run;
  TRY_ASSIGN(report.status, status_of(run));
  TRY_ASSIGN(report.metrics, read_objects(run.metrics(), report.damaged));
  TRY_ASSIGN(report.faults, read_objects(run.faults(), report.damaged));
  TRY_ASSIGN(report.samples, read_objects(run.samples(), report.damaged));
  TRY_ASSIGN(report.events, read_events(run));
  TRY_ASSIGN(report.config, read_file(run.config()));
  TRY_ASSIGN(const std::string page, report_page(report));
  TRY(write_file_durably(options.out, page));
  TRY(print(fmt::format("{}: {} steps of {} on one page, {} bytes\n", options.out, report.metrics.size(), options.run, page.size())));
  return exit_finished;
}

}  // namespace

extern const Command report;
const Command report{
    .name = "report",
    .summary = "A run's curves, faults and config as one HTML page; never disturbs it.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("RUN", options->run, "A run directory").required();
      app.add_option("--out", options->out, "The page; one that is there is replaced").type_name("FILE.html").required();
      return [options] { return run_report(*options); };
    },
};

}  // namespace godwit::cli
