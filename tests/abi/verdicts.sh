#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vu-verdicts(7) has an entry for each verdict there is, with its severity, and no others.
set -u
src=${top_srcdir:-../..}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

sed -n 's/.*\[VU__V_\([A-Z_]*\)\] = {"\([A-Z_]*\)", VU__OBS_\([A-Z]*\),.*/\1 \2 \3/p' \
    "$src/libvu/observe/verdicts.c" | sort > "$tmp/table"
sed -n '/^enum vu__obs_verdict_id/,/^}/s/^\tVU__V_\([A-Z_]*\),.*/\1/p' \
    "$src/libvu/observe/model.h" | sort > "$tmp/enum"
sed -n '/^\.TP/{n;s/^\.B //p}' "$src/man/vu-verdicts.7" | sort > "$tmp/page"
# ".B NAME", then a line that begins with "(severity)".
sed -n '/^\.TP/{n;s/^\.B //;N;s/\n(\([a-z]*\)).*/ \1/p}' "$src/man/vu-verdicts.7" | sort > "$tmp/severities"

n=0 bad=0
same() {
    n=$((n + 1))
    if diff "$1" "$2" > "$tmp/diff" && [ -s "$1" ]; then
        echo "ok $n - $3"
    else
        bad=1
        echo "not ok $n - $3"
        sed 's/^/# /' "$tmp/diff"
    fi
}

cut -d ' ' -f 1 "$tmp/table" > "$tmp/ids"
cut -d ' ' -f 2 "$tmp/table" > "$tmp/names"
grep -v -x COUNT "$tmp/enum" > "$tmp/wanted"
same "$tmp/wanted" "$tmp/ids" "each verdict has a row in the table"
same "$tmp/ids" "$tmp/names" "each is called what it is called in the code"
same "$tmp/names" "$tmp/page" "vu-verdicts(7) has an entry for each, and no others"
cut -d ' ' -f 2,3 "$tmp/table" | tr 'A-Z' 'a-z' > "$tmp/lower"
tr 'A-Z' 'a-z' < "$tmp/severities" > "$tmp/said"
same "$tmp/lower" "$tmp/said" "each entry begins with its severity"
echo "1..$n"
exit $bad
