#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs into a folder of its own, and builds a program there with pkg-config alone.
set -u
src=${top_srcdir:-../..}
build=${top_builddir:-.}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
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

echo "1..4"
${MAKE:-make} -C "$build" -s install DESTDIR="$root" > "$root/out" 2>&1
check $? "make install"
pc=$(find "$root" -name libvu.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
export PKG_CONFIG_PATH="$(dirname "$pc")" PKG_CONFIG_SYSROOT_DIR="$root"
flags=$(pkg-config --cflags --libs libvu 2> "$root/out")
check $? "pkg-config knows libvu"
${CC:-cc} ${CONSUMER_CFLAGS:-} -o "$root/null" "$src/examples/vu-null.c" $flags > "$root/out" 2>&1
check $? "a program builds against what was installed"
libdir=$(dirname "$(find "$root$prefix" -name 'libvu.so.0' | head -n 1)")
LD_LIBRARY_PATH=$libdir "$root/null" > "$root/out" 2>&1
[ $? = 2 ] && grep -q Usage "$root/out"
check $? "and runs"
exit $bad
