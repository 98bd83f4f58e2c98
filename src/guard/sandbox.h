// What a worker gives up once it has what it needs: files, sockets, other programs. What it holds open stays: its memory, its link, its
// log.
#pragma once

#include <string>
#include <vector>

namespace godwit::guard {

// Before the process has threads: a network of its own with nothing in it, files for reading only, no new privileges. Each that the kernel
// does not give is named in the result. `driver`: a backend loaded at run time brings a vendor's driver, which compiles, keeps what it
// compiled, and opens devices: programs may be started, and files written below the user's caches, the directory of temporary files and
// /dev. It may not reach a network (a socket for one ends the process), nor signal or look into processes that are not its own, nor leave
// the process group: whatever it starts goes with it.
std::vector<std::string> confine_early(bool driver = false);
// After preparing, for all threads of the process: only the calls that computing and the link need. `faults`: also those that faults on
// purpose need. Which calls a vendor's driver makes while it computes nobody knows beforehand: with `driver` none is refused, and the
// result says so.
std::vector<std::string> confine(bool faults, bool driver = false);
// For a program of the user's, before it is started (guard/command.h): a network of its own with nothing in it, and processes of its own,
// which end with the first one that is forked from here on. Where the kernel does not give the first, sockets but local ones are refused.
std::vector<std::string> confine_command();

}  // namespace godwit::guard
