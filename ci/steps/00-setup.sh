#!/usr/bin/env bash
# The toolchain is there, and every dependency is at hand.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

ci/setup
cargo fetch --locked
