#!/usr/bin/env bash
# The same bits on aarch64: tests/aarch64.sh. Cross-compiles into build/aarch64 and runs, under qemu-aarch64, the conformance test (with its
# boundary set), the golden bits, and ten steps of `nano` on token ids in f32 and bf16, whose digests must be those of this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ./setup.sh
install_packages packages.txt
install_packages tests/aarch64.packages.txt

# arm64 packages cannot all be installed beside this machine's: they are unpacked into a folder of their own. apt must know of arm64.
sysroot=$PWD/build/aarch64.sysroot
libraries=(libc6 libfmt9 libfmt-dev libspdlog1.10 libspdlog-dev libsimdjson14 libsimdjson-dev libxxhash0 libxxhash-dev libssl3 libssl-dev
  libpcre2-8-0 libpcre2-dev libgtest-dev libgmock-dev libtomlplusplus-dev libtomlplusplus3 libstdc++6 libgcc-s1)
architecture_independent=(nlohmann-json3-dev libcli11-dev)
if [ ! -f "$sysroot/complete" ]; then
  echo "Unpacking arm64 libraries into build/aarch64.sysroot" >&2
  mkdir -p "$sysroot/packages"
  if ! dpkg --print-foreign-architectures | grep -qx arm64; then
    [ "$(id -u)" -eq 0 ] || { echo "Please run: sudo dpkg --add-architecture arm64 && sudo apt-get update" >&2; exit 1; }
    dpkg --add-architecture arm64
    apt-get update -qq
  fi
  (cd "$sysroot/packages" && chmod 777 . && apt-get download -qq "${libraries[@]/%/:arm64}" "${architecture_independent[@]}")
  for package in "$sysroot"/packages/*.deb; do dpkg-deb -x "$package" "$sysroot"; done
  touch "$sysroot/complete"
fi

export GODWIT_SYSROOT=$sysroot PKG_CONFIG_LIBDIR=$sysroot/usr/lib/aarch64-linux-gnu/pkgconfig PKG_CONFIG_SYSROOT_DIR=$sysroot
build aarch64 godwit
for target in conformance_test golden_bits_test backend_cpu_test; do build aarch64 "$target"; done
unset PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
build release godwit

emulated() { qemu-aarch64 -L "$sysroot" "$@"; }
emulated build/aarch64/tests/golden_bits_test --gtest_brief=1
emulated build/aarch64/backends/cpu/backend_cpu_test --gtest_brief=1
emulated build/aarch64/tests/conformance_test --gtest_brief=1

runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
python3 - "$runs" <<'PYTHON'
import json, pathlib, sys
runs = pathlib.Path(sys.argv[1])
rows = [[(row * 7919 + token * token * 31 + token * 17) % 256 for token in range(33)] for row in range(16)]
(runs / "rows.json").write_text(json.dumps(rows))
(runs / "nano.toml").write_text(f'''[model]
preset = "nano"
vocab_size = 256

[data]
kind = "ids"
path = {json.dumps(str(runs / "rows.json"))}
batch = 4

[run]
steps = 10
''')
PYTHON
for dtype in f32 bf16; do
  here=$(build/release/godwit train "$runs/nano.toml" --run "$runs/here-$dtype" --dtype $dtype 2>&1 | tail -1)
  there=$(emulated build/aarch64/godwit train "$runs/nano.toml" --run "$runs/there-$dtype" --dtype $dtype 2>&1 | tail -1)
  echo "nano $dtype on $(uname -m): $here"
  echo "nano $dtype on aarch64: $there"
  [[ $here == *digest* && $here == "$there" ]] || { echo "The digests differ." >&2; exit 1; }
done
