#!/usr/bin/env bash
# The plugin as it is shipped: static, small, free of TLS and Kubernetes; the checklist of CNI holds for it too.

# shellcheck source=ci/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

LIMIT=5000000
tree=$(cargo tree --locked -p terway-cni -e normal --prefix none)
for crate in kube rustls ring hyper tonic; do
    if grep -q "^$crate v" <<<"$tree"; then
        fail "the plugin pulls $crate in: cargo tree -p terway-cni -e normal -i $crate"
    fi
done

ci/plugin "$OUT/plugin"
plugin=$OUT/plugin/terway
size=$(stat -c %s "$plugin")
[[ $size -lt $LIMIT ]] || fail "the plugin has $size bytes; it may have $LIMIT"
if have readelf; then
    if readelf --program-headers --wide "$plugin" | grep -q INTERP; then
        fail "the plugin is not static: it asks for an interpreter"
    fi
else
    skip "whether the plugin is static: no readelf"
fi
answer=$(CNI_COMMAND=VERSION "$plugin" </dev/null)
[[ $answer == *'"supportedVersions":["0.3.0",'* ]] || fail "VERSION is answered with: $answer"
say "static, $size bytes"

# Upstream's own driver, from its Go module in a version that knows 1.1.0, checked by Go's sum database.
CNITOOL=github.com/containernetworking/cni/cnitool@v1.3.0
go=$(command -v go || echo /usr/local/go/bin/go)
if [[ ! -x $CACHE/cnitool ]] && have "$go"; then
    log=$OUT/cnitool.log
    if GOBIN=$CACHE GOFLAGS=-mod=mod "$go" install "$CNITOOL" >"$log" 2>&1; then
        say "built $CNITOOL"
    else
        tail -n 5 "$log"
    fi
fi
if [[ -x $CACHE/cnitool ]]; then
    export TERWAY_CNITOOL=$CACHE/cnitool
else
    skip "row 40 of the checklist: no Go to build $CNITOOL with, or no way to its module"
fi
if [[ ! -x /usr/lib/cni/portmap ]] || ! [[ -x /usr/sbin/iptables ]]; then
    skip "row 39 of the checklist: no containernetworking-plugins, or no iptables; ci/setup installs them"
fi
TERWAY_PLUGIN=$plugin run_tests plugin cargo test "${SELECTION[@]}" --test checklist
