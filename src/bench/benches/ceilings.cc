// What the machine gives at most: every other bench's figures are shares of these.
#include "bench/bench.h"

namespace godwit::bench {
namespace {

Result<Report> run(Context& context) {
  const Ceilings& c = context.ceilings();
  const auto row = [&](const char* job, double value, const char* unit, const char* note) {
    return Row{
        .job = fmt::format("{}, {} threads", job, c.threads), .value = value, .unit = unit, .ceiling = {}, .target = {}, .note = note};
  };
  Report report;
  report.rows.push_back(row("f32 peak", c.f32_flops / 1e9, "GFLOP/s", "independent multiply-adds in registers"));
  if (c.bf16_flops) report.rows.push_back(row("bf16 peak", *c.bf16_flops / 1e9, "GFLOP/s", "independent vdpbf16ps in registers"));
  report.rows.push_back(row("read bandwidth", c.read_bytes / 1e9, "GB/s", "512 MiB in all, each thread its part, front to back"));
  return report;
}

}  // namespace

extern const Bench ceilings;
const Bench ceilings{.name = "ceilings", .summary = "What the machine gives at most: arithmetic peaks and read bandwidth.", .run = run};

}  // namespace godwit::bench
