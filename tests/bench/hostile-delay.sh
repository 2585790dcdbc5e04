#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How long the event loop is away with the control socket while tools misbehave on it:
# handover-bench's part "hostile", with probes at the entry and return of the two functions
# that serve it.  "wall" is what the clock says, "own" the same without the time in which
# the thread could have run but another had the processor, "turn" all of that between two
# waits of the event loop.  Time asleep counts, and so does the probes' own; where it slept
# is printed.
#
# In the folder of the build, as root.

set -u

usage='Usage: hostile-delay.sh HANDOVER-BENCH LIBVU.SO [ROUNDS]'
case ${1:-} in
-h | --help) echo "$usage"; sed -n '3,/^$/s/^# //p' "$0"; exit 0 ;;
esac
[ $# -ge 2 ] && [ $# -le 3 ] || { echo "$usage" >&2; exit 2; }
bench=$1
lib=$(readlink -f "$2")
rounds=${3:-200}
case $rounds in
*[!0-9]* | "") echo "hostile-delay: $rounds: not a number of rounds" >&2; exit 2 ;;
esac
for f in "$bench" "$2"; do
	[ -r "$f" ] || { echo "hostile-delay: $f: no such file" >&2; exit 2; }
done

skip()
{
	echo "hostile-delay: skipped: $1"
	exit 77
}

[ "$(id -u)" = 0 ] || skip "not root"
command -v bpftrace >/dev/null || skip "bpftrace is not there (apt-get install bpftrace)"
nm "$lib" | grep -qw on_request || skip "$2 has no symbols of static functions"

program='
uprobe:LIB:on_request, uprobe:LIB:on_connection { @in[tid] = nsecs; @away[tid] = (uint64)0; }
tracepoint:sched:sched_switch /@in[args->prev_pid] && (args->prev_state & 0xff) == 0/
	{ @out[args->prev_pid] = nsecs; }
tracepoint:sched:sched_switch /@in[args->prev_pid] && (args->prev_state & 0xff) != 0/
	{ @slept[kstack(6)] = count(); }
tracepoint:sched:sched_switch /@out[args->next_pid]/
{
	@away[args->next_pid] += nsecs - @out[args->next_pid];
	delete(@out[args->next_pid]);
}
uretprobe:LIB:on_request, uretprobe:LIB:on_connection /@in[tid]/
{
	$wall = nsecs - @in[tid];
	$own = $wall - @away[tid];
	@calls = count();
	@wall_us = hist($wall / 1000);
	@own_us = hist($own / 1000);
	@wall_max_us = max($wall / 1000);
	@own_max_us = max($own / 1000);
	@turn[tid] += $own;
	if ($own > 1000000) { @own_above_1ms = count(); }
	if ($wall > 1000000) { @wall_above_1ms = count(); }
	delete(@in[tid]);
	delete(@away[tid]);
}
tracepoint:syscalls:sys_enter_epoll_wait /@turn[tid]/
{
	@turn_own_us = hist(@turn[tid] / 1000);
	@turn_own_max_us = max(@turn[tid] / 1000);
	delete(@turn[tid]);
}
END { clear(@turn); clear(@in); clear(@away); clear(@out); }'

said=$(mktemp)
trap 'rm -f "$said"' EXIT
# It looks for tracepoints in debugfs, which need not be mounted: it is, for it alone.
unshare -m sh -c 'mount -t debugfs none /sys/kernel/debug; exec bpftrace -e "$1"' sh \
	"${program//LIB/$lib}" >"$said" 2>&1 &
tracer=$!
for _ in $(seq 300); do
	grep -q Attaching "$said" && break
	kill -0 $tracer 2>/dev/null || { cat "$said"; exit 1; }
	sleep 0.1
done
# That it has said so comes before that it has done so.
sleep 3
"$bench" "$rounds" 1024 hostile
status=$?
kill -INT $tracer
wait $tracer
cat "$said"
exit $status
