#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The back-end that README shows compiles as it stands there, and serves.
. "${top_srcdir:-.}/tests/lib/tap.sh"
pid=
trap '[ -z "$pid" ] || kill "$pid" 2> /dev/null; rm -rf "$work"' EXIT
sed -n '/^```c$/,/^```$/p' "$top/README.md" | grep -v '^```' > "$work/my-rng.c"
${CC:-cc} -Wall -Werror -o "$work/my-rng" "$work/my-rng.c" -I"$top/libvu/include" \
    -L"$build/libvu/.libs" -Wl,-rpath,"$(cd "$build" && pwd)/libvu/.libs" -lvu \
    $(pkg-config --cflags --libs glib-2.0) > "$work/out" 2>&1
result $? "it compiles"
"$work/my-rng" "$work/sock" > "$work/out" 2>&1 &
pid=$!
got=
for i in $(seq 200); do
    got=$("$build/tests/abi/ask" "$work/sock" 2>> "$work/out") && break
    sleep 0.05
done
[ "$got" = 256 ]
result $? "it serves"
wait "$pid"
result $? "and ends with its front-end"
pid=
finish
