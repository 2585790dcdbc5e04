#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# check-fuzz.sh SECONDS TARGET...: runs each fuzzer for that long on a copy of its
# corpus. TAP. An input that makes one crash is kept in the folder it is run in.
set -u
seconds=$1
shift
src=${top_srcdir:-.}
echo "1..$#"
n=0 bad=0
for target in "$@"; do
    n=$((n + 1))
    name=$(basename "$target")
    corpus=$(mktemp -d)
    cp "$src/tests/fuzz/corpus/$name"/* "$corpus/"
    "$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="./$name-" -max_len=4096 "$corpus" > "$name.fuzz.log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$name.fuzz.log")
    coverage=$(grep -o 'cov: [0-9]*' "$name.fuzz.log" | tail -n 1)
    if [ "$status" = 0 ] && [ "${runs:-0}" -gt 100 ]; then
        echo "ok $n - $name # $runs runs, $coverage"
    else
        bad=1
        echo "not ok $n - $name"
        tail -n 40 "$name.fuzz.log" | sed 's/^/# /'
    fi
    rm -rf "$corpus"
done
exit $bad
