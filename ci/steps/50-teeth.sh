#!/usr/bin/env bash
# The oracles have teeth: each deliberate bug is caught, and it is told within how many seeds.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

[[ -e sim/tests/teeth.rs ]] || fail "sim/tests/teeth.rs is not there: nothing shows that the oracles have teeth"
# Only crates of the workspace are built anew for the feature.
run_tests teeth cargo test "${SELECTION[@]}" --features terway-sim/deliberate-bugs --test teeth -- --nocapture
