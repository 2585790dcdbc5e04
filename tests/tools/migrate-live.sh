#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vu-migrate on live back-ends, under a front-end that checks its disk all the time.
. "${top_srcdir:-.}/tests/lib/tap.sh"
m=$build/vu-migrate/vu-migrate
blk=$build/examples/vu-blk
export LIBVU_RUN_DIR=$work/run
truncate -s 4M "$work/disk"
declare -A pid

# wait_for FILE TEXT
wait_for() {
    local i
    for i in $(seq 1000); do
        ! grep -q -e "$2" "$1" 2> /dev/null || return 0
        sleep 0.01
    done
    echo "# $1 does not say '$2': $(tail -n 3 "$1")"
    return 1
}
# serve NAME [OPTION]...: a vu-blk at $work/NAME, its pid in ${pid[NAME]}.
serve() {
    local name=$1
    shift
    rm -f "$work/$name"
    "$blk" --socket-path="$work/$name" --blk-file="$work/disk" --num-queues=2 "$@" \
        > "$work/$name.log" 2>&1 9>&- &
    pid[$name]=$!
    wait_for "$work/$name.log" "ready on"
}
kill_it() {
    kill -KILL "${pid[$1]}"
    wait "${pid[$1]}" 2> /dev/null
    true
}
# drive NAME: the front-end.  rest: it ends; true if it has found no error.
drive() {
    mkfifo "$work/stdin"
    "$build/tests/handover/drive" "$work/$1" 2 < "$work/stdin" > "$work/drive.log" &
    driver=$!
    exec 9> "$work/stdin"
    rm "$work/stdin"
    wait_for "$work/drive.log" ready
}
rest() {
    exec 9>&-
    wait "$driver" || { echo "# $(cat "$work/drive.log")"; return 1; }
}

# --- nobody there ---
run 3 "$m" list && complains "No such file"
result $? "no run directory"
mkdir -m 700 "$work/run"
run 0 "$m" list && complains "no back-end"
result $? "no back-ends"
for c in "checkpoint -o $work/x" "handover nobody" "dirty" "check"; do
    run 3 "$m" $c "$work/nobody" && complains ""
    result $? "${c%% *} of nobody"
done

# --- looking ---
serve a
drive a
run 0 "$m" list && says "running" && says "2/2" && says "yes"
result $? "list"
run 0 "$m" list --json && says '"movable": true' && says "\"socket\": \"$work/a\""
result $? "list as JSON"
(
    export LIBVU_RUN_DIR=
    run 3 "$m" list && complains "LIBVU_RUN_DIR is empty"
)
result $? "a run directory that is off"
for t in "${pid[a]}" "${pid[a]}-0" "$work/a" "$work/run/${pid[a]}-0.control"; do
    run 0 "$m" checkpoint -o "$work/image" "$t" && says "bytes" && run 0 "$m" verify "$work/image"
    result $? "a target by ${t##*/}"
done
run 0 "$m" check "$work/a" --for=handover,snapshot && says "handover: yes" && says "snapshot: yes"
result $? "check of one that serves"
run 0 "$m" check "$work/a" --for=handover --deep && says "rings.drain"
result $? "check drains it"
run 0 "$m" check --for=snapshot "$work/image" && says "state.size"
result $? "check of an image"
run 1 "$m" dirty "$work/a" -d 0.5 --bandwidth=1K --downtime=10ms && says "NEVER" &&
    says "queue 1" && says "hot set"
result $? "it never converges at 1 KiB/s"
run 0 "$m" dirty "$work/a" -d 0.5 --bandwidth=100G --json && says '"verdict": "CONVERGES"'
result $? "it does at 100 GiB/s"
run 0 "$m" dirty "$work/a" -d 0.5 -i 0.1 --bandwidth=100G --csv &&
    says "seconds,written_bytes_per_second,touched_bytes" &&
    [ "$(grep -c -E '^0\.[0-9]{3},[1-9][0-9]*,[1-9][0-9]*$' "$work/out")" -ge 3 ] &&
    [ "$(grep -v -c -E '^[0-9.,]+$' "$work/out")" = 1 ]
result $? "it says so in columns"
run 2 "$m" dirty "$work/a" --csv --json && complains "either --csv or --json"
result $? "in columns or as JSON"

# --- images ---
"$m" checkpoint "$work/a" --with-inflight -z -o - 2> "$work/err" | "$m" verify - > "$work/out" &&
    says "good"
result $? "through a pipe, compressed"
(
    trap '' XFSZ
    ulimit -f 0
    "$m" checkpoint "$work/a" -o "$work/full" 2> /dev/null
    [ $? = 1 ] && [ -z "$(ls "$work" | grep full)" ]
)
result $? "a full disk leaves no file, and the back-end goes on"
run 1 "$m" checkpoint "$work/a" -o /dev/full && complains "No space left"
result $? "a full device"
run 1 "$m" restore "$work/a" "$work/image" && complains "it serves a front-end"
result $? "no restore into one that serves"
serve b
head -c 300 "$work/image" > "$work/cut"
run 7 "$m" restore "$work/b" "$work/cut" && complains "it ends within"
result $? "no restore of half an image"
run 7 "$m" restore "$work/b" "$work/disk" && complains "not a state image"
result $? "no restore of what is no image"

# --- hand-over ---
run 0 "$m" check "$work/a" --with="$work/b" --for=handover && says "destination.config"
result $? "check with a destination"
run 0 "$m" handover --dry-run "${pid[a]}" "$work/b" && says "could take over"
result $? "a dry run"
run 0 "$m" handover "${pid[a]}" "$work/b" --json && says '"blackout_ms"' && says '"listener": true' &&
    wait "${pid[a]}"
result $? "a hand-over; the old one ends with status 0"
[ -S "$work/a" ] && run 0 "$m" list && says "running" && says "${pid[b]}-0"
result $? "the socket goes along"
run 5 "$m" handover "${pid[b]}" "$work/a" && complains ""
result $? "no hand-over to itself"
serve c --num-queues=1
run 1 "$m" check "$work/a" --with="$work/c" --for=handover && says "destination.queues" &&
    run 9 "$m" handover "$work/a" "$work/c" && complains "it goes on"
result $? "one with fewer queues is refused, and the old one goes on"
kill_it c
(
    export LIBVU_RUN_DIR=
    serve d
    LIBVU_RUN_DIR=$work/run run 5 "$m" handover "$work/a" "$work/d" && complains "no control socket"
    status=$?
    kill_it d
    exit $status
)
result $? "one without a control socket"
serve c
"$m" handover "${pid[b]}" "$work/c" > "$work/one" 2>&1 &
one=$!
"$m" handover "${pid[b]}" "$work/c" > "$work/two" 2>&1
two=$?
wait "$one"
one=$?
case "$one $two" in
"0 "[1-9]* | [1-9]*" 0") [ "$one" != 10 ] && [ "$two" != 10 ] ;;
*) echo "# $one $two $(cat "$work/one" "$work/two")"; false ;;
esac
result $? "two tools at once: one of them"
wait "${pid[b]}"
result $? "and the old one has ended"
serve d
kill -STOP "${pid[d]}"
run 6 "$m" handover "${pid[c]}" "$work/d" --timeout=1500ms && complains "does not answer"
result $? "one that does not answer"
kill -CONT "${pid[d]}"
kill_it d

# --- stop, restore, go on ---
run 0 "$m" checkpoint "$work/a" --stop -o "$work/image" && says "is stopped" &&
    run 0 "$m" list && says "held"
result $? "checkpoint and stay stopped"
run 0 "$m" checkpoint "$work/a" --resume && run 0 "$m" list && says "running"
result $? "and resume"
run 0 "$m" checkpoint "$work/a" --stop -o "$work/image" && kill_it c &&
    rm -f "$work/a" && serve e && run 0 "$m" restore "$work/e" "$work/image" &&
    run 1 "$m" restore "$work/e" "$work/image" && complains "waits already"
result $? "restored elsewhere"
for _ in $(seq 1000); do
    ! ls "$work/run" | grep -q waiting || break
    sleep 0.01
done
echo "start 1" > "$work/run/1-0123.waiting"
sed "s/^start .*/start 1/" "$work/run/${pid[e]}"-*.waiting > "$work/run/${pid[e]}-bad.waiting"
run 0 "$m" list && says "waits for its front-end at $work/e" && says restored &&
    [ "$(grep -c waits "$work/out")" = 1 ] &&
    run 0 "$m" list --json && says '"state": "restored"' && says "\"socket\": \"$work/e\"" &&
    [ ! -e "$work/run/${pid[e]}-bad.waiting" ]
result $? "list shows what waits, and forgets the dead"
ln "$work/e" "$work/a" && wait_for "$work/drive.log" again && run 0 "$m" list &&
    says "running" && ! grep -q waits "$work/out" && ! ls "$work/run" | grep -q "${pid[e]}-.*waiting"
result $? "the front-end comes again"
rest
result $? "no request was lost or wrong: $(tail -n 1 "$work/drive.log")"
kill_it e

# --- one that serves nobody ---
serve f
run 0 "$m" check "$work/f" --for=precopy --deep --device=blk && says "log.marks" &&
    says "twice.rings"
result $? "check drives it: its dirty log, and twice"
kill_it f
finish
