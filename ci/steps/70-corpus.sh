#!/usr/bin/env bash
# Every failure that was ever kept: what was repaired stays repaired, and still reaches its point.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

build_sim
entries=$(find sim/corpus -name '*.toml' 2>/dev/null | wc -l)
if [[ $entries -eq 0 ]]; then
    skip "the corpus sim/corpus has no entries"
    exit 0
fi
"$SIM" corpus sim/corpus
