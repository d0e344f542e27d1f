#!/usr/bin/env bash
# Every test of the workspace.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

run_tests test cargo test "${SELECTION[@]}" --no-fail-fast
build_sim
