#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What vu-top costs: top-bench.py --vu-top PROGRAM --fleet PROGRAM [SECONDS]

Processor time of vu-top at one look a second, beside 1,000 queues of real back-ends, in
each way to run it, first while all rest and then while all are in use.  Latencies are
watched where they would be.
"""

import argparse
import glob
import os
import sys
import time
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
from cases_web import Server  # noqa: E402
from stage import Context  # noqa: E402

# Processes, devices of each, queues of each.
SHAPE = (10, 25, 4)


def cpu_ns(pid):
    """Of all threads, by the scheduler's account."""
    total = 0
    for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
        with open(path) as f:
            total += int(f.read().split()[0])
    return total


def part_of_a_core(pid, seconds, each_second=lambda: None):
    # Discovery, and the memory for history, are not of every second.
    time.sleep(3)
    begin, cpu = time.monotonic(), cpu_ns(pid)
    for _ in range(seconds):
        time.sleep(1)
        each_second()
    return (cpu_ns(pid) - cpu) / 1e7 / (time.monotonic() - begin)


def screen(rows, cols, keys=()):
    def run(ctx, seconds):
        t = ctx.terminal(rows=rows, cols=cols)
        t.wait("1000 queues", 20)
        t.keys(*keys)
        share = part_of_a_core(t.pid(), seconds)
        t.keys("q")
        t.wait_dead()
        t.end()
        return share
    return run


def batch(*args):
    def run(ctx, seconds):
        with open(os.devnull, "w") as null:
            p = ctx.start([ctx.options.vu_top, "--libvu-only", *args], stdout=null)
            share = part_of_a_core(p.pid, seconds)
        p.terminate()
        p.wait()
        return share
    return run


def listening(ctx, seconds):
    v = Server(ctx, "-i", "1")
    # Prometheus asks every 15 s.
    asked = [0]

    def scrape():
        asked[0] += 1
        if asked[0] % 15 == 1:
            v.ask()

    share = part_of_a_core(v.proc.pid, seconds, scrape)
    v.end()
    return share


WAYS = [("screen, 80x24, queues", screen(24, 80)),
        ("screen, 200x50, queues", screen(50, 200)),
        ("screen, 200x50, latency of all", screen(50, 200, ("4", "a", "a"))),
        ("--batch", batch("-b")), ("--json", batch("--json")), ("--csv", batch("--csv")),
        ("--openmetrics=FILE", batch("--openmetrics=/dev/shm/top-bench.prom")),
        ("--listen, asked every 15 s", listening)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vu-top", required=True)
    parser.add_argument("--fleet", required=True)
    parser.add_argument("seconds", nargs="?", type=int, default=15)
    given = parser.parse_args()
    ctx = Context(types.SimpleNamespace(vu_top=os.path.abspath(given.vu_top),
                                        fleet=os.path.abspath(given.fleet)))
    try:
        for i in range(SHAPE[0]):
            ctx.fleet.new("b%d" % i, "disk%d-" % i, devices=SHAPE[1], queues=SHAPE[2])
        rest = [run(ctx, given.seconds) for _, run in WAYS]
        for i in range(SHAPE[0]):
            ctx.fleet.do("load b%d -1 -1 20" % i)
        print("%-32s %8s %8s   (%% of a core)" % ("", "at rest", "in use"))
        for (name, run), r in zip(WAYS, rest):
            print("%-32s %8.2f %8.2f" % (name, r, run(ctx, given.seconds)), flush=True)
    finally:
        ctx.clean()
        if os.path.exists("/dev/shm/top-bench.prom"):
            os.unlink("/dev/shm/top-bench.prom")


main()
