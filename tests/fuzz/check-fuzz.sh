#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# check-fuzz.sh SECONDS TARGET...: runs fuzzers on copies of their corpora, as many at a
# time as there are processors. TAP. What a guest and a front-end say gets that long, what
# an operator has in files and on sockets a third of it. An input that makes one crash is
# kept in the folder it is run in.
set -u
seconds=$1
shift
src=${top_srcdir:-.}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# fuzz N TARGET: its lines of TAP go to $tmp/N.
fuzz() {
    local name corpus status runs coverage time=$seconds
    name=$(basename "$2")
    case $name in
    fuzz_chain | fuzz_session) ;;
    *) time=$(((seconds + 2) / 3)) ;;
    esac
    corpus=$tmp/$name
    mkdir "$corpus"
    cp "$src/tests/fuzz/corpus/$name"/* "$corpus/"
    "$2" -max_total_time="$time" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="./$name-" -max_len=4096 "$corpus" > "$name.fuzz.log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$name.fuzz.log")
    coverage=$(grep -o 'cov: [0-9]*' "$name.fuzz.log" | tail -n 1)
    if [ "$status" = 0 ] && [ "${runs:-0}" -gt 100 ]; then
        echo "ok $1 - $name # $runs runs, $coverage" > "$tmp/$1"
    else
        { echo "not ok $1 - $name"; tail -n 40 "$name.fuzz.log" | sed 's/^/# /'; } > "$tmp/$1"
    fi
}

echo "1..$#"
cores=$(nproc)
n=0
for target in "$@"; do
    n=$((n + 1))
    [ "$n" -le "$cores" ] || wait -n
    fuzz "$n" "$target" &
done
wait
bad=0
for i in $(seq "$n"); do
    cat "$tmp/$i"
    ! grep -q '^not ok' "$tmp/$i" || bad=1
done
exit $bad
