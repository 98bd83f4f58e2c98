// A qualification as one HTML page.
#pragma once

#include <string>

#include "base/error.h"
#include "qualify/qualification.h"

namespace godwit::cli {

[[nodiscard]] Result<std::string> qualify_page(const qualify::Qualification& qualification);

// The same as a table for a terminal: verdict, what failed, every op.
[[nodiscard]] std::string qualify_text(const qualify::Qualification& qualification);

}  // namespace godwit::cli
