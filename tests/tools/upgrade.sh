#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# contrib/systemd/vu-upgrade, with the two units' vu-blk and a front-end that checks its
# disk.  What systemd would do is done by a systemctl of this test: there may be none here.
. "${top_srcdir:-.}/tests/lib/tap.sh"
export LIBVU_RUN_DIR=$work/libvu VU_BLK_RUN=$work/run VU_UPGRADE_WAIT=20
export WORK=$work BLK=$build/examples/vu-blk
build=$(cd "$build" && pwd)
mkdir -m 700 "$work/libvu" "$work/run" "$work/bin"
truncate -s 4M "$work/disk"
cat > "$work/bin/systemctl" << 'END'
#!/bin/bash
# systemctl is-active|start|stop [-q] vu-blk-SLOT@DISK
verb=$1 unit=${!#}
slot=${unit#vu-blk-} slot=${slot%%@*} pidfile=$WORK/$unit.pid
alive() {
    [ -f "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2> /dev/null &&
        ! grep -q '^State:.Z' "/proc/$(cat "$pidfile")/status"
}
case $verb in
is-active) alive ;;
stop) ! alive || kill "$(cat "$pidfile")" ;;
start)
    SOCKET=$VU_BLK_RUN/${unit#*@}.sock
    [ ! -f "$VU_BLK_RUN/${unit#*@}.$slot.env" ] || . "$VU_BLK_RUN/${unit#*@}.$slot.env"
    $BLK --socket-path="$SOCKET" --blk-file="$WORK/disk" --num-queues="${QUEUES:-2}" \
        > "$WORK/$unit.log" 2>&1 < /dev/null 9>&- &
    echo $! > "$pidfile"
    ;;
esac
END
chmod +x "$work/bin/systemctl"
PATH=$work/bin:$build/vu-migrate:$PATH
upgrade=$top/contrib/systemd/vu-upgrade
cleanup() {
    local f
    for f in "$work"/*.pid; do
        kill -KILL "$(cat "$f")" 2> /dev/null
    done
    rm -rf "$work"
}
trap cleanup EXIT

wait_for() {
    local i
    for i in $(seq 1000); do
        ! grep -q -e "$2" "$1" 2> /dev/null || return 0
        sleep 0.01
    done
    return 1
}
is_active() {
    systemctl is-active "vu-blk-$1@d"
}
# The old one ends by itself, a moment after.
is_over() {
    local i
    for i in $(seq 500); do
        is_active "$1" || return 0
        sleep 0.01
    done
    return 1
}

run 3 "$upgrade" d && complains "neither vu-blk-a@d nor vu-blk-b@d is active"
result $? "nobody to upgrade"
systemctl start vu-blk-a@d
wait_for "$work/vu-blk-a@d.log" "ready on"
mkfifo "$work/stdin"
"$build/tests/handover/drive" "$work/run/d.sock" 2 < "$work/stdin" > "$work/drive.log" &
driver=$!
exec 9> "$work/stdin"
wait_for "$work/drive.log" ready
result $? "a disk in use"
for to in b a; do
    from=$([ $to = b ] && echo a || echo b)
    run 0 "$upgrade" d && says "took over" && is_active $to && is_over $from &&
        [ "$(ls "$work/run")" = d.sock ]
    result $? "from $from to $to, nothing left behind"
done
export QUEUES=1
run 1 "$upgrade" d && is_active a && is_over b && [ "$(ls "$work/run")" = d.sock ]
result $? "one that does not fit is ended, the old one goes on"
exec 9>&-
wait "$driver"
result $? "the disk has not noticed: $(tail -n 1 "$work/drive.log")"
finish
