// godwit audit: a committed step made again by the references, and compared with the journal.
#include "train/audit.h"
#include "rl/roll_outs.h"

#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"

namespace godwit::cli {
namespace {

struct Options {
  std::string run;
  std::uint64_t step = 0;
  bool json = false;
  ComputeOptions compute;
};

Json op_json(const device::OpDifference& op) {
  return {{"program", op.program},   {"index", op.index},       {"op", op.op},
          {"tensor", op.tensor},     {"shape", op.shape},       {"element", op.element},
          {"elements", op.elements}, {"expected", op.expected}, {"computed", op.computed}};
}

Result<int> run(const Options& options) {
  catch_interrupts();
  Progress progress(options.compute.quiet);
  train::AuditOptions audit;
  audit.directory = options.run;
  audit.step = options.step;
  audit.device = device_options(options.compute);
  audit.progress = [&](double share, const std::string& text) { progress.update(share, text); };
  audit.interrupted = interrupted;
  audit.open_roll_outs = rl::open_roll_outs;

  TRY_ASSIGN(const train::Audit result, train::audit(audit));
  progress.finish();
  if (options.json) {
    Json json = {{"step", result.step},
                 {"equal", result.equal},
                 {"from", result.from},
                 {"committed", hex(result.committed)},
                 {"reference", hex(result.reference)},
                 {"said", result.said}};
    if (result.device) json["device"] = hex(*result.device);
    if (result.op) json["first_op"] = op_json(*result.op);
    TRY(print_json(json));
  } else {
    TRY(print(result.said + "\n"));
  }
  return result.equal ? exit_finished : exit_differs;
}

}  // namespace

extern const Command audit;
const Command audit{
    .name = "audit",
    .summary = "Make a committed step again by the references; exit 3 if the journal says otherwise.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("RUN", options->run, "Run directory").required();
      app.add_option("--step", options->step, "The step to look at, 1 and more").required();
      app.add_flag("--json", options->json, "Print one JSON document");
      declare_compute(app, options->compute, false);
      return [options] { return run(*options); };
    },
};

}  // namespace godwit::cli
