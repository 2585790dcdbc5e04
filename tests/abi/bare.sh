#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The library without telemetry, as --disable-telemetry builds it, compiles without a
# warning; rings, the log and inflight tracking work.
. "${top_srcdir:-.}/tests/lib/tap.sh"
pkg-config cmocka || { echo "1..0 # SKIP cmocka is not installed"; exit 0; }
src=$(cd "$top" && pwd)
build=$(cd "$build" && pwd)
cd "$work" || exit 1
# Without what lives beside a device, too.
grep -v VU_CONTROL "$build/config.h" > config.h
unset CMOCKA_MESSAGE_OUTPUT
export LIBVU_RUN_DIR=$work/run
flags="-O0 ${VU_CFLAGS:--std=gnu11 -Wall -Wextra} -include $work/config.h -D_GNU_SOURCE
    -DVU_NO_TELEMETRY -I$src -I$src/libvu/include -I$src/libvu"
# Files of different folders have the same name.
compile() {
    mkdir -p "$1" && cd "$1" || return 1
    shift
    # shellcheck disable=SC2046,SC2086
    ${CC:-cc} $flags $(pkg-config --cflags cmocka) -c "$@"
}
for d in base wire core backend frontend; do
    (compile $d "$src/libvu/$d"/*.c)
done > out 2>&1
(compile services "$src/libvu/services.c") >> out 2>&1
(compile lib "$src"/tests/lib/{pair,faults,postcopy,hugepages}.c) >> out 2>&1
[ ! -s out ]
result $? "it compiles without a word"
for t in unit/test_ring protocol/test_log protocol/test_inflight; do
    # shellcheck disable=SC2046,SC2086
    ${CC:-cc} $flags -o prog "$src/tests/$t.c" ./*/*.o $(pkg-config --cflags --libs cmocka) \
        -lpthread > out 2>&1 && ./prog > out 2>&1
    result $? "$t"
done
finish
