// godwit qualify: whether a device computes a run's programs right, and what is known of it from then on.
#include "qualify/qualify.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "cli/qualify_page.h"
#include "device/lies.h"
#include "rl/roll_outs.h"

namespace godwit::cli {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> sets;
  int workers = 1;
  bool brief = false;
  double warm_seconds = 70;
  double patience = 60;
  std::string lie;
  std::string page;
  bool json = false;
  ComputeOptions compute;
};

Result<int> run(const Options& options) {
  catch_interrupts();
  Progress progress(options.compute.quiet);
  qualify::Options order;
  order.config = options.config;
  order.sets = options.sets;
  if (!options.compute.dtype.empty()) order.sets.push_back("run.dtype=\"" + options.compute.dtype + "\"");
  order.device = device_options(options.compute);
  order.workers = options.workers;
  order.open_roll_outs = rl::open_roll_outs;
  order.brief = options.brief;
  order.warm_seconds = options.warm_seconds;
  order.patience_s = options.patience;
  order.lie = options.lie;
  order.progress = [&](double share, const std::string& text) { progress.update(share, text); };
  order.interrupted = interrupted;
  if (!options.lie.empty()) TRY(device::parse_deceit(options.lie));
  if (fs::is_directory(options.page)) return input_error("--out {} is a directory; name a file in it", options.page);

  TRY_ASSIGN(const qualify::Qualification found, qualify::qualify(order));
  progress.finish();
  TRY(qualify::note(found));
  if (!options.page.empty()) {
    TRY_ASSIGN(const std::string page, qualify_page(found));
    TRY(write_file_durably(options.page, page));
  }
  if (options.json) {
    TRY(print_json(qualify::to_json(found)));
  } else {
    TRY(print(qualify_text(found)));
  }
  return found.qualified() ? exit_finished : exit_differs;
}

}  // namespace

extern const Command qualify;
const Command qualify{
    .name = "qualify",
    .summary = "Try every op of a run on a device, by bits; exit 3 if the device is wrong anywhere.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("CONFIG", options->config, "The run's TOML file").required();
      app.add_option("--set", options->sets, "section.key=value, laid over the file; may be repeated").one_value_each();
      app.add_option("--workers", options->workers, "Processes that will compute the run: its passes are cut for them").between(0, 1024);
      app.add_flag("--short", options->brief, "No warm phase and fewer values; counts for a day, not for thirty");
      app.add_option("--warm-seconds", options->warm_seconds, "How long the device is kept computing").show_default();
      app.add_option("--patience", options->patience, "Seconds that one call may take before the device counts as hanging").show_default();
      app.add_option("--out", options->page, "The report as one HTML page").type_name("FILE.html");
      app.add_option("--lie", options->lie,
                     "Make the device lie, to see whether that is found: off=1e-5, stale, noise, crash or hang; op=, shape=8x64, dtype=, "
                     "tail=; after=, "
                     "streams=, call=, rate=. Nothing is noted of it then")
          .type_name("WORDS");
      app.add_flag("--json", options->json, "Print one JSON document");
      declare_compute(app, options->compute);
      return [options] { return run(*options); };
    },
};

}  // namespace godwit::cli
