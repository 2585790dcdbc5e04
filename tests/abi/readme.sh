#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The back-end that README shows compiles as it stands there, and serves.
set -u
src=${top_srcdir:-../..}
build=${top_builddir:-.}
root=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2> /dev/null; rm -rf "$root"' EXIT
n=0 bad=0
check() {
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        bad=1
        echo "not ok $n - $2"
        tail -n 20 "$root/out" | sed 's/^/# /'
    fi
}

echo "1..3"
sed -n '/^```c$/,/^```$/p' "$src/README.md" | grep -v '^```' > "$root/my-rng.c"
${CC:-cc} -Wall -Werror -o "$root/my-rng" "$root/my-rng.c" -I"$src/libvu/include" \
    -L"$build/libvu/.libs" -Wl,-rpath,"$(cd "$build" && pwd)/libvu/.libs" -lvu \
    $(pkg-config --cflags --libs glib-2.0) > "$root/out" 2>&1
check $? "it compiles"
"$root/my-rng" "$root/sock" > "$root/out" 2>&1 &
pid=$!
got=
for i in $(seq 200); do
    got=$("$build/tests/abi/ask" "$root/sock" 2>> "$root/out") && break
    sleep 0.05
done
[ "$got" = 256 ]
check $? "it serves"
wait "$pid"
check $? "and ends with its front-end"
pid=
exit $bad
