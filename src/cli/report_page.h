// A run as one HTML page that needs nothing else: no scripts, no fonts, no network. Well-formed as XML too.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "cli/curve.h"

namespace godwit::cli {

struct RunReport {
  std::string name;
  Json status;                       // as `godwit status --json`; its `recoveries` and counters are shown
  std::vector<Json> metrics;         // lines of metrics.jsonl
  std::vector<std::string> events;   // lines of people's text: journal entries that are no commits, warnings of the log
  std::vector<Json> faults;          // lines of faults.jsonl: faults on purpose
  std::vector<Json> samples;         // lines of samples.jsonl: objects with `step`; their other members are shown by name
  std::vector<std::string> damaged;  // files with lines that could not be read, and how many
  std::string config;
};

// The curves of the metrics there are, in the order of the page; of members that are numbers. Curves without a point are left out.
[[nodiscard]] std::vector<Curve> curves_of(const std::vector<Json>& metrics);

[[nodiscard]] Result<std::string> report_page(const RunReport& report);

}  // namespace godwit::cli
