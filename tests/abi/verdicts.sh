#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vu-verdicts(7) has an entry for each verdict there is, with its severity, and no others.
. "${top_srcdir:-.}/tests/lib/tap.sh"

sed -n 's/.*\[VU__V_\([A-Z_]*\)\] = {"\([A-Z_]*\)", VU__OBS_\([A-Z]*\),.*/\1 \2 \3/p' \
    "$top/libvu/observe/verdicts.c" | sort > "$work/table"
sed -n '/^enum vu__obs_verdict_id/,/^}/s/^\tVU__V_\([A-Z_]*\),.*/\1/p' \
    "$top/libvu/observe/model.h" | sort > "$work/enum"
sed -n '/^\.TP/{n;s/^\.B //p}' "$top/man/vu-verdicts.7" | sort > "$work/page"
# ".B NAME", then a line that begins with "(severity)".
sed -n '/^\.TP/{n;s/^\.B //;N;s/\n(\([a-z]*\)).*/ \1/p}' "$top/man/vu-verdicts.7" | sort > "$work/severities"

same() {
    diff "$1" "$2" > "$work/out" && [ -s "$1" ]
    result $? "$3"
}

cut -d ' ' -f 1 "$work/table" > "$work/ids"
cut -d ' ' -f 2 "$work/table" > "$work/names"
grep -v -x COUNT "$work/enum" > "$work/wanted"
same "$work/wanted" "$work/ids" "each verdict has a row in the table"
same "$work/ids" "$work/names" "each is called what it is called in the code"
same "$work/names" "$work/page" "vu-verdicts(7) has an entry for each, and no others"
cut -d ' ' -f 2,3 "$work/table" | tr 'A-Z' 'a-z' > "$work/lower"
tr 'A-Z' 'a-z' < "$work/severities" > "$work/said"
same "$work/lower" "$work/said" "each entry begins with its severity"
finish
