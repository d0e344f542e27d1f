#!/usr/bin/env bash
# No lint fires, with and without the deliberate bugs, and every rule of clippy.toml is armed.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# Profile `sim` here too: build scripts and macros are then compiled once for lints and tests.
log=$OUT/clippy.log
for features in "" terway-sim/deliberate-bugs; do
    cargo clippy "${SELECTION[@]}" --all-targets --features "$features" -- -D warnings 2>&1 | tee "$log"
    # A path that does not resolve disarms its rule, and clippy only warns of it.
    if grep -A 3 -E '^ *--> .*clippy\.toml:' "$log"; then
        fail "clippy.toml bans something that does not exist (any more); see the warning above"
    fi
done
say "no lint fires"
