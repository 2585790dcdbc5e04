#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The map, the shared library and the public headers name the same functions; headers
# compile alone; files keep to their floor.
set -u
src=${top_srcdir:-../..}
build=${top_builddir:-.}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0 bad=0
check() {
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        bad=1
        echo "not ok $n - $2"
        sed 's/^/# /' "$tmp/out"
    fi
}

grep -o 'vu_[a-z0-9_]*;' "$src/libvu/libvu.map" | tr -d ';' | sort > "$tmp/map"
nm -D --defined-only "$build/libvu/.libs/libvu.so" | awk '$2 == "T" {print $3}' |
    sed 's/@.*//' | sort > "$tmp/library"
diff "$tmp/map" "$tmp/library" > "$tmp/out"
check $? "the library shows what the map names"

nm -D --defined-only "$build/libvu/.libs/libvu.so" | grep -E ' [A-Z] ' | grep -v -E ' (A LIBVU|T vu_)' > "$tmp/out"
[ ! -s "$tmp/out" ]
check $? "and nothing else"

# Prototypes: comments and bodies taken away, names before a parenthesis.
for h in "$src"/libvu/include/libvu/*.h; do
    sed -z 's:/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/::g' "$h"
done | grep -v -E '^ *(#|typedef)' | tr '\n' ' ' | tr ';{}' '\n\n\n' |
    grep -v -E 'typedef|static inline|^\s*return' | grep -o -E '\bvu_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u > "$tmp/declared"
comm -3 "$tmp/map" "$tmp/declared" > "$tmp/out"
[ ! -s "$tmp/out" ]
check $? "the headers declare what the map names"

# The header for GLib programs is theirs who have GLib.
glib=$(pkg-config --cflags-only-I glib-2.0 2>/dev/null | sed 's/-I/-isystem /g')
headers=$(ls "$src"/libvu/include/libvu/*.h)
[ -n "$glib" ] || headers=$(echo "$headers" | grep -v -e -glib.h)

: > "$tmp/out"
for h in $headers; do
    echo "#include <libvu/${h##*/}>" > "$tmp/alone.c"
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror -I"$src/libvu/include" $glib -fsyntax-only \
        "$tmp/alone.c" >> "$tmp/out" 2>&1
done
[ ! -s "$tmp/out" ]
check $? "each public header compiles alone"

: > "$tmp/out"
for h in $headers; do
    echo "#include <libvu/${h##*/}>" > "$tmp/alone.cc"
    ${CXX:-c++} -std=c++11 -Wall -Wextra -Werror -I"$src/libvu/include" $glib \
        -fsyntax-only "$tmp/alone.cc" >> "$tmp/out" 2>&1
done
[ ! -s "$tmp/out" ]
check $? "and in C++"

# What a floor may not include.
: > "$tmp/out"
grep -l -E '#include "(wire|core|backend|frontend)/' "$src"/libvu/base/*.[ch] >> "$tmp/out"
grep -l -E '#include "(core|backend|frontend)/' "$src"/libvu/wire/*.[ch] >> "$tmp/out"
grep -l -E '#include "(wire|backend|frontend)/' "$src"/libvu/core/*.[ch] >> "$tmp/out"
grep -l -E '#include "(core|backend)/' "$src"/libvu/frontend/*.[ch] >> "$tmp/out"
grep -l -E '#include "(frontend)/' "$src"/libvu/backend/*.[ch] >> "$tmp/out"
[ ! -s "$tmp/out" ]
check $? "files keep to their floor"
echo "1..$n"
exit $bad
