// Which backends there are, and their tables: linked into this program, or shared libraries libgodwit_backend_NAME.so found at run time.
//
// Naming backends loads nothing; `find_backend` runs a library's own code inside this process, so it is for workers and for commands that
// compute themselves, never for a supervisor. A library once loaded stays until the process ends.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "godwit/backend.h"

namespace godwit::device {

struct BackendPlace {
  std::string name;
  std::filesystem::path library;  // empty: linked into this program
};

// Every backend that can be asked for: the linked ones, then libraries by name. Of two libraries with one name the first on the search path
// counts: the directories of GODWIT_BACKEND_PATH, this program's own, backends/ beside it and above it, and where godwit is installed.
[[nodiscard]] std::vector<BackendPlace> backend_places();
// The place of one of them; another name is an input error that says which there are.
[[nodiscard]] Result<BackendPlace> backend_place(std::string_view name);

// "opencl" or "opencl:1": a backend, and which of its devices. What is no number behind a colon is part of the name, which nobody has then.
struct DeviceChoice {
  std::string backend;
  int number = 0;
};
[[nodiscard]] DeviceChoice parse_device_choice(std::string_view text);

// Whether a backend is a library found at run time, which may bring a vendor's driver with needs of its own.
[[nodiscard]] bool brings_driver(std::string_view name);

// The table of a backend, loaded if need be. Errors name the library and what is wrong with it.
[[nodiscard]] Result<const godwit_backend*> find_backend(std::string_view name);
[[nodiscard]] Result<const godwit_backend*> load_backend(const BackendPlace& place);

// The same, completed (device/fallback.h) where it is a library's: what programs are run through. The linked ones lack nothing.
[[nodiscard]] Result<const godwit_backend*> find_completed_backend(std::string_view name);

// A library's table as this program may use it: of its own size, with null where the library's ends. An error if the library speaks another
// major version, or has less than a table of minor version 0.
[[nodiscard]] Result<godwit_backend> adopt_table(const godwit_backend& table);

}  // namespace godwit::device
