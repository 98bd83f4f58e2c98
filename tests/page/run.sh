#!/usr/bin/env bash
# The chat page in a real Chromium: tests/page/run.sh [ARGUMENTS of page_test.py]. Installs Debian's chromium, about 100 MB, where it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source ./setup.sh
install_packages tests/page.packages.txt
exec python3 tests/page/page_test.py "$@"
