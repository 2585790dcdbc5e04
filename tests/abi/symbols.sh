#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The map, the shared library and the public headers name the same functions; headers
# compile alone; files keep to their floor.
. "${top_srcdir:-.}/tests/lib/tap.sh"
grep -o 'vu_[a-z0-9_]*;' "$top/libvu/libvu.map" | tr -d ';' | sort > "$work/map"
nm -D --defined-only "$build/libvu/.libs/libvu.so" | awk '$2 == "T" {print $3}' |
    sed 's/@.*//' | sort > "$work/library"
diff "$work/map" "$work/library" > "$work/out"
result $? "the library shows what the map names"

nm -D --defined-only "$build/libvu/.libs/libvu.so" | grep -E ' [A-Z] ' | grep -v -E ' (A LIBVU|T vu_)' > "$work/out"
[ ! -s "$work/out" ]
result $? "and nothing else"

# Prototypes: comments and bodies taken away, names before a parenthesis.
for h in "$top"/libvu/include/libvu/*.h; do
    sed -z 's:/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/::g' "$h"
done | grep -v -E '^ *(#|typedef)' | tr '\n' ' ' | tr ';{}' '\n\n\n' |
    grep -v -E 'typedef|static inline|^\s*return' | grep -o -E '\bvu_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u > "$work/declared"
comm -3 "$work/map" "$work/declared" > "$work/out"
[ ! -s "$work/out" ]
result $? "the headers declare what the map names"

# The header for GLib programs is theirs who have GLib.
glib=$(pkg-config --cflags-only-I glib-2.0 2>/dev/null | sed 's/-I/-isystem /g')
headers=$(ls "$top"/libvu/include/libvu/*.h)
[ -n "$glib" ] || headers=$(echo "$headers" | grep -v -e -glib.h)

: > "$work/out"
for h in $headers; do
    echo "#include <libvu/${h##*/}>" > "$work/alone.c"
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror -I"$top/libvu/include" $glib -fsyntax-only \
        "$work/alone.c" >> "$work/out" 2>&1
done
[ ! -s "$work/out" ]
result $? "each public header compiles alone"

: > "$work/out"
for h in $headers; do
    echo "#include <libvu/${h##*/}>" > "$work/alone.cc"
    ${CXX:-c++} -std=c++11 -Wall -Wextra -Werror -I"$top/libvu/include" $glib \
        -fsyntax-only "$work/alone.cc" >> "$work/out" 2>&1
done
[ ! -s "$work/out" ]
result $? "and in C++"

# What a floor may not include.
: > "$work/out"
grep -l -E '#include "(wire|core|backend|frontend)/' "$top"/libvu/base/*.[ch] >> "$work/out"
grep -l -E '#include "(core|backend|frontend)/' "$top"/libvu/wire/*.[ch] >> "$work/out"
grep -l -E '#include "(wire|backend|frontend)/' "$top"/libvu/core/*.[ch] >> "$work/out"
grep -l -E '#include "(core|backend)/' "$top"/libvu/frontend/*.[ch] >> "$work/out"
grep -l -E '#include "(frontend)/' "$top"/libvu/backend/*.[ch] >> "$work/out"
[ ! -s "$work/out" ]
result $? "files keep to their floor"
finish
