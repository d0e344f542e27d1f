#!/usr/bin/env bash
# Seeds that no one has looked at yet: a bounded sweep; failing ones are kept in target/ci/failures.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

build_sim
# A different window of seeds may be asked for; by default a commit always meets the same ones.
seeds=${TERWAY_SEEDS:-0..20}
for scenario in swarm crash-loop; do
    "$SIM" sweep "$scenario" --seeds "$seeds" --corpus "$OUT/failures" --json "$OUT/sweep-$scenario.json"
done
# Policies that change under crashes; each run compares 200,000 verdicts with the reference.
"$SIM" sweep policy --seeds "${TERWAY_SEEDS:-0..8}" --corpus "$OUT/failures" --json "$OUT/sweep-policy.json"
# Over the simulated network, where the real client has connections to lose.
for scenario in half-open slow-cloud; do
    "$SIM" sweep "$scenario" --seeds 0..4 --corpus "$OUT/failures" --json "$OUT/sweep-$scenario.json"
done
"$SIM" sweep crash-loop --profile wire --seeds 0..4 --corpus "$OUT/failures" --json "$OUT/sweep-wire.json"
