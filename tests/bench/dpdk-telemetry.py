#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""dpdk-telemetry.py --vu-top PROGRAM --fleet PROGRAM --client PROGRAM [SECONDS]

Statistics of a thousand vhost queues once a second: asked of DPDK's telemetry, and looked
at by vu-top.  What it takes the one who asks, what it takes the process that is asked,
and how long it takes.  Nothing is transferred meanwhile.

An answer of dpdk-telemetry has up to 256 values, which is 12 virtqueues of a vhost port,
and a process has up to 32 ports: hence three processes.  libvu's queues are spread the
same.
"""

import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
import time
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
from stage import Context, die_with_parent  # noqa: E402

PROCESSES, PORTS, PAIRS = 3, 28, 6
QUEUES = PROCESSES * PORTS * PAIRS * 2
RUNTIME = "/var/run/dpdk"
METRICS = "/dev/shm/dpdk-telemetry-bench.prom"


def cpu_ms(pids):
    """Of all threads, by the scheduler's account."""
    total = 0
    for pid in pids:
        for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
            with open(path) as f:
                total += int(f.read().split()[0])
    return total / 1e6


def ms_a_second(pids, seconds):
    begin, cpu = time.monotonic(), cpu_ms(pids)
    time.sleep(seconds)
    return (cpu_ms(pids) - cpu) / (time.monotonic() - begin)


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit("dpdk-telemetry.py: %s: not in %d s" % (what, seconds))
        time.sleep(0.05)


class Testpmd:
    def __init__(self, ctx, number):
        self.prefix = "vu-bench%d-%d" % (os.getpid(), number)
        self.sockets = [ctx.path("%d-%d.sock" % (number, p)) for p in range(PORTS)]
        argv = ["dpdk-testpmd", "-l", "0,1", "--no-huge", "-m", "512", "--no-pci",
                "--file-prefix", self.prefix]
        argv += ["--vdev=net_vhost%d,iface=%s,queues=%d" % (p, path, PAIRS)
                 for p, path in enumerate(self.sockets)]
        argv += ["--", "-i", "--rxq=%d" % PAIRS, "--txq=%d" % PAIRS, "--rxd=128",
                 "--txd=128", "--total-num-mbufs=4096", "--nb-cores=1", "--no-mlockall"]
        self.log = ctx.path(self.prefix)
        # It ends with its input.
        with open(self.log, "w") as log:
            self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log,
                                         stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        self.telemetry = "%s/%s/dpdk_telemetry.v2" % (RUNTIME, self.prefix)

    def says(self, text, times):
        with open(self.log, errors="replace") as f:
            said = f.read()
        if self.proc.poll() is not None:
            sys.exit("dpdk-testpmd ended:\n" + said[-1000:])
        return said.count(text) >= times

    def end(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()
        shutil.rmtree(os.path.dirname(self.telemetry), ignore_errors=True)


def of_dpdk(ctx, client, seconds):
    pmds = []
    try:
        for i in range(PROCESSES):
            pmds.append(Testpmd(ctx, i))
        for p in pmds:
            wait_for("dpdk-testpmd", lambda p=p: p.says("testpmd>", 1))
        ends = ctx.start([client, "connect", str(2 * PAIRS), *sum((p.sockets for p in pmds), [])],
                         stdout=subprocess.PIPE, bufsize=1)
        if ends.stdout.readline() != "connected\n":
            sys.exit("dpdk-telemetry.py: front-ends cannot connect")
        for p in pmds:
            wait_for("queues", lambda p=p: p.says("set queue enable: 1", PORTS * PAIRS * 2))
        pids = [p.proc.pid for p in pmds]
        rest = ms_a_second(pids, seconds)
        poll = ctx.start([client, "poll", str(seconds), str(PORTS), *(p.telemetry for p in pmds)],
                         stdout=subprocess.PIPE)
        busy = ms_a_second(pids, seconds)
        out, _ = poll.communicate(timeout=60)
        if poll.returncode:
            sys.exit("dpdk-telemetry.py: no statistics")
        values, took, cpu = map(float, out.split())
        print("%-34s %10d %10.2f %10.2f %10.2f" % ("dpdk-telemetry", values, cpu,
                                                   max(busy - rest, 0), took), flush=True)
        ends.kill()
    finally:
        for p in pmds:
            p.end()


def values_of(text):
    """Numbers of counters in a sample of vu-top's in JSON, and how long it took."""
    sample = json.loads(text.splitlines()[-1])
    queues = sample["queues"]
    if len(queues) != QUEUES:
        sys.exit("dpdk-telemetry.py: vu-top sees %d queues" % len(queues))
    return sum(len(q["counters"]) for q in queues), sample["self"]["took_s"] * 1e3


def of_vu_top(ctx, name, args, pids, seconds):
    with open(os.devnull, "w") as null:
        p = ctx.start([ctx.options.vu_top, "--libvu-only", *args], stdout=null)
        # Discovery, and the memory for history, are not of every second.
        time.sleep(3)
        begin, cpu, asked = time.monotonic(), cpu_ms([p.pid]), cpu_ms(pids)
        time.sleep(seconds)
        dt = time.monotonic() - begin
        cpu, asked = (cpu_ms([p.pid]) - cpu) / dt, (cpu_ms(pids) - asked) / dt
    p.terminate()
    p.wait()
    values, took = values_of(ctx.top("--json", "-n", "3").stdout)
    print("%-34s %10d %10.2f %10.2f %10.2f" % (name, values, cpu, asked, took), flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("vu-top", "fleet", "client"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("seconds", nargs="?", type=int, default=15)
    given = parser.parse_args()
    if not shutil.which("dpdk-testpmd"):
        print("skipped: dpdk-testpmd is not installed (Debian package dpdk)")
        return
    ctx = Context(types.SimpleNamespace(vu_top=os.path.abspath(given.vu_top),
                                        fleet=os.path.abspath(given.fleet)))
    try:
        print("%d queues, once a second; ms of a processor a second, and ms for an answer"
              % QUEUES)
        print("%-34s %10s %10s %10s %10s" % ("", "values", "who asks", "asked", "took"))
        of_dpdk(ctx, os.path.abspath(given.client), given.seconds)
        pids = [ctx.fleet.new("b%d" % i, "disk%d-" % i, devices=PORTS, queues=2 * PAIRS)
                for i in range(PROCESSES)]
        for name, args in (("vu-top --csv", ["--csv"]), ("vu-top --json", ["--json"]),
                           ("vu-top --openmetrics=FILE", ["--openmetrics=" + METRICS])):
            of_vu_top(ctx, name, args, pids, given.seconds)
    finally:
        ctx.clean()
        if os.path.exists(METRICS):
            os.unlink(METRICS)


main()
