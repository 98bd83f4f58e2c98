// The command line: finds the command, parses its arguments, runs it, turns the outcome into an exit code and one message.
#pragma once

namespace godwit::cli {

// Returns the exit code. May be called again, one call at a time.
[[nodiscard]] int main(int argc, const char* const* argv);

}  // namespace godwit::cli
