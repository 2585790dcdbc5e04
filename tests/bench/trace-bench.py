#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What tracing costs: vu-trace beside bpftrace, in one run.

trace-bench.py --vu-trace PROGRAM --bench PROGRAM [--rounds N]
trace-bench.py --scripts DIR                       writes bpftrace's scripts, for a guest
trace-bench.py --guest VERSION --assets DIR [--rounds N]

Every round goes through all tracers in turn; a figure is the median of the rounds' medians,
or the fastest batch of all, which a busy machine disturbs less.
  traced     eventfd operations of the process that is traced
  other      the same in a process that is not
  unrelated  another system call (getppid) there
The added nanoseconds are against no tracer.  Then, in a run of their own, the kernel's
statistics of vu-trace's programs, which wall time's noise does not touch, its own
processor time and memory, and whether a million writes a second are counted without loss.

In a guest all tiers are measured, those too that this kernel refuses.  It counts the
guest's instructions and takes each for a nanosecond: nothing else on this machine shows in
the figures, but neither do caches nor what an instruction really takes.
"""

import argparse
import ctypes
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BATCHES = 101
# In a guest each is like the other, to a few instructions.
GUEST_BATCHES = 21


class Child:
    def __init__(self, argv):
        def die_with_parent():
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True,
                                     preexec_fn=die_with_parent)
        self.lines = []

    def wait_for(self, text):
        while True:
            line = self.proc.stdout.readline()
            if not line:
                sys.exit("trace-bench: %s ended:\n%s" % (self.proc.args[0], "".join(self.lines)))
            self.lines.append(line)
            if text in line:
                return line

    def end(self):
        # One that is not ready for a signal yet may miss it.
        for _ in range(10):
            self.proc.send_signal(signal.SIGINT)
            try:
                return self.proc.communicate(timeout=3)[0]
            except subprocess.TimeoutExpired:
                continue
        self.proc.kill()
        return self.proc.communicate()[0]


class Bench(Child):
    def __init__(self, program, sock):
        super().__init__([program, sock])
        _, self.pid, self.fd = self.wait_for("ready").split()

    def time(self, what, batches=BATCHES):
        self.proc.stdin.write("%s %d\n" % (what, batches))
        self.proc.stdin.flush()
        return [float(x) for x in self.proc.stdout.readline().split()]


PROGRAMS = ("enter", "leave", "waking", "switched", "fentry_write", "fexit_write", "fexit_read",
            "kprobe_write", "kprobe_read", "kretprobe_read")
BPFTRACE_COUNT = """
tracepoint:syscalls:sys_enter_write /pid == PID && args->fd == FD/ { @ = count(); }
interval:s:1 { printf("attached\\n"); }"""
# What vu-trace lat shows of such a queue: kicks, reads, time from the first kick to the read.
# Which file is read is only known when the call begins, what comes of it when it ends.
BPFTRACE_HIST = """
tracepoint:syscalls:sys_enter_write /pid == PID && args->fd == FD/ {
    @kicks = count(); if (@since == 0) { @since = nsecs; } }
tracepoint:syscalls:sys_enter_read /pid == PID && args->fd == FD/ { @reading[tid] = 1; }
tracepoint:syscalls:sys_exit_read /@reading[tid]/ {
    delete(@reading[tid]);
    if (args->ret > 0) { @reads = count(); @time = hist(nsecs - @since); @since = 0; } }
interval:s:1 { printf("attached\\n"); }"""

# The same at the functions that vu-trace's tier B takes; in guests.
BPFTRACE_KPROBES = """
kprobe:eventfd_write /pid == PID/ { @kicks = count(); if (@since == 0) { @since = nsecs; } }
kprobe:eventfd_read /pid == PID/ { @reading[tid] = 1; }
kretprobe:eventfd_read /@reading[tid]/ {
    delete(@reading[tid]);
    if (retval > 0) { @reads = count(); @time = hist(nsecs - @since); @since = 0; } }
interval:s:1 { printf("attached\\n"); }"""


def bpftrace(script, bench):
    """It looks for tracepoints in debugfs, which need not be mounted: it is, for it alone."""
    script = script.replace("PID", bench.pid).replace("FD", bench.fd)
    return ["unshare", "-m", "sh", "-c",
            "mount -t debugfs none /sys/kernel/debug; exec bpftrace -e '%s'" % script]


def tracers(options, bench):
    vu = [options.vu_trace, "lat", "-v", "-p", bench.pid]
    found = [("none", None, None)]
    check = json.loads(subprocess.run([options.vu_trace, "check", "--json"],
                                      stdout=subprocess.PIPE, text=True).stdout)
    for t in check["tiers"]:
        if t["works"] and t["tier"] in "ABC":
            found.append(("vu-trace lat, tier " + t["tier"], vu + ["--tier", t["tier"]],
                          "tracing "))
            found.append(("... --counts, " + t["tier"],
                          vu + ["--counts", "--tier", t["tier"]], "tracing "))
            if t["tier"] == "C":
                found.append(("... --no-syscalls, C", vu + ["--tier", "C", "--no-syscalls"],
                              "tracing "))
    if subprocess.run(["which", "bpftrace"], stdout=subprocess.DEVNULL).returncode == 0:
        # The last point of theirs says that all are attached.
        found.append(("bpftrace, count", bpftrace(BPFTRACE_COUNT, bench), "attached"))
        found.append(("bpftrace, histogram", bpftrace(BPFTRACE_HIST, bench), "attached"))
    else:
        print("bpftrace is not there: nothing to compare with")
    return found


def attach(argv, text):
    if not argv:
        return None
    t = Child(argv)
    t.wait_for(text)
    return t


COLUMNS = (("traced write", 0, "write"), ("traced write+read", 0, "pair"),
           ("other write", 1, "write"), ("unrelated call", 1, "getppid"))


def measure(options, benches):
    known = {}
    todo = tracers(options, benches[0])
    for n in range(options.rounds):
        for name, argv, text in todo:
            if sys.stderr.isatty():
                sys.stderr.write("\r\033[Kround %d of %d: %s" % (n + 1, options.rounds, name))
            t = attach(argv, text)
            for column, which, what in COLUMNS:
                known.setdefault((name, column), []).append(benches[which].time(what))
            if t:
                t.end()
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    return [name for name, _, _ in todo], known


def table(names, known, what, pick):
    ns = {k: pick(v) for k, v in known.items()}
    print("\nns an operation, %s; added to no tracer in brackets" % what)
    print("%-26s" % "" + "".join("%22s" % c for c, _, _ in COLUMNS))
    for name in names:
        row = "%-26s" % name
        for column, _, _ in COLUMNS:
            v = ns[name, column]
            row += "%22s" % ("%.0f (%+.0f)" % (v, v - ns["none", column]))
        print(row)
    if what == "medians":
        return
    for ours in names:
        lat = ours.startswith("vu-trace")
        if not lat and "--counts" not in ours:
            continue
        column = "traced write+read" if lat else "traced write"
        rivals = ["bpftrace, histogram" if lat else "bpftrace, count"]
        if ours == "vu-trace lat, tier B":
            rivals.append("bpftrace, kprobes")
        for rival in rivals:
            if rival not in names:
                continue
            a = ns[ours, column] - ns["none", column]
            b = ns[rival, column] - ns["none", column]
            print("%s: added by %s / by %s: %.2f (wanted: 0.50 at most)" % (
                column, ours, rival, a / b))
    for name in names:
        if "no-syscalls" in name or "tier A" in name or "tier B" in name:
            print("unrelated call, %s: %+.1f %% (wanted: within 2 %%)" % (
                name, 100 * (ns[name, "unrelated call"] / ns["none", "unrelated call"] - 1)))


def print_programs(found):
    print("%-16s %10s %10s %14s" % ("program", "runs", "ns a run", "machine bytes"))
    for p in found:
        if p.get("name") in PROGRAMS and p.get("run_cnt"):
            print("%-16s %10d %10.0f %14d" % (p["name"], p["run_cnt"],
                                              p["run_time_ns"] / p["run_cnt"],
                                              p["bytes_jited"]))


def statistics_of_programs(options, bench):
    """The kernel's own: runs, ns a run, instructions; and what vu-trace itself takes."""
    switch = "/proc/sys/kernel/bpf_stats_enabled"
    with open(switch) as f:
        before = f.read()
    with open(switch, "w") as f:
        f.write("1")
    try:
        t = attach([options.vu_trace, "lat", "-v", "-p", bench.pid], "tracing ")
        bench.time("pair")
        out = subprocess.run(["bpftool", "prog", "list", "-j"], stdout=subprocess.PIPE,
                             env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin"))
        print()
        print_programs(json.loads(out.stdout))
        with open("/proc/%d/status" % t.proc.pid) as f:
            memory = re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)
        with open("/proc/%d/stat" % t.proc.pid) as f:
            before_cpu = sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])
        begin = time.monotonic()
        while time.monotonic() - begin < 3:
            bench.time("pair", 5)
        with open("/proc/%d/stat" % t.proc.pid) as f:
            cpu = sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13]) - before_cpu
        print("vu-trace itself: %s KiB, %.1f %% of a processor" % (
            memory, cpu / os.sysconf("SC_CLK_TCK") / 3 * 100))
        t.end()
    finally:
        with open(switch, "w") as f:
            f.write(before)


def flood(options, bench):
    t = attach([options.vu_trace, "lat", "--json", "-v", "-p", bench.pid], "tracing ")
    begin = time.monotonic()
    batches = 2001
    bench.time("write", batches)
    took = time.monotonic() - begin
    out = t.end()
    found = json.loads(next(x for x in out.splitlines() if x.startswith("{")))
    counted = found["queues"][0]["kicks"]
    print("\n%d writes in %.1f s (%.2f million a second): %d counted%s" % (
        batches * 1000, took, batches * 1000 / took / 1e6, counted,
        "" if counted == batches * 1000 else ", %d LOST" % (batches * 1000 - counted)))
    return counted == batches * 1000


def in_guest(options):
    """All of it inside a guest, which says what comes of it."""
    at = options.assets
    g = Child(["qemu-system-x86_64", "-accel", "tcg", "-icount", "shift=0", "-machine", "q35",
               "-cpu", "max,cx16=off", "-m", "2048", "-nodefaults", "-display", "none", "-vga",
               "none", "-nic", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none",
               "-kernel", os.path.join(at, options.guest, "kernel"),
               "-initrd", os.path.join(at, "initrd-" + options.guest), "-append",
               "console=ttyS0 panic=-1 quiet vu.bench=%d:%d" % (
                   options.rounds, GUEST_BATCHES)])
    known, names, programs = {}, [], []
    while True:
        line = g.wait_for("VU-").strip()
        word, _, rest = line[line.index("VU-"):].partition(" ")
        if word == "VU-BENCH":
            name, *row = rest.split("|")
            if name not in names:
                names.append(name)
            for (column, _, _), figures in zip(COLUMNS, row):
                known.setdefault((name, column), []).append(
                    [float(x) for x in figures.split()])
        elif word == "VU-PROGS":
            programs.append(rest.split(" ", 1))
        elif word == "VU-FAILED":
            sys.exit("trace-bench: the guest: " + line)
        elif word == "VU-DONE":
            break
    table(names, known, "medians", lambda v: statistics.median(x[0] for x in v))
    table(names, known, "fastest batches", lambda v: min(x[1] for x in v))
    for tier, found in programs:
        print("\ntier " + tier)
        print_programs(json.loads(found))
    return 0


def write_scripts(to):
    os.makedirs(to, exist_ok=True)
    for name, script in (("count", BPFTRACE_COUNT), ("histogram", BPFTRACE_HIST),
                         ("kprobes", BPFTRACE_KPROBES)):
        with open(os.path.join(to, name), "w") as f:
            f.write(script + "\n")
    return 0


def main():
    parser = argparse.ArgumentParser()
    for name in ("vu-trace", "bench", "scripts", "guest", "assets"):
        parser.add_argument("--" + name)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.scripts:
        return write_scripts(options.scripts)
    if options.guest:
        return in_guest(options)
    with tempfile.TemporaryDirectory() as work:
        benches = [Bench(options.bench, os.path.join(work, n)) for n in ("a", "b")]
        names, known = measure(options, benches)
        table(names, known, "medians", lambda v: statistics.median(x[0] for x in v))
        table(names, known, "fastest batches", lambda v: min(x[1] for x in v))
        statistics_of_programs(options, benches[0])
        return 0 if flood(options, benches[0]) else 1


sys.exit(main())
