#!/usr/bin/env python3
"""Holds the rules of the house that a compiler does not: which room sees which, which file touches which library.

    layering.py ROOT        checks the tree, prints every breach with file and line, exit 1 if there is any
    layering.py --self-test checks that each rule finds a breach made for it
"""
import pathlib
import re
import sys
import tempfile

# A room sees itself and the rooms of lower levels; not its neighbours.
LEVELS = [
    ["base"],
    ["program", "text"],
    ["device", "data", "model"],
    ["store"],
    ["guard"],
    ["train", "infer"],
    ["rl", "serve", "qualify", "plan", "bench"],
    ["cli"],
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

# Headers of external libraries, and the files (regular expressions on the path) that alone may include them.
LIBRARIES = [
    (r"simdjson", r"src/base/json_text\.cc"),
    (r"nlohmann/", r"src/base/json_text\.cc|tests/fuzz/json_fuzz\.cc"),
    (r"toml\+\+/", r"src/base/config\.cc"),
    (r"CLI/", r"src/cli/(app|main)\.cc"),
    (r"spdlog/", r"src/base/log\.(h|cc)"),
    (r"(xxhash|xxh)|openssl/", r"src/base/digest(_test)?\.(h|cc)"),
    (r"pcre2", r"src/text/.*"),
    (r"sqlite3\.h", r"src/guard/trust_database\.cc"),
    (r"boost/", r"src/serve/(loop|http_server)\.cc"),
    (r"dlfcn\.h", r"src/device/.*"),
]

# Long files have more than one reason to exist. Tables of cases and generated code are what they are.
LINES_MAX = 600
LINES_EXEMPT = r".*_test\.cc|src/text/unicode_.*\.h|backends/.*"

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def check_include(path, quote, target, root):
    """What is wrong with one include, or None."""
    for library, allowed in LIBRARIES:
        if re.match(library, target) and not re.fullmatch(allowed, path):
            return f"only {allowed} may include {target}"
    if ".." in target.split("/"):
        return f"{target}: includes are written from src/, not through the parent"
    if path.startswith("include/"):
        return None if quote == "<" else f"{target}: an installed header stands alone"
    if path.startswith("backends/"):
        own = "/".join(path.split("/")[:2])
        if quote == "<" or target == "godwit/backend.h":
            return None
        beside = (root / path).parent / target
        if beside.is_file() or (root / own / target).is_file() or (root / target).is_file() and target.startswith(own + "/"):
            return None
        return f"{target}: a backend sees godwit/backend.h and its own files only"
    room = room_of(path)
    if quote == "<" or target == "godwit/backend.h":
        if target == "godwit/backend.h" and room != "device" and path.startswith("src/"):
            return "godwit/backend.h is for device alone"
        return None
    if path.startswith("src/"):
        other = target.split("/")[0]
        if not (root / "src" / target).is_file():
            return f"{target}: there is no src/{target}; includes are written from src/"
        if room is None:
            return None if other == "cli" else "src/main.cc sees cli only"
        if other not in LEVEL:
            return f"{target}: {other} has no level; add it to LEVELS"
        if room not in LEVEL:
            return f"{room} has no level; add it to LEVELS"
        if other != room and LEVEL[other] >= LEVEL[room]:
            return f"{target}: {room} (level {LEVEL[room]}) may not see {other} (level {LEVEL[other]})"
    return None


def check_file(path, text, root):
    breaches = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if match := INCLUDE.match(line):
            if what := check_include(path, match[1], match[2], root):
                breaches.append(f"{path}:{number}: {what}")
    if path.endswith(".h"):
        installed = path.startswith("include/")
        guarded = re.search(r"^#ifndef \w+\n#define \w+$", text, re.M) if installed else re.search(r"^#pragma once$", text, re.M)
        if not guarded:
            breaches.append(f"{path}:1: {'no include guard' if installed else 'no #pragma once'}")
    if len(lines) > LINES_MAX and not re.fullmatch(LINES_EXEMPT, path):
        breaches.append(f"{path}: {len(lines)} lines; at most {LINES_MAX} are wanted, cut it where its reasons to exist part")
    return breaches


def check_version(root):
    project, here = root / "CMakeLists.txt", root / "src/cli/common.h"
    if not project.is_file() or not here.is_file():
        return []
    one = re.search(r"project\(godwit VERSION ([0-9.]+)", project.read_text())
    other = re.search(r'version = "([0-9.]+)"', here.read_text())
    if one and other and one[1] == other[1]:
        return []
    return [f"src/cli/common.h: version is {other and other[1]}, CMakeLists.txt says {one and one[1]}"]


def check_tree(root):
    breaches, count = [], 0
    for folder in ["src", "backends", "include", "tests", "bench"]:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix in (".h", ".cc") and file.is_file():
                count += 1
                breaches += check_file(file.relative_to(root).as_posix(), file.read_text(errors="replace"), root)
    return breaches + check_version(root), count


# (path, text, a part of the breach that must be found; None: no breach)
CASES = [
    ("src/base/a.h", "#pragma once\n#include <vector>\n", None),
    ("src/base/b.h", "#include <vector>\n", "no #pragma once"),
    ("src/base/c.cc", '#include "text/t.h"\n', "base (level 0) may not see text (level 1)"),
    ("src/text/t.h", '#pragma once\n#include "base/a.h"\n', None),
    ("src/text/u.cc", '#include "program/p.h"\n', "text (level 1) may not see program (level 1)"),
    ("src/program/p.h", '#pragma once\n  #  include "base/a.h"\n', None),
    ("src/program/q.cc", '#include "device/d.h"\n', "may not see device"),
    ("src/program/r.cc", '#include "godwit/backend.h"\n', "for device alone"),
    ("src/device/d.h", '#pragma once\n#include "godwit/backend.h"\n', None),
    ("src/model/m.cc", '#include "../base/a.h"\n', "not through the parent"),
    ("src/model/n.cc", '#include "a.h"\n', "there is no src/a.h"),
    ("src/train/t.cc", '#include "infer/i.h"\n', "may not see infer"),
    ("src/infer/i.h", "#pragma once\n", None),
    ("src/attic/x.cc", '#include "base/a.h"\n', "attic has no level"),
    ("src/main.cc", '#include "base/a.h"\n', "sees cli only"),
    ("src/store/s.cc", "#include <nlohmann/json.hpp>\n", "may include nlohmann/json.hpp"),
    ("src/store/t.cc", "#include <simdjson.h>\n", "may include simdjson.h"),
    ("src/base/config_text.cc", "#include <toml++/toml.h>\n", "may include toml++/toml.h"),
    ("src/train/c.cc", "#include <CLI/CLI.hpp>\n", "may include CLI/CLI.hpp"),
    ("src/cli/commands/c.cc", "#include <CLI/CLI.hpp>\n", "may include CLI/CLI.hpp"),
    ("src/cli/app.cc", "#include <CLI/CLI.hpp>\n", None),
    ("src/train/l.cc", "#include <spdlog/spdlog.h>\n", "may include spdlog/spdlog.h"),
    ("src/store/x.cc", "#include <xxhash.h>\n", "may include xxhash.h"),
    ("src/store/o.cc", "#include <openssl/evp.h>\n", "may include openssl/evp.h"),
    ("src/data/p.cc", "#include <pcre2.h>\n", "may include pcre2.h"),
    ("src/text/regex.cc", "#include <pcre2.h>\n", None),
    ("src/guard/trust.cc", "#include <sqlite3.h>\n", "may include sqlite3.h"),
    ("src/guard/trust_database.cc", "#include <sqlite3.h>\n", None),
    ("src/serve/http_server.cc", "#include <boost/asio/ssl.hpp>\n", None),
    ("src/serve/service.cc", "#include <boost/asio/ssl.hpp>\n", "may include boost/asio/ssl.hpp"),
    ("src/data/long.cc", "\n" * 700, "701 lines"),
    ("src/data/long_test.cc", "\n" * 700, None),
    ("backends/cpu/pool.h", '#pragma once\n#include "godwit/backend.h"\n', None),
    ("backends/cpu/kernels/k.cc", '#include "pool.h"\n#include "kernels/k.h"\n', None),
    ("backends/cpu/kernels/k.h", "#pragma once\n", None),
    ("backends/cpu/kernels/l.cc", '#include "base/a.h"\n', "a backend sees godwit/backend.h"),
    ("backends/opencl/o.cc", '#include "cpu/pool.h"\n', "a backend sees godwit/backend.h"),
    ("include/godwit/backend.h", "#ifndef A_H\n#define A_H\n#include <stdint.h>\n#endif\n", None),
    ("include/godwit/b.h", '#include "base/a.h"\n', "stands alone"),
]


def self_test():
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for path, text, _ in CASES:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        (root / "CMakeLists.txt").write_text("project(godwit VERSION 0.2.0)\n")
        (root / "src/cli/common.h").write_text('#pragma once\nversion = "0.1.0";\n')
        breaches, _ = check_tree(root)
        failures = []
        for path, _, wanted in CASES:
            of_file = [breach for breach in breaches if breach.startswith(path + ":")]
            if wanted is None and of_file:
                failures.append(f"{path} should be fine: {of_file}")
            if wanted is not None and not any(wanted in breach for breach in of_file):
                failures.append(f"{path}: '{wanted}' was not found in {of_file}")
        if not any("CMakeLists.txt says 0.2.0" in breach for breach in breaches):
            failures.append("the versions differ, and nobody says so")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        failures = self_test()
        print("\n".join(failures) or f"each of {len(CASES)} cases is judged as it should be")
        return 1 if failures else 0
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    breaches, count = check_tree(pathlib.Path(sys.argv[1]).resolve())
    if count < 50:
        breaches.append(f"{sys.argv[1]} holds {count} source files; is that the tree?")
    print("\n".join(breaches) or f"{count} files keep to the rules")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
