#!/bin/sh
# Checks logs with Go's transparency-log packages (Debian: golang-go, golang-golang-x-mod-dev).
#   check_log.sh SAMPLES        every SAMPLES/log/*/ is a log directory with the verifier key in a file `vkey` beside its checkpoint
# Exit 0: all hold, and each copy of them with a byte changed is refused. 1: not. 77: Go or its packages are not installed.
set -eu
samples=${1:?usage: check_log.sh SAMPLES}
here=$(cd "$(dirname "$0")" && pwd)
packages=/usr/share/gocode
if ! command -v go >/dev/null 2>&1 || [ ! -d "$packages/src/golang.org/x/mod/sumdb/tlog" ]; then
    echo "check_log: skipped, needs the packages golang-go and golang-golang-x-mod-dev" >&2
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
GO111MODULE=off GOPATH=$packages GOCACHE=${GOCACHE:-$work/cache} GOFLAGS= go build -o "$work/check_log" "$here/log/check_log.go"

found=0
for log in "$samples"/log/*/; do
    [ -f "$log/checkpoint" ] || continue
    found=$((found + 1))
    printf '%s: ' "$log"
    "$work/check_log" "$log"
    # The check itself is checked: one changed byte in any single file must not pass.
    (cd "$log" && find checkpoint tile -type f 2>/dev/null | sort | awk 'NR <= 2 || NR % 97 == 0') >"$work/files"
    while read -r file; do
        rm -rf "$work/copy" && cp -R "$log" "$work/copy" && chmod -R u+w "$work/copy"
        middle=$(($(wc -c <"$log/$file") / 2))
        byte=$(od -An -tu1 -j "$middle" -N 1 "$log/$file" | tr -d ' ')
        printf "\\$(printf '%03o' $((byte ^ 1)))" | dd of="$work/copy/$file" bs=1 seek="$middle" conv=notrunc 2>/dev/null
        if "$work/check_log" "$work/copy" >/dev/null 2>&1; then
            echo "check_log: a changed byte in $file went unnoticed" >&2
            exit 1
        fi
    done <"$work/files"
done
if [ "$found" = 0 ]; then
    echo "check_log: no logs below $samples/log" >&2
    exit 1
fi
