#!/usr/bin/env bash
# A minute of drawn inputs for each fuzz target: reply decoders, the signer, the endpoint's parsers, the packet path of
# policy.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

export BOLERO_RANDOM_TEST_TIME_MS=${TERWAY_FUZZ_MS:-60000}
# One more at a time than there are cores: the programs run one after the other, and their last targets would be alone.
RUST_TEST_THREADS=$(($(nproc) + 1))
export RUST_TEST_THREADS
say "each target runs for $((BOLERO_RANDOM_TEST_TIME_MS / 1000)) s, $RUST_TEST_THREADS at a time"
run_tests fuzz cargo test "${SELECTION[@]}" --test fuzz --test fuzz_endpoint
