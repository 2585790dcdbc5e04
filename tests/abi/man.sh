#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Each manual page is well-formed, and names every option of its program's --help.
command -v mandoc > /dev/null || {
    echo "1..0 # SKIP mandoc is not installed"
    exit 0
}
. "${top_srcdir:-.}/tests/lib/tap.sh"
for page in "$top"/man/*.[1-8]; do
    name=$(basename "$page")
    mandoc -T lint -W warning "$page" > "$work/out" 2>&1
    result $? "$name is well-formed"
    program=$(find "$build" -maxdepth 2 -name "${name%.*}" -type f -perm -u+x | head -n 1)
    [ -n "$program" ] || continue
    # Where there are subcommands, each has its options.
    {
        "$program" --help
        "$program" --help | sed -n '/^  [a-z][a-z]* /s/^  \([a-z]*\) .*/\1/p' |
            while read -r command; do
                "$program" "$command" --help
            done
    } | grep -o -E '(^|[ ,])--[a-z][a-z0-9-]*' | tr -d ' ,' | sort -u |
        while read -r option; do
            sed 's/\\-/-/g' "$page" | grep -q -e "$option\b" || echo "$option"
        done > "$work/out"
    [ ! -s "$work/out" ]
    result $? "$name names all options"
done
finish
