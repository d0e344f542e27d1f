#!/usr/bin/env bash
# Licences, sources, advisories and duplicates of the dependencies, as deny.toml allows.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

if ! have cargo-deny; then
    skip "licences, sources and advisories: cargo-deny is not installed (cargo install cargo-deny)"
    exit 0
fi
cargo deny --workspace --all-features check --show-stats bans licenses sources
# Advisories come from a list that is fetched; without a network there is nothing to compare with.
if cargo deny fetch db; then
    cargo deny --workspace --all-features check --disable-fetch advisories
else
    skip "advisories: their list cannot be fetched"
fi
