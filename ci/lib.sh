# shellcheck shell=bash
# What every script shares: where things are built, how a step says what it skipped, and the
# simulator that the steps run. Sourced from the top of a script, never run.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

# Builds are kept outside of the clone, so that a fresh clone starts warm. Override to taste.
CACHE=${TERWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/terway-rs}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}

# rustup installs here; shells that are not login shells do not know the folder.
CARGO_BIN=${CARGO_HOME:-$HOME/.cargo}/bin
case ":$PATH:" in
    *":$CARGO_BIN:"*) ;;
    *) export PATH="$CARGO_BIN:$PATH" ;;
esac

# Reports name the commit that ran.
TERWAY_COMMIT=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
export TERWAY_COMMIT

# One profile for everything that runs, one for what is shipped: see `profile.sim` in Cargo.toml.
PROFILE=sim
# Everything is built for the whole workspace, because cargo resolves the features of dependencies
# for what is selected: a build of one package alone would compile the same tree once more.
SELECTION=(--workspace --locked --profile "$PROFILE")

# Where logs, figures and failing seeds go.
OUT=$ROOT/target/ci
mkdir -p "$OUT"

# Where the program is that the steps run: a copy, because a build with deliberate bugs has the
# same name.
SIM=$CARGO_TARGET_DIR/ci/terway-sim

# The toolchain that ci/setup fell back to, if it had to.
if [[ -s $CACHE/toolchain ]]; then
    RUSTUP_TOOLCHAIN=$(<"$CACHE/toolchain")
    export RUSTUP_TOOLCHAIN
fi

say() { printf '%s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Says that something was not checked, now and once more in the summary at the end. What is skipped
# is never counted as a success.
skip() {
    printf 'SKIPPED  %s\n' "$*"
    if [[ -n ${CI_SKIPPED:-} ]]; then
        printf '%s: %s\n' "${CI_STEP:-?}" "$*" >>"$CI_SKIPPED"
    fi
}

# Builds the simulator in the way that the tests build it, so that neither compiles for the other.
build_sim() {
    cargo test "${SELECTION[@]}" --no-run --quiet
    local built=$CARGO_TARGET_DIR/$PROFILE/terway-sim
    [[ -x $built ]] || fail "the build left no program at $built"
    mkdir -p "$(dirname "$SIM")"
    # A new file in place of the old one: a running copy is not disturbed.
    cp "$built" "$SIM.new"
    mv "$SIM.new" "$SIM"
    if "$SIM" bugs >/dev/null 2>&1; then
        fail "the program carries deliberate bugs; it was built with another feature"
    fi
}

# Runs a test runner, keeps what it says in a log, and repeats its closing lines. Tests that the
# runner left out are told in the summary; a run without one test is a failure.
run_tests() {
    local log=$OUT/$1.log
    shift
    local status=0
    "$@" 2>&1 | tee "$log" || status=$?
    say
    say "closing lines of the runners ($log):"
    grep -E '^test result:' "$log" || say "  (none)"
    local passed failed ignored
    passed=$(total passed "$log")
    failed=$(total failed "$log")
    ignored=$(total ignored "$log")
    say "in all: $passed passed, $failed failed, $ignored ignored"
    [[ $status -eq 0 ]] || return "$status"
    [[ $passed -gt 0 ]] || fail "no test was run"
    if [[ $ignored -gt 0 ]]; then
        skip "$ignored tests are marked as ignored"
    fi
}

# The sum of one figure over all closing lines of a log.
total() {
    sed -n "s/^test result:.* \([0-9][0-9]*\) $1.*/\1/p" "$2" | awk '{ sum += $1 } END { print sum + 0 }'
}

# A figure on the first level of a run's JSON document.
figure() {
    sed -n "s/^  \"$1\": \([^,]*\),\{0,1\}\$/\1/p" "$2" | head -n 1
}
