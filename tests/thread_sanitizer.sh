#!/usr/bin/env bash
# The tests in which threads meet, under ThreadSanitizer: tests/thread_sanitizer.sh [TARGET…]. Builds into build/tsan; any finding fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ./setup.sh
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then targets=(base_test store_test train_test infer_test serve_test conformance_test no_host_reads_test); fi
export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 ${TSAN_OPTIONS:-}"
for target in "${targets[@]}"; do
  build tsan "$target"
  binary=build/tsan/$target
  if [ ! -x "$binary" ]; then binary=build/tsan/tests/$target; fi
  "$binary"
done
