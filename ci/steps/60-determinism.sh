#!/usr/bin/env bash
# One seed is one trace: same hash minute by minute, each run in a process of its own.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

build_sim
if [[ $(cat /proc/sys/kernel/randomize_va_space 2>/dev/null || echo 0) == 0 ]]; then
    skip "address-space randomisation is off: equal hashes prove less than they should"
fi
"$SIM" check crash-loop --seed 7 --duration 5m --repeat 20
"$SIM" check half-open --seed 7 --nodes 60 --duration 8m --repeat 10
"$SIM" check policy --seed 7 --duration 5m --repeat 6
"$SIM" check thousand-nodes --seed 7 --nodes 100 --duration 10m
