#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Measures libvu's rings, alone or side by side with another library that offers the
# same API: both with the same compiler and flags, run in turns.
set -eu
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
help() {
    cat <<END
Usage: ring-bench.sh [RUNS]

Prints ns an element for pop, push and (once a batch) notify.  RUNS (7) processes of each
library in turns; each figure is the fastest batch of all runs.  From the environment:
  PEER_SRC     folder with the other library's libvhost-user.h and sources
  PEER_FILES   its sources (libvhost-user.c)
  PEER_CFLAGS  what they need beside the flags below (-I...)
  BENCH_CFLAGS flags for both (-O2); each is built a second time with
               -ftrivial-auto-var-init=zero, as distributors build QEMU
  CC           compiler (cc)
  config_h     folder of libvu's config.h, when run outside make
END
}
case ${1:-} in
-h | --help) help; exit 0 ;;
*[!0-9]*) echo "ring-bench: $1: not a number of runs; try --help" >&2; exit 2 ;;
esac
runs=${1:-7}
cc=${CC:-cc}
flags=${BENCH_CFLAGS:--O2}
config_h=${config_h:-${top_builddir:-$top/build}}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

[ -e "$config_h/config.h" ] || {
    echo "ring-bench: $config_h: no config.h; name libvu's build folder in config_h" >&2
    exit 1
}
# Rings need none of what lives beside a device.
grep -v VU_CONTROL "$config_h/config.h" > "$tmp/config.h"

# build NAME FLAGS: libvu's bench.
build_vu() {
    # shellcheck disable=SC2086
    $cc $flags $2 -std=gnu11 -include "$tmp/config.h" -D_GNU_SOURCE \
        -DBENCH_LIBVU -fvisibility=hidden -I"$top/libvu/include/libvu" -I"$top/libvu/include" \
        -I"$top/libvu" -o "$tmp/$1" "$top/tests/bench/ring-bench.c" \
        "$top"/libvu/services.c "$top"/libvu/{base,wire,core,backend}/*.c -lpthread
}

build_peer() {
    local files="" f read_msg=""
    for f in ${PEER_FILES:-libvhost-user.c}; do files="$files $PEER_SRC/$f"; done
    grep -q vu_read_msg_cb "$PEER_SRC/libvhost-user.h" && read_msg=-DBENCH_READ_MSG
    # shellcheck disable=SC2086
    $cc $flags $2 -w -std=gnu11 -D_GNU_SOURCE $read_msg -I"$PEER_SRC" ${PEER_CFLAGS:-} \
        -o "$tmp/$1" "$top/tests/bench/ring-bench.c" $files -lpthread
}

say() { [ ! -t 2 ] || printf '\r\033[K%s' "$1" >&2; }

who=""
for kind in plain zeroed; do
    extra=$([ $kind = plain ] || echo -ftrivial-auto-var-init=zero)
    say "building ($kind)"
    build_vu "libvu.$kind" "$extra"
    who="$who libvu.$kind"
    [ -z "${PEER_SRC:-}" ] || { build_peer "peer.$kind" "$extra"; who="$who peer.$kind"; }
done
for i in $(seq "$runs"); do
    for w in $who; do
        say "run $i of $runs: $w"
        "$tmp/$w" | sed "s/^/$w /" >> "$tmp/lines"
    done
done
say ""

awk -v peer="${PEER_SRC:-}" '
{
    row = $2 " " $3 " " $4
    if (!(row in known)) { known[row] = 1; rows[++n] = row }
    k = $1 " " row
    if (!(k in best) || $5 < best[k]) best[k] = $5
}
END {
    head = "%-15s %7s %9s | %7s %7s %6s | %7s %7s %6s\n"
    line = "%-15s %7s %9s | %7.1f %7s %6s | %7.1f %7s %6s\n"
    print "ns an element                     |         as it is        |  automatic variables zeroed"
    printf head, "chain", "regions", "event idx", "libvu", "peer", "ratio", "libvu", "peer", "ratio"
    for (i = 1; i <= n; i++) {
        split(rows[i], r, " ")
        a = best["libvu.plain " rows[i]]; b = best["libvu.zeroed " rows[i]]
        pa = pb = ra = rb = "-"
        if (peer != "" && ("peer.plain " rows[i]) in best) {
            p = best["peer.plain " rows[i]]; pa = sprintf("%.1f", p); ra = sprintf("%.2f", a / p)
            q = best["peer.zeroed " rows[i]]; pb = sprintf("%.1f", q); rb = sprintf("%.2f", b / q)
            if (a / p > worst) worst = a / p
        }
        printf line, r[1], r[2], r[3], a, pa, ra, b, pb, rb
    }
    if (peer != "") printf "worst ratio as it is: %.2f\n", worst
}' "$tmp/lines"
