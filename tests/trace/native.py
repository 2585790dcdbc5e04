# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases on this machine's own kernel: a tiny guest under KVM, whose kicks are counted."""

import concurrent.futures
import json
import os
import signal
import subprocess
import threading
import time

from tools import (Failed, Machine, Process, Talker, Trace, expect, programs_left, run,
                   wait_until)


def lat(ctx, machine, *args):
    return Trace(ctx.options.vu_trace, "lat", "--json", "-p", str(machine.pid()), *args)


def check_counts(found, counts, in_kernel=True):
    """What vu-trace counted of each queue against what the machine says it did."""
    queues = {q["name"].rsplit(":", 1)[1]: q for q in found["queues"]}
    for c in counts:
        q = queues.get(str(c["queue"]))
        if not q:
            raise Failed("no queue %d in %s" % (c["queue"], found))
        where = "queue %d " % c["queue"]
        expect(where + "kicks", q["kicks"], c["kicks"])
        expect(where + "reads", q["reads"], c["reads"])
        expect(where + "coalesced", q["coalesced"], c["kicks"] - c["reads"])
        expect(where + "calls", q["calls"], c["calls"])
        expect(where + "notified", q["notified"], c["kicks"] if in_kernel else 0)
        expect(where + "injected", q["injected"], c["calls"] if in_kernel else 0)
        expect(where + "with or without a wake-up", q["no_wake"] +
               q["stages"].get("signal-wake", {"count": 0})["count"], c["reads"])
        expect(where + "read-call", q["stages"]["read-call"]["count"], c["calls"])


def counted(ctx, *options):
    m = Machine(ctx, *options)
    t = lat(ctx, m)
    counts = m.go()
    check_counts(t.finish()[-1], counts, "--no-kvm" not in options)
    m.end()
    return "kicks=%d" % sum(c["kicks"] for c in counts)


def ports(ctx):
    return counted(ctx, "--turns", "2000", "--queues", "2")


def memory(ctx):
    return counted(ctx, "--mmio", "--turns", "2000", "--queues", "4")


def bursts(ctx):
    return counted(ctx, "--mmio", "--turns", "100000", "--burst")


def written(ctx):
    return counted(ctx, "--no-kvm", "--turns", "3000", "--queues", "3")


def io_uring(ctx):
    """Kicks, reads and calls that are no system calls."""
    m = Machine(ctx, "--no-kvm", "--uring", "--turns", "500", "--queues", "2", back=("--uring",))
    t = lat(ctx, m)
    counts = m.go()
    check_counts(t.finish()[-1], counts, in_kernel=False)
    m.end()


def reconnect(ctx):
    """One after the other on the same socket: each is followed, by the socket's path."""
    first = Machine(ctx, "--turns", "100")
    t = Trace(ctx.options.vu_trace, "lat", "--json", "--socket", first.sock)
    first.go()
    first.end()
    wait_until("the end of the first", lambda: any("following 0" in x for x in t.lines))
    second = Machine(ctx, "--turns", "200", "--queues", "2")
    wait_until("the second", lambda: any("following 2" in x for x in t.lines))
    counts = second.go()
    queues = t.finish()[-1]["queues"]
    second.end()
    expect("kicks of all", sorted(q["kicks"] for q in queues), [100, 200, 200])
    expect("calls of the second", [c["calls"] for c in counts], [200, 200])


def slow_ones_only(ctx):
    """The kernel hands over whole rounds, and only those that took long."""
    m = Machine(ctx, "--turns", "100", back=("--late-us", "20000", "--late-at", "50"))
    t = Trace(ctx.options.vu_trace, "stream", "--json", "--min-latency", "15ms", "-p",
              str(m.pid()))
    m.go()
    events = t.finish()[:-1]
    late = [e for e in events if e["event"] == "round"]
    expect("events", len(events), len(late))
    if not late or min(e["value"] for e in late) < 15e6 or len(late) > 20:
        raise Failed("rounds handed over: %s" % [e["value"] for e in late])
    m.end()


def table(ctx):
    """Every row of the map, from KVM's tables alone."""
    m = Machine(ctx, "--queues", "8", "--mmio")
    found = json.loads(run(ctx.options.vu_trace, "map", "--json", "-p", str(m.pid())))
    expect("queues", [q["queue"] for q in found["queues"]], list(range(8)))
    for q in found["queues"]:
        i = q["queue"]
        expect("kick's source", (q["kick"]["source"], q["kick"]["confidence"]),
               ("kvm", "certain"))
        # kvmlet makes all kicks, then all calls, and hands them over in turns.
        expect("kick's fds", (q["kick"]["vmm_fd"], q["kick"]["backend_fd"]), (7 + i, 6 + 2 * i))
        expect("call's fds", (q["call"]["vmm_fd"], q["call"]["backend_fd"]), (15 + i, 7 + 2 * i))
        expect("address", q["notify"]["address"], hex(0xd0000 + 4 * i))
        expect("interrupt", q["interrupt"]["data"], hex(0x4041 + i))
        expect("mode", q["mode"], "interrupt")
    dot = run(ctx.options.vu_trace, "map", "--dot", "-p", str(m.pid()))
    expect("edges", dot.count("->"), 8 * 3)
    m.end()


def selectors(ctx):
    m = Machine(ctx, "--queues", "8")
    other = Machine(ctx, "--queues", "2", name="other.sock")
    for args, wanted in ((("-q", "1-2,5"), 4), (("--socket", m.sock), 8),
                         (("--device", "other.sock"), 2), (("--device", "let.sock"), 8),
                         (("--vm", str(other.pid())), 2), (("-p", str(m.back.proc.pid)), 8),
                         (("-p", "%d,%d" % (m.pid(), other.pid())), 10)):
        pids = () if "-p" in args else ("-p", "%d,%d" % (m.pid(), other.pid()))
        found = json.loads(run(ctx.options.vu_trace, "map", "--json", *pids, *args))
        expect(" ".join(args), len(found["queues"]), wanted)
    t = lat(ctx, m, "-q", "3", "--role", "kick")
    counts = m.go()
    found = t.finish()[-1]["queues"]
    expect("queues counted", [q["name"].rsplit(":", 1)[1] for q in found], ["3"])
    expect("kicks and calls", (found[0]["kicks"], found[0]["calls"]), (counts[3]["kicks"], 0))
    m.end()
    other.end()
    s = Scene(ctx, "idle")
    pid = str(s.backend)
    for args, found in ((("-q", "0"), True), (("-q", "1"), False), (("--device", "disk"), True),
                        (("--role", "request"), True), (("--role", "rx,tx"), False),
                        (("--vm", str(s.proc.pid)), True), (("--vm", "other"), False)):
        s.trace(ctx, "map", "-p", pid, *args, status=0 if found else 1)
    # Every other command that looks.
    for command in (("stuck",), ("stream", "-d", "0.1"), ("lat", "-d", "0.1"),
                    ("record", "-d", "0.1", "-o", ctx.path("some.vut")),
                    ("poke", "call", "--yes")):
        s.trace(ctx, *command, "-p", pid, "--device=disk", "--role=request", "-q", "0-3")
        s.trace(ctx, *command, "-p", pid, "--role=rx", status=1)
    s.end()
    sides = json.loads(run(ctx.options.vu_trace, "map", "--json", "--role", "call", "-p",
                           str(start_machine(ctx, "sides.sock").pid())))["queues"][0]
    expect("sides", (bool(sides["kick"]), bool(sides["call"])), (False, True))


def start_machine(ctx, name):
    return Machine(ctx, name=name)


def selected_of_files(ctx):
    """The same selectors leave as much in a file."""
    file = recorded(ctx)
    vt = ctx.options.vu_trace
    rows = [json.loads(x) for x in run(vt, "export", "--json", file).splitlines()]
    for args, keeps in ((("-q", "1"), lambda e: e.get("queue", "").endswith(":1")),
                        (("--device", "let.sock"), lambda e: True),
                        (("--kinds", "read,round"), lambda e: e["event"] in ("read", "round")),
                        (("--role", "call"),
                         lambda e: e["event"] in ("call", "inject", "round", "msg"))):
        left = [json.loads(x) for x in run(vt, "export", "--json", *args, file).splitlines()]
        wanted = [e for e in rows if keeps(e)]
        expect("left by " + " ".join(args), len(left), len(wanted))
        expect("left by " + " ".join(args), left, wanted)
    if "let.sock:0" in run(vt, "report", "-q", "1", file):
        raise Failed("report shows a queue that was not selected")
    for args, status in ((("-q", "7"), 1), (("--vm", "other"), 1), (("--role", "rx"), 2)):
        run(vt, "report", *args, file, status=status)


def message_names(ctx):
    """A connection made under the tracer's eyes: the messages say which is which."""
    sock = os.path.join(ctx.workdir, "late.sock")
    back = Process([ctx.options.kvmlet, "--back-end", sock])
    ctx.children.append(back)
    back.wait_for("listening", 10)
    t = Trace(ctx.options.vu_trace, "lat", "--json", "--socket", sock, "-p",
              str(back.proc.pid))
    vmm = Talker([ctx.options.kvmlet, "--no-kvm", "--queues", "2", "--turns", "500", sock])
    ctx.children.append(vmm)
    vmm.wait_for("ready", 10)
    # It follows within a second; the guest starts after that.
    wait_until("the new queues", lambda: followed(ctx, t))
    vmm.tell("go")
    counts = []
    for _ in range(2):
        line = vmm.wait_for("done ", 30)
        counts.append(dict((k, int(v)) for k, v in
                           (w.split("=") for w in line.split()[1:])))
    found = t.finish()[-1]
    check_counts(found, counts, in_kernel=False)


def followed(ctx, trace):
    return any("follow" in line and " 2 queues" in line for line in trace.lines)


def stream(ctx):
    """Events of each round in the order of things, as many as happened."""
    m = Machine(ctx, "--turns", "300")
    t = Trace(ctx.options.vu_trace, "stream", "--json", "-p", str(m.pid()))
    m.go()
    events = t.finish()
    kinds = [e["event"] for e in events]
    for kind in ("notify", "signal", "read", "call", "inject"):
        expect(kind, kinds.count(kind), 300)
    end = events[-1]
    expect("end", end["event"], "end")
    expect("lost", sum(end["lost"].values()), 0)
    order = [e for e in sorted(events[:-1], key=lambda e: e["mono_ns"])
             if e["event"] in ("read", "call")]
    expect("read and call in turns", [e["event"] for e in order], ["read", "call"] * 300)
    woken = {e["woken"] for e in events if e["event"] == "wake"}
    expect("woken threads", woken, {m.back.proc.pid})
    m.end()


def stream_sampled(ctx):
    m = Machine(ctx, "--turns", "400")
    t = Trace(ctx.options.vu_trace, "stream", "--json", "--kinds", "call", "--sample", "10",
              "-p", str(m.pid()))
    m.go()
    events = t.finish()
    n = sum(e["event"] == "call" for e in events)
    if not 30 <= n <= 50:
        raise Failed("%d calls of 400, not about one of 10" % n)
    m.end()


def losses_told(ctx):
    """A buffer too small for what happens: what is lost is told, by kind, and exact."""
    m = Machine(ctx, "--turns", "20000", "--mmio")
    t = Trace(ctx.options.vu_trace, "stream", "--json", "--buffer", "4096", "-p", str(m.pid()))
    t.proc.send_signal(signal.SIGSTOP)
    counts = m.go()
    t.proc.send_signal(signal.SIGCONT)
    events = t.finish()
    lost = events[-1]["lost"]
    got = sum(e["event"] == "call" for e in events)
    if not lost["call"]:
        raise Failed("nothing lost of %d calls: %s" % (counts[0]["calls"], events[-1]))
    expect("calls got and lost", got + lost["call"], counts[0]["calls"])
    m.end()


def nothing_left(ctx):
    """After any end, kill -9 too, nothing of vu-trace is attached."""
    m = Machine(ctx)
    file = ctx.path("cut.vut")
    for sig, args in ((signal.SIGINT, ("lat",)), (signal.SIGTERM, ("stream",)),
                      (signal.SIGKILL, ("lat",)), (signal.SIGKILL, ("record", "-o", file))):
        t = Trace(ctx.options.vu_trace, *args, "-p", str(m.pid()))
        if not programs_left():
            raise Failed("bpftool sees no program while vu-trace runs")
        t.end(sig, 20)
        # The kernel lets go of the last programs a moment after the process has gone.
        wait_until("no program is left after signal %d: %s" % (sig, programs_left()),
                   lambda: not programs_left(), 10)
    m.end()


def bad_words(ctx):
    vt = ctx.options.vu_trace
    for args, status, text in (
            (["nonsense"], 2, "no such command"), ([], 2, "which command"),
            (["map", "-p", "x"], 2, "--pid"), (["lat", "-i", "-1"], 2, "not a time"),
            (["stream", "--tier", "Q"], 2, "--tier"), (["stream", "--kinds", "what"], 2, "--kinds"),
            (["map", "--heat"], 2, "map: --heat is not for it"), (["lat", "-i"], 2, "missing"),
            (["map", "--what"], 2, "no such option"), (["--completion=x"], 2, "not bash"),
            (["--list-probes", "--heat"], 2, "not for it"),
            (["map", "extra"], 2, "not expected"), (["lat", "--buffer", "5000"], 2, "power of 2"),
            (["map", "--vm="], 2, "a name is missing"), (["map", "--role", "x"], 2, "--role"),
            (["map", "-p", ""], 2, "--pid"), (["stream", "-q", ""], 2, "--queues"),
            (["stuck", "--role", "kick"], 2, "both sides"), (["poke", "kick"], 2, "are needed"),
            (["map", "--vm", "nobody"], 1, "no queue is selected by --vm=nobody"),
            (["stuck", "-q", "999"], 1, "no queue is selected by -q 999"),
            (["poke", "kick", "a:b:0", "--yes"], 1, "queue"),
            (["lat", "--vm", "nobody", "-d", "0.1"], 1, "no queue came"),
            (["stream", "--tier=E", "--sample", "2"], 1, "no single rounds"),
            (["map", "-p", "4000000"], 1, "there is none"),
            (["lat", "-p", "4000000"], 1, "there is none"),
            (["map", "-p", str(os.getpid())], 1, "has no eventfds")):
        out = run(vt, *args, status=status)
        if text not in out:
            raise Failed("vu-trace %s: %s" % (" ".join(args), out))
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all",
                           "--bounding-set=-all", vt, "lat"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    expect("status without rights", done.returncode, 1)
    expect("lines without rights", len(done.stdout.splitlines()), 1)
    if "not permitted" not in done.stdout:
        raise Failed("without rights: " + done.stdout)


# --- delays, and what is slow ---

def stages_of(found):
    return found["queues"][0]["stages"]


def slow_handler(ctx):
    """5 ms in the handler are between read and call, in every round, and nowhere else."""
    m = Machine(ctx, "--turns", "50", back=("--handle-us", "5000"))
    t = lat(ctx, m)
    m.go()
    found = t.finish()[-1]
    s = stages_of(found)
    expect("rounds", s["read-call"]["count"], 50)
    # A busy machine makes it longer, but not short.
    if not 4.9e6 <= s["read-call"]["p50_ns"] <= 20e6 or s["read-call"]["sum_ns"] < 50 * 4.9e6:
        raise Failed("read-call: %s" % s["read-call"])
    if s["signal-wake"]["p50_ns"] > 2e6 or s["run-read"]["p50_ns"] > 2e6:
        raise Failed("other stages are slow too: %s" % s)
    expect("the slowest", len(found["slowest"]), 10)
    for r in found["slowest"]:
        if r["at"]["call"] - r["at"]["read"] < 4.9e6:
            raise Failed("a slow one without the delay: %s" % r)
    m.end()


def stopped_worker(ctx):
    """A back-end that may not run: the delay is between wake-up and processor."""
    m = Machine(ctx, "--turns", "5", "--no-kvm")
    t = lat(ctx, m)
    m.back.proc.send_signal(signal.SIGSTOP)
    m.vmm.tell("go")
    time.sleep(0.3)
    m.back.proc.send_signal(signal.SIGCONT)
    m.vmm.wait_for("done ", 20)
    s = stages_of(t.finish()[-1])
    late = max(s[k]["max_ns"] for k in ("signal-wake", "wake-run", "run-read", "signal-read")
               if k in s)
    if late < 0.25e9:
        raise Failed("no stage before the read shows 0.3 s: %s" % s)
    if s["read-call"]["max_ns"] > 0.2e9:
        raise Failed("the delay is after the read: %s" % s)
    m.end()


def flood(ctx):
    """A million writes as fast as they go: none is lost, with and without times."""
    program = os.path.join(os.path.dirname(ctx.options.kvmlet), "../bench/trace-bench")
    b = Talker([program, ctx.path("flood.sock")])
    ctx.children.append(b)
    pid = b.wait_for("ready ", 10).split()[1]
    rates = []
    for args in ((), ("--counts",)):
        t = Trace(ctx.options.vu_trace, "lat", "--json", "-p", pid, *args)
        begin = time.monotonic()
        b.tell("write 1000")
        b.wait_for(".", 60)
        rates.append(1 / (time.monotonic() - begin))
        expect("kicks", t.finish()[-1]["queues"][0]["kicks"], 1000000)
    return "%.1f and %.1f million a second" % tuple(rates)


# --- files ---

def recorded(ctx, *args, turns=150):
    m = Machine(ctx, "--turns", str(turns), "--queues", "2")
    file = ctx.path("trace.vut")
    t = Trace(ctx.options.vu_trace, "record", "-o", file, "-p", str(m.pid()), *args)
    m.go()
    expect("status of record", t.end(signal.SIGINT, 30), 0)
    m.end()
    return file


def record_and_report(ctx):
    file = recorded(ctx)
    out = run(ctx.options.vu_trace, "report", file)
    for q in (0, 1):
        if "let.sock:%d (kvmlet-back" % q not in out:
            raise Failed("no queue %d:\n%s" % (q, out))
    expect("kicks of each", out.count("kicks 150, notify 150, signal 150"), 2)
    rows = run(ctx.options.vu_trace, "export", "--csv", file).splitlines()
    expect("reads in the CSV", sum(",read," in "," + r for r in rows), 300)
    lines = [json.loads(line) for line in
             run(ctx.options.vu_trace, "export", "--json", file).splitlines()]
    expect("rounds in the JSON", sum(e["event"] == "round" for e in lines), 300)
    times = [e["mono_ns"] for e in lines]
    expect("in order of time", times, sorted(times))


def ended_in_the_midst(ctx):
    """What was handed over before the end is in the file: nothing is missing, nor said to be."""
    m = Machine(ctx, "--turns", "1000000", "--write", "--no-kvm")
    file = ctx.path("trace.vut")
    t = Trace(ctx.options.vu_trace, "record", "-o", file, "--buffer", "67108864", "-p", str(m.pid()))
    m.vmm.tell("go")
    wait_until("events in the file",
               lambda: os.path.exists(file) and os.path.getsize(file) > 1 << 20)
    expect("status of record", t.end(signal.SIGINT, 30), 0)
    if any(" lost" in line for line in t.lines):
        raise Failed("\n".join(t.lines))
    expect("losses", "lost" in run(ctx.options.vu_trace, "report", file), False)


def chrome(ctx):
    """Valid JSON, every arrow whole and on a span, times monotonic, tracks named."""
    file = recorded(ctx)
    out = ctx.path("trace.json")
    run(ctx.options.vu_trace, "export", "--chrome", "-o", out, file)
    with open(out) as f:
        events = json.load(f)["traceEvents"]
    times = [e["ts"] for e in events if e["ph"] != "M"]
    expect("times monotonic", times, sorted(times))
    arrows = {}
    for e in events:
        if e["ph"] in "stf":
            arrows.setdefault(e["id"], []).append(e)
    expect("arrows", len(arrows), 300)
    spans = {}
    for e in events:
        if e["ph"] == "X":
            spans.setdefault((e["pid"], e["tid"]), []).append((e["ts"], e["ts"] + e["dur"]))
    for steps in arrows.values():
        expect("steps of an arrow", [e["ph"] for e in steps], ["s", "t", "f"])
        for e in steps:
            if not any(a <= e["ts"] <= b + 0.001 for a, b in spans[(e["pid"], e["tid"])]):
                raise Failed("an arrow on no span: %s" % e)
    named = {(e["pid"], e["tid"]) for e in events if e["ph"] == "M"}
    for track in spans:
        if track not in named:
            raise Failed("track %s has no name" % (track,))


def bad_files(ctx):
    """Cut, foreign and damaged files: a line each, and never more than was there."""
    file = recorded(ctx, turns=40)
    with open(file, "rb") as f:
        whole = f.read()
    bad = ctx.path("bad.vut")

    def report(data):
        with open(bad, "wb") as f:
            f.write(data)
        out = run(ctx.options.vu_trace, "report", bad, status=1)
        return [line for line in out.splitlines() if line.startswith("vu-trace:")]

    for n in (0, 3, 8, 20, 100, 500, len(whole) // 2, len(whole) - 1):
        expect("lines of one cut at %d" % n, len(report(whole[:n])), 1)
    for at in (9, 13, 17, 60, 200, len(whole) // 2, len(whole) - 5):
        broken = bytearray(whole)
        broken[at] ^= 0x40
        expect("lines of one spoilt at %d" % at, len(report(bytes(broken))), 1)
    expect("lines of another", len(report(b"#!/bin/sh\n" * 100)), 1)
    out = run(ctx.options.vu_trace, "report", "/nonexistent", status=1)
    if "No such file" not in out:
        raise Failed(out)
    out = run(ctx.options.vu_trace, "record", "-o", "/dev/full", "-d", "0.2", status=1)
    if "No space left" not in out:
        raise Failed(out)


def full_disk(ctx):
    """A file system without room: a line, nothing left behind, what is there can be read."""
    m = Machine(ctx, "--turns", "20000", "--mmio")
    at = ctx.path("small")
    os.mkdir(at)
    run("mount", "-t", "tmpfs", "-o", "size=256k", "small", at)
    try:
        t = Trace(ctx.options.vu_trace, "record", "-o", at + "/t.vut", "-p", str(m.pid()))
        m.vmm.tell("go")
        t.wait_for("No space left", 60)
        expect("status", t.proc.wait(20), 1)
        m.vmm.wait_for("done ", 60)
        wait_until("the end of all programs", lambda: not programs_left(), 10)
        out = run(ctx.options.vu_trace, "report", at + "/t.vut", status=1)
        if "cut: only what is in its first" not in out or "let.sock:0" not in out:
            raise Failed(out)
    finally:
        run("umount", at)
    m.end()


def ends_by_itself(ctx):
    """The process that was asked for ends: so does the tracer, and tells what it has seen."""
    m = Machine(ctx, "--turns", "20")
    t = lat(ctx, m)
    m.go()
    m.end()
    t.wait_for("has ended", 20)
    expect("status", t.proc.wait(20), 0)
    expect("kicks", t.json()[-1]["queues"][0]["kicks"], 20)


def flight_recorder(ctx):
    """What came before latency was bad is kept, and only then written."""
    m = Machine(ctx, "--turns", "400", back=("--late-us", "400000", "--late-at", "300"))
    file = ctx.path("flight.vut")
    t = Trace(ctx.options.vu_trace, "record", "-o", file, "--trigger", "max>300ms", "-p",
              str(m.pid()))
    m.vmm.tell("go")
    t.wait_for("max>300ms reached", 30)
    expect("status", t.proc.wait(20), 0)
    lines = [json.loads(line) for line in
             run(ctx.options.vu_trace, "export", "--json", file).splitlines()]
    late = [e for e in lines if e["event"] == "round" and e["value"] > 390e6]
    expect("late rounds", len(late), 1)
    before = sum(e["event"] == "read" and e["mono_ns"] < late[0]["mono_ns"] for e in lines)
    if before < 290:
        raise Failed("only %d reads before it" % before)
    m.end()


# --- stuck queues ---

# The same user, and none of his rights.
NO_RIGHTS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")


class Scene(Talker):
    def __init__(self, ctx, name, prefix=()):
        super().__init__([*prefix,
                          os.path.join(os.path.dirname(ctx.options.kvmlet), "scene"), name])
        ctx.children.append(self)
        self.prefix = prefix
        line = self.wait_for("scene ", 20)
        _, pid, self.run_dir = line.split()
        self.backend = int(pid)

    def trace(self, ctx, *args, status=0):
        done = subprocess.run([*self.prefix, ctx.options.vu_trace, *args], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60,
                              env=dict(os.environ, LIBVU_RUN_DIR=self.run_dir))
        if done.returncode != status:
            raise Failed("vu-trace %s ended with %d\n%s%s" % (
                " ".join(args), done.returncode, done.stdout, done.stderr))
        self.said = done.stderr
        return done.stdout


def judged(ctx, name, verdict, status):
    s = Scene(ctx, name)
    out = s.trace(ctx, "stuck", "--all", "--json", "-p", str(s.backend), status=status)
    expect("verdict on " + name, [json.loads(line)["verdict"] for line in out.splitlines()],
           [verdict])
    s.end()


def stuck(ctx):
    scenes = (("idle", "IDLE", 0), ("polling", "IDLE", 0), ("suppressed", "CALL_SUPPRESSED", 0),
              ("unread-kick", "KICK_NOT_WATCHED", 1), ("swallowed-call", "CALL_LOST", 1),
              ("unconsumed-call", "CALL_UNCONSUMED", 1), ("held", "BACKEND_IO_STALLED", 1),
              ("sleeping", "BACKEND_STALLED", 1),
              ("kick-before-enable", "KICK_EATEN_BEFORE_ENABLE", 1))
    # They mostly wait.
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(judged, ctx, *s) for s in scenes]:
            done.result()


def stuck_evidence(ctx):
    """A kick that is read under the tracer's eyes, and not served, is no lost kick."""
    s = Scene(ctx, "swallowed-kick")
    t = Talker([ctx.options.vu_trace, "stuck", "--watch", "--json", "-v", "-p", str(s.backend)],
               env=dict(os.environ, LIBVU_RUN_DIR=s.run_dir))
    ctx.children.append(t)
    t.wait_for("tracing", 30)
    s.tell("kick")
    t.wait_for("KICK_CONSUMED_NO_WORK", 30)
    expect("status of the last look", t.end(signal.SIGINT, 20), 1)
    s.end()


def stuck_untold(ctx):
    """A back-end whose ring nobody tells of: kicks that stay unread are seen all the same."""
    m = Machine(ctx, "--no-kvm", "--turns", "3")
    args = ("stuck", "--json", "--all", "-p", str(m.pid()))
    for tier in ((), ("--tier=E",)):
        out = run(ctx.options.vu_trace, *args, *tier, status=1)
        expect("verdict at rest", json.loads(out.splitlines()[0])["verdict"], "UNSEEN")
    m.back.proc.send_signal(signal.SIGSTOP)
    m.vmm.tell("go")
    time.sleep(0.2)
    for tier in ((), ("--tier=E",)):
        out = run(ctx.options.vu_trace, *args, *tier, status=1)
        expect("verdict when stopped", json.loads(out.splitlines()[0])["verdict"], "STUCK")
    m.back.proc.send_signal(signal.SIGCONT)
    m.vmm.wait_for("done ", 10)
    m.end()


def poke(ctx):
    for name, which, moved, word in (
            ("kick-before-enable", "kick", True, "a kick was missing"),
            ("swallowed-call", "call", True, "a call was missing"),
            ("sleeping", "kick", False, "not for want of a kick"),
            ("unconsumed-call", "call", False, "not for want of a call")):
        s = Scene(ctx, name)
        found = json.loads(s.trace(ctx, "map", "--json", "-p", str(s.backend)))
        queue = found["queues"][0]["name"]
        s.trace(ctx, "poke", which, queue, status=2)
        told = json.loads(s.trace(ctx, "poke", which, queue, "--yes", "--json"))
        expect("moved, " + name, told["moved"], moved)
        if word not in told["means"]:
            raise Failed("%s: %s" % (name, told))
        s.end()
    s = Scene(ctx, "idle")
    s.trace(ctx, "poke", "kick", "nobody:0:0", "--yes", status=1)
    # One that moves by itself proves nothing.
    ended = threading.Event()
    feeder = threading.Thread(target=feed, args=(s, ended), daemon=True)
    feeder.start()
    told = json.loads(s.trace(ctx, "poke", "call", "-p", str(s.backend), "--yes", "--json"))
    ended.set()
    feeder.join()
    expect("moved and proves", (told["moved"], told["means"]),
           (True, "it was moving before: this proves nothing"))
    s.end()


def feed(scene, ended):
    while not ended.wait(0.01):
        scene.tell("kick")


def tier_e(ctx):
    """Without BPF: what the counters in /proc show."""
    m = Machine(ctx, "--no-kvm", "--turns", "3")
    t = Trace(ctx.options.vu_trace, "stream", "--json", "--tier", "E", "-i", "0.01", "-p",
              str(m.pid()))
    m.back.proc.send_signal(signal.SIGSTOP)
    m.vmm.tell("go")
    t.wait_for('"event":"signal"', 10)
    m.back.proc.send_signal(signal.SIGCONT)
    t.wait_for('"event":"read"', 10)
    m.vmm.wait_for("done ", 10)
    first = t.finish()[0]
    expect("the first", (first["event"], first["tier"], first["value"]), ("signal", "E", 1))
    m.end()


def tier_e_lat(ctx):
    """Without BPF: libvu's own counters and histograms, polled; counts are the driver's."""
    s = Scene(ctx, "idle")
    t = Talker([ctx.options.vu_trace, "lat", "--json", "--tier=E", "-i", "0.3", "-p",
                str(s.backend)], env=dict(os.environ, LIBVU_RUN_DIR=s.run_dir))
    ctx.children.append(t)
    t.wait_for('"queues"', 20)
    for _ in range(40):
        s.tell("kick")
    wait_until("all kicks", lambda: e_total(t, "pushes") >= 40)
    expect("status", t.end(signal.SIGINT, 20), 0)
    for what in ("kicks", "available", "pops", "pushes"):
        expect(what, e_total(t, what), 40)
    rows = [q for line in e_lines(t) for q in line["queues"]]
    for stage in ("read-pop", "pop-push"):
        counted = [q["stages"][stage] for q in rows if stage in q["stages"]]
        n = sum(c["count"] for c in counted)
        # The back-end begins to take times at its next request.
        if not 30 <= n <= 40 or not 0 < max(c["p50_ns"] for c in counted) < 1e9:
            raise Failed("%s: %s" % (stage, counted))
    s.end()


def e_lines(t):
    return [json.loads(line) for line in t.lines if line.startswith("{")]


def e_total(t, what):
    return sum(q[what] for line in e_lines(t) for q in line["queues"])


def tier_e_foreign(ctx):
    """Of a back-end without telemetry: no times, and it says so."""
    m = Machine(ctx, "--no-kvm", "--turns", "3")
    file = ctx.path("e.vut")
    t = Trace(ctx.options.vu_trace, "record", "--tier=E", "-i", "0.01", "-o", file, "-p",
              str(m.pid()))
    m.back.proc.send_signal(signal.SIGSTOP)
    m.vmm.tell("go")
    time.sleep(0.5)
    m.back.proc.send_signal(signal.SIGCONT)
    m.vmm.wait_for("done ", 10)
    expect("status of record", t.end(signal.SIGINT, 20), 0)
    out = run(ctx.options.vu_trace, "lat", "--tier=E", "-d", "0.1", "-p", str(m.pid()))
    if "let.sock:0" not in out or "nothing is told of it" not in out:
        raise Failed("lat: " + out)
    events = [json.loads(x) for x in
              run(ctx.options.vu_trace, "export", "--json", file).splitlines()]
    expect("the first", (events[0]["event"], events[0]["tier"], events[0]["value"]),
           ("signal", "E", 1))
    if "tier E" not in run(ctx.options.vu_trace, "report", file):
        raise Failed("report does not say which tier it was")
    m.end()


def without_rights(ctx):
    """A user without capabilities, and a back-end of his own: tier E, which is told."""
    s = Scene(ctx, "idle", NO_RIGHTS)
    pid = str(s.backend)
    found = json.loads(s.trace(ctx, "map", "--json", "-p", pid))["queues"]
    expect("source", found[0]["kick"]["source"], "telemetry")
    if "without BPF" not in s.said:
        raise Failed("map does not say what is missing: " + s.said)
    out = s.trace(ctx, "lat", "-d", "0.2", "-p", pid)
    if "going on with tier E" not in s.said or "disk:0" not in out:
        raise Failed(s.said + out)
    s.trace(ctx, "lat", "--tier=C", "-p", pid, status=1)
    s.trace(ctx, "stream", "-d", "0.2", "-p", pid)
    s.trace(ctx, "stream", "--min-latency=1ms", "-p", pid, status=1)
    expect("check", json.loads(s.trace(ctx, "check", "--json", status=1))["tier"], "E")
    if "lacks single kicks" not in s.trace(ctx, "check", status=1):
        raise Failed("check does not say what tier E lacks")
    s.end()
    s = Scene(ctx, "kick-before-enable", NO_RIGHTS)
    out = s.trace(ctx, "stuck", "--json", "-p", str(s.backend), status=1)
    expect("verdict", json.loads(out)["verdict"], "KICK_EATEN_BEFORE_ENABLE")
    name = json.loads(out)["name"]
    told = json.loads(s.trace(ctx, "poke", "kick", name, "--yes", "--json"))
    expect("moved", told["moved"], True)
    s.end()


CASES = [slow_handler, stopped_worker, flood, record_and_report, ended_in_the_midst,
         selected_of_files, chrome,
         bad_files, full_disk, ends_by_itself, flight_recorder, stuck, stuck_evidence,
         stuck_untold, poke,
         tier_e, tier_e_lat, tier_e_foreign, without_rights, ports, memory, bursts, written,
         io_uring, reconnect, slow_ones_only, table, selectors, message_names, stream,
         stream_sampled, losses_told, nothing_left, bad_words]
