#!/usr/bin/env bash
# The code is formatted.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

cargo fmt --all --check
# A workspace of its own, for another target.
cargo fmt --manifest-path dataplane/ebpf/Cargo.toml --check
say "formatted"
