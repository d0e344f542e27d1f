#!/usr/bin/env bash
# The documentation of the code builds, and its links lead somewhere.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

RUSTDOCFLAGS="-D warnings" cargo doc "${SELECTION[@]}" --no-deps --quiet
say "documentation is in $CARGO_TARGET_DIR/doc"
