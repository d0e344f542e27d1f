#!/usr/bin/env bash
# Other kernels take the eBPF programs: 6.1 by clsact, 6.12 by tcx.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

ci/kernels
