#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Each manual page is well-formed, and names every option of its program's --help.
set -u
command -v mandoc > /dev/null || {
    echo "1..0 # SKIP mandoc is not installed"
    exit 0
}
src=${top_srcdir:-../..}
build=${top_builddir:-.}
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
n=0 bad=0
check() {
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        bad=1
        echo "not ok $n - $2"
        sed 's/^/# /' "$tmp"
    fi
}

for page in "$src"/man/*.[1-8]; do
    name=$(basename "$page")
    mandoc -T lint -W warning "$page" > "$tmp" 2>&1
    check $? "$name is well-formed"
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
        done > "$tmp"
    [ ! -s "$tmp" ]
    check $? "$name names all options"
done
echo "1..$n"
exit $bad
