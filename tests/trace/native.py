# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases on this machine's own kernel: a tiny guest under KVM, whose kicks are counted."""

import json
import os
import signal

from tools import (Failed, Machine, Process, Trace, expect, programs_left, run, wait_until)


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


def message_names(ctx):
    """A connection made under the tracer's eyes: the messages say which is which."""
    sock = os.path.join(ctx.workdir, "late.sock")
    back = Process([ctx.options.kvmlet, "--back-end", sock])
    ctx.children.append(back)
    back.wait_for("listening", 10)
    t = Trace(ctx.options.vu_trace, "lat", "--json", "--socket", sock, "-p",
              str(back.proc.pid))
    from tools import Talker
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
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        t = lat(ctx, m)
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
            (["map", "extra"], 2, "not expected"), (["lat", "--buffer", "5000"], 2, "power of 2"),
            (["map", "-p", "4000000"], 1, "there is none"),
            (["lat", "-p", "4000000"], 1, "there is none"),
            (["map", "-p", str(os.getpid())], 1, "has no eventfds")):
        out = run(vt, *args, status=status)
        if text not in out:
            raise Failed("vu-trace %s: %s" % (" ".join(args), out))
    import subprocess
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all",
                           "--bounding-set=-all", vt, "lat"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    expect("status without rights", done.returncode, 1)
    expect("lines without rights", len(done.stdout.splitlines()), 1)
    if "not permitted" not in done.stdout:
        raise Failed("without rights: " + done.stdout)


CASES = [ports, memory, bursts, written, table, selectors, message_names, stream,
         stream_sampled, losses_told, nothing_left, bad_words]
