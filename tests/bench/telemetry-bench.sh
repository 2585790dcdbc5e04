#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Measures what telemetry costs pops and pushes: libvu compiled without it, with it, and
# with it while somebody watches latencies; the same source, compiler and flags, run in
# turns.
set -eu
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
help() {
    cat <<END
Usage: telemetry-bench.sh [RUNS]

Prints ns an element for pop, push and a 256th of a notify of block requests (16 bytes to
read, 4 KiB and 1 byte to write): RUNS (9) processes of each build in turns; each figure
is the fastest batch of all runs, each ratio at the end the median of those of single
runs.  Instructions an element beside them, from callgrind, where valgrind is installed.
From the environment:
  BENCH_CFLAGS flags for all (-O2)
  CC           compiler (cc)
  config_h     folder of libvu's config.h, when run outside make
  ROUNDS       batches a run (300)
END
}
case ${1:-} in
-h | --help) help; exit 0 ;;
*[!0-9]*) echo "telemetry-bench: $1: not a number of runs; try --help" >&2; exit 2 ;;
esac
runs=${1:-9}
rounds=${ROUNDS:-300}
cc=${CC:-cc}
flags=${BENCH_CFLAGS:--O2}
config_h=${config_h:-${top_builddir:-$top/build}}
cases="block block-indirect block-in-turns one"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# In memory, as the run directory is.
LIBVU_RUN_DIR=$(mktemp -d -p /dev/shm)
export LIBVU_RUN_DIR
trap 'rm -rf "$tmp" "$LIBVU_RUN_DIR"' EXIT

[ -e "$config_h/config.h" ] || {
    echo "telemetry-bench: $config_h: no config.h; name libvu's build folder in config_h" >&2
    exit 1
}
# Rings need none of what lives beside a device.
grep -v VU_CONTROL "$config_h/config.h" > "$tmp/config.h"

# build NAME FLAG
build() {
    # shellcheck disable=SC2086
    $cc $flags $2 -std=gnu11 -include "$tmp/config.h" -D_GNU_SOURCE \
        -fvisibility=hidden -I"$top/libvu/include/libvu" -I"$top/libvu/include" \
        -I"$top/libvu" -o "$tmp/$1" "$top/tests/bench/ring-bench.c" \
        "$top"/libvu/services.c "$top"/libvu/{base,wire,core,backend}/*.c -lpthread
}

say() { [ ! -t 2 ] || printf '\r\033[K%s' "$1" >&2; }

# instructions NAME CASE ROUNDS: of the whole process
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$tmp/$1" "$3" "$2" 2>&1 |
        sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'
}

say "building"
build without -DVU_NO_TELEMETRY
build with ""
build watched -DBENCH_WATCH
for i in $(seq "$runs"); do
    for c in $cases; do
        for w in without with watched; do
            say "run $i of $runs: $c $w"
            "$tmp/$w" "$rounds" "$c" | sed "s/^/time $w /" >> "$tmp/lines"
        done
    done
done
if command -v valgrind > /dev/null; then
    for c in $cases; do
        for w in without with watched; do
            say "counting: $c $w"
            few=$(instructions $w "$c" 20) many=$(instructions $w "$c" 60)
            # 40 batches of 256 in each of 6 rows.
            echo "count $w $c $(((many - few) / 40 / 6 / 256))" >> "$tmp/lines"
        done
    done
fi
say ""

awk '
# The middle of the numbers in list[1..n].
function median(list, n,    i, j, t) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
$1 == "time" {
    row = $3 " " $4 " " $5
    if (!(row in known)) { known[row] = 1; rows[++n] = row }
    if (!($3 in seen)) { seen[$3] = 1; name[++m] = $3 }
    k = $2 " " row
    times[k]++
    value[k " " times[k]] = $6
    if (!(k in best) || $6 < best[k]) best[k] = $6
}
$1 == "count" { count[$2 " " $3] = $4 }
END {
    print "                              |            ns an element             |   instructions an element"
    printf "%-14s %7s %6s | %7s %7s %6s %7s %6s | %7s %6s %6s\n", "case", "regions", "event",
        "without", "with", "ratio", "watched", "ratio", "without", "with", "watched"
    for (i = 1; i <= n; i++) {
        split(rows[i], r, " ")
        a = best["without " rows[i]]; b = best["with " rows[i]]; c = best["watched " rows[i]]
        printf "%-14s %7s %6s | %7.1f %7.1f %6.3f %7.1f %6.3f |", r[1], r[2], r[3], a, b, b / a, c, c / a
        if (("without " r[1]) in count)
            printf " %7d %6d %6d", count["without " r[1]], count["with " r[1]], count["watched " r[1]]
        print ""
    }
    print "median of the ratios of neighbouring runs (and of instructions):"
    for (i = 1; i <= m; i++) {
        c = name[i]
        pairs = 0
        for (j = 1; j <= n; j++) {
            split(rows[j], r, " ")
            if (r[1] != c) continue
            for (t = 1; t <= times["without " rows[j]]; t++) {
                pairs++
                x[pairs] = value["with " rows[j] " " t] / value["without " rows[j] " " t]
                y[pairs] = value["watched " rows[j] " " t] / value["without " rows[j] " " t]
            }
        }
        printf "%-14s with telemetry %.3f", c, median(x, pairs)
        if (("without " c) in count) printf " (%.3f)", count["with " c] / count["without " c]
        printf ", watched %.3f", median(y, pairs)
        if (("without " c) in count) printf " (%.3f)", count["watched " c] / count["without " c]
        print ""
    }
}' "$tmp/lines"
