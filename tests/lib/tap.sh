# SPDX-License-Identifier: GPL-2.0-or-later
#
# For tests that are scripts: TAP, and a folder that goes away.
set -u
top=${top_srcdir:-.}
build=${top_builddir:-.}
work=$(mktemp -d)
tap_n=0 tap_bad=0
trap 'rm -rf "$work"' EXIT

# result STATUS NAME: one line of TAP; with what is in $work/out and $work/err if it failed.
result() {
    tap_n=$((tap_n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $tap_n - $2"
        return
    fi
    tap_bad=$((tap_bad + 1))
    echo "not ok $tap_n - $2"
    for f in out err; do
        [ ! -s "$work/$f" ] || { echo "# $f:"; tail -c 2000 "$work/$f" | sed 's/^/# /'; echo; }
    done
}

# run STATUS COMMAND...: runs it into $work/out and $work/err; true if that is its status.
run() {
    local want=$1 got
    shift
    "$@" > "$work/out" 2> "$work/err" < /dev/null
    got=$?
    [ "$got" = "$want" ] && return 0
    echo "# $*: status $got, not $want"
    return 1
}

# says TEXT: the last run's standard output has it; complains TEXT: its standard error.
says() {
    grep -q -F -e "$1" "$work/out"
}
complains() {
    grep -q -F -e "$1" "$work/err" && [ "$(wc -l < "$work/err")" = "${2:-1}" ]
}

finish() {
    echo "1..$tap_n"
    [ "$tap_bad" = 0 ]
    exit
}
