#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs into a folder of its own, and builds a program there with pkg-config alone.
. "${top_srcdir:-.}/tests/lib/tap.sh"
root=$work/root
${MAKE:-make} -C "$build" -s install DESTDIR="$root" > "$work/out" 2>&1
result $? "make install"
pc=$(find "$root" -name libvu.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
export PKG_CONFIG_PATH="$(dirname "$pc")" PKG_CONFIG_SYSROOT_DIR="$root"
flags=$(pkg-config --cflags --libs libvu 2> "$work/out")
result $? "pkg-config knows libvu"
${CC:-cc} ${CONSUMER_CFLAGS:-} -o "$work/null" "$top/examples/vu-null.c" $flags > "$work/out" 2>&1
result $? "a program builds against what was installed"
libdir=$(dirname "$(find "$root$prefix" -name 'libvu.so.0' | head -n 1)")
LD_LIBRARY_PATH=$libdir "$work/null" > "$work/out" 2>&1
[ $? = 2 ] && grep -q Usage "$work/out"
result $? "and runs"
finish
