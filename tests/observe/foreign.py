#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Back-ends seen from outside, behind real machines:
foreign.py --assets DIR --look PROGRAM --vu-blk PROGRAM [--qemu 7|10] [--jobs N] [CASE...]

Prints TAP.  qemu-storage-daemon, DPDK's testpmd and vu-blk serve guests; what
tests/observe/look prints of them must be so.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../qemu"))
import tap  # noqa: E402
from qmp import Failed  # noqa: E402
from vm import Backend, Process, Qemu  # noqa: E402

DISK_MIB = 64
SECONDS = 240


class Context:
    def __init__(self, options, qemu, workdir):
        self.options = options
        self.qemu = qemu
        self.workdir = workdir
        self.children = []
        self.env = dict(os.environ, LIBVU_RUN_DIR=os.path.join(workdir, "run"))
        os.mkdir(os.path.join(workdir, "run"), 0o700)

    def path(self, name):
        return os.path.join(self.workdir, name)

    def add(self, child):
        self.children.append(child)
        return child

    def clean(self):
        for c in reversed(self.children):
            if c.proc.poll() is None:
                c.proc.send_signal(signal.SIGCONT)
            c.end(signal.SIGKILL)

    @staticmethod
    def note(words):
        print("#   " + words)

    # --- who is looked at ---

    def storage_daemon(self, queues):
        image = self.path("disk.img")
        with open(image, "wb") as f:
            f.truncate(DISK_MIB << 20)
        b = self.add(Process([
            "qemu-storage-daemon",
            "--blockdev", "driver=file,node-name=f,filename=" + image,
            "--export", "type=vhost-user-blk,id=e,addr.type=unix,addr.path=%s,node-name=f,"
            "writable=on,num-queues=%d" % (self.path("blk.sock"), queues)]))
        self.wait_file("blk.sock")
        return b

    def testpmd(self, mode):
        sock = self.path("net.sock")
        b = self.add(Process([
            "dpdk-testpmd", "-l", "0,1", "--no-huge", "-m", "256", "--no-pci",
            "--file-prefix=vu%d" % os.getpid(), "--vdev", "net_vhost0,iface=" + sock, "--",
            "--auto-start", "--forward-mode=" + mode, "--nb-cores=1",
            "--total-num-mbufs=4096", "--no-mlockall", "--stats-period", "1"]))
        self.wait_file("net.sock")
        return b, sock

    def guest(self, sock, *steps, extra=(), **more):
        """With a monitor for whoever looks at it."""
        monitor = "unix:%s,server=on,wait=off" % self.path("qmp.sock")
        return self.add(Qemu(self.qemu, self.options.assets, sock, steps,
                             extra=("-qmp", monitor, *extra), **more))

    def wait_file(self, name):
        deadline = time.monotonic() + 20
        while not os.path.exists(self.path(name)):
            if time.monotonic() > deadline:
                raise Failed("%s does not come" % name)
            time.sleep(0.05)

    # --- looking ---

    def look(self, backend, snapshots=3, milliseconds=600):
        """The processes and the queues of one back-end."""
        out = subprocess.run([self.options.look, str(snapshots), str(milliseconds)],
                             stdout=subprocess.PIPE, env=self.env, timeout=60, check=True)
        lines = [json.loads(line) for line in out.stdout.splitlines()]
        return ([p for p in lines if p["what"] == "process"],
                [q for q in lines if q["what"] == "queue" and q["pid"] == backend.proc.pid])

    def wait(self, backend, what, wanted, seconds=60, **more):
        """Looks until @wanted is true of the queues; no false alarm meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            _, queues = self.look(backend, **more)
            if wanted(queues):
                return queues
            if time.monotonic() > deadline:
                raise Failed("not %s: %s" % (what, json.dumps(queues, indent=1)))


def verdicts(queues):
    return [(q["verdict"], q["severity"]) for q in queues]


def say(queue):
    return "%s (%s): %s" % (queue["verdict"], queue["confidence"], queue["evidence"])


def served(queues):
    return any(q["completed_per_s"] > 0 for q in queues)


def expect_no_alarm(queues):
    bad = [q for q in queues if q["severity"] in ("warning", "critical")]
    if bad:
        raise Failed("a false alarm: %s" % "; ".join(say(q) for q in bad))


# --- cases ---


def storage_daemon_is_seen(ctx):
    """Discovered, named, sampled; no alarm while it works, none when it rests."""
    b = ctx.storage_daemon(2)
    g = ctx.guest(ctx.path("blk.sock"), "info", "rand", "wait", queues=2, threads=4,
                  ops=5000, extra=("-name", "guest=observed"))
    g.wait_step("info", SECONDS)
    queues = ctx.wait(b, "served", served)
    expect_no_alarm(queues)
    processes, queues = ctx.look(b, 4, 600)
    expect_no_alarm(queues)
    if not served(queues):
        raise Failed("no rate under load: %s" % queues)
    q = queues[0]
    if (q["device"], q["type"], q["role"], q["ring"]) != ("d0", 2, "request", "peek"):
        raise Failed("the device is not known: %s" % q)
    if q["vmm"] != g.proc.pid:
        raise Failed("its machine is not known: %s" % q)
    # What a thread waits for can only be seen while it does.
    ctx.wait(b, "known by its kick", lambda qs: qs[0]["kick_fd"] >= 0)
    vmm = [p for p in processes if p["pid"] == g.proc.pid][0]
    if (vmm["kind"], vmm["vm"], vmm["run_state"]) != ("qemu", "observed", "running"):
        raise Failed("the machine is not known: %s" % vmm)
    rate = sum(q["completed_per_s"] for q in queues)
    g.wait_step("rand", SECONDS)
    g.wait_for("VU-WAITING", SECONDS)
    queues = ctx.wait(b, "idle", lambda qs: all(q["verdict"] == "IDLE" for q in qs))
    return "%.0f requests/s" % rate


def storage_daemon_in_trouble(ctx):
    """One thing after the other happens to a queue under load, and to its machine."""
    b = ctx.storage_daemon(1)
    g = ctx.guest(ctx.path("blk.sock"), "info", "rand", threads=4, ops=10000000)
    g.wait_step("info", SECONDS)
    ctx.wait(b, "served", served)
    for trouble in stopped, paused, unseen, ring_stopped:
        ctx.note(trouble(ctx, b, g))


def stopped(ctx, b, g):
    """SIGSTOP under load, and going on after it."""
    b.proc.send_signal(signal.SIGSTOP)
    queues = ctx.wait(b, "stalled", lambda qs: verdicts(qs) ==
                      [("BACKEND_STALLED", "critical")])
    if queues[0]["confidence"] != "certain" or "stopped by a signal" not in \
            queues[0]["evidence"]:
        raise Failed(say(queues[0]))
    b.proc.send_signal(signal.SIGCONT)
    ctx.wait(b, "served again", served)
    return say(queues[0])


def paused(ctx, b, g):
    g.qmp.execute("stop")
    queues = ctx.wait(b, "paused", lambda qs: verdicts(qs) == [("VM_PAUSED", "info")])
    g.qmp.execute("cont")
    ctx.wait(b, "served again", served)
    return say(queues[0])


def unseen(ctx, b, g):
    """Somebody else is the monitor's client: no rings, and a line that says why."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(ctx.path("qmp.sock"))
        s.recv(1000)
        begin = time.monotonic()
        processes, _ = ctx.look(b, 2, 100)
        if time.monotonic() - begin > 3:
            raise Failed("it took %.1f s" % (time.monotonic() - begin))
    vmm = [p for p in processes if p["pid"] == g.proc.pid][0]
    if "one client at a time" not in vmm["qmp_trouble"]:
        raise Failed("%s" % vmm)
    ctx.wait(b, "served", served)
    return vmm["qmp_trouble"]


def ring_stopped(ctx, b, g):
    """QMP x-query-virtio-queue-status sends GET_VRING_BASE: the live ring is dead."""
    g.qmp.execute("x-query-virtio-queue-status",
                  path="/machine/peripheral/d0/virtio-backend", queue=0)
    queues = ctx.wait(b, "stopped", lambda qs: verdicts(qs) ==
                      [("STOPPED_WITH_WORK", "critical")])
    if "x-query-virtio-queue-status" not in queues[0]["next"]:
        raise Failed(queues[0]["next"])
    return say(queues[0])


def vu_blk_is_seen(ctx):
    """libvu's own: by its telemetry, with the machine's names."""
    image = ctx.path("disk.img")
    with open(image, "wb") as f:
        f.truncate(DISK_MIB << 20)
    os.environ["LIBVU_RUN_DIR"] = ctx.env["LIBVU_RUN_DIR"]
    b = ctx.add(Backend(ctx.options.vu_blk, ctx.path("blk.sock"), image, "--num-queues=2",
                        "--threads"))
    del os.environ["LIBVU_RUN_DIR"]
    g = ctx.guest(b.sock, "info", "rand", "wait", queues=2, threads=4, ops=5000,
                  extra=("-name", "guest=ours"))
    g.wait_step("info", SECONDS)
    queues = ctx.wait(b, "served", served)
    expect_no_alarm(queues)
    processes, queues = ctx.look(b, 4, 600)
    expect_no_alarm(queues)
    q = queues[0]
    if (q["type"], q["role"], q["ring"], q["vmm"]) != (2, "request", "peek", g.proc.pid):
        raise Failed("%s" % q)
    vmm = [p for p in processes if p["pid"] == g.proc.pid][0]
    if (vmm["vm"], vmm["run_state"]) != ("ours", "running"):
        raise Failed("%s" % vmm)
    b.proc.send_signal(signal.SIGSTOP)
    stalled = ctx.wait(b, "stalled", lambda qs: ("BACKEND_STALLED", "critical") in
                       verdicts(qs))
    b.proc.send_signal(signal.SIGCONT)
    g.wait_step("rand", SECONDS)
    g.wait_for("VU-WAITING", SECONDS)
    ctx.wait(b, "idle", lambda qs: all(q["severity"] in ("ok", "info") for q in qs) and
             any(q["verdict"] == "IDLE" for q in qs))
    return say(stalled[0])


def testpmd_is_seen(ctx):
    """DPDK polls; a boot ROM sends packets to it."""
    if not shutil.which("dpdk-testpmd"):
        raise tap.Skipped("no dpdk-testpmd")
    b, sock = ctx.testpmd("rxonly")
    ctx.add(Process(list(ctx.qemu) + [
        "-accel", "tcg", "-machine", "q35,memory-backend=mem,graphics=off", "-m", "128",
        "-object", "memory-backend-memfd,id=mem,size=128M,share=on", "-nodefaults",
        "-display", "none", "-serial", "stdio",
        "-qmp", "unix:%s,server=on,wait=off" % ctx.path("qmp.sock"),
        "-chardev", "socket,id=c0,path=" + sock,
        "-netdev", "vhost-user,id=n0,chardev=c0",
        "-device", "virtio-net-pci,netdev=n0,id=net0,bootindex=1"]))

    def sends(queues):
        return len(queues) >= 2 and queues[1]["completed_per_s"] > 0

    queues = ctx.wait(b, "sending", sends, 120, snapshots=4, milliseconds=1000)
    expect_no_alarm(queues)
    if [q["role"] for q in queues[:2]] != ["rx", "tx"] or queues[0]["device"] != "net0":
        raise Failed("%s" % queues)
    if queues[0]["verdict"] != "ARMED_IDLE":
        raise Failed(say(queues[0]))
    b.proc.send_signal(signal.SIGSTOP)
    queues = ctx.wait(b, "stalled", lambda qs: len(qs) >= 2 and verdicts(qs)[1] ==
                      ("BACKEND_STALLED", "critical"), 120)
    return say(queues[1])


def testpmd_packed_is_seen(ctx):
    """Packed rings of a back-end that tells nothing: a guest's frames come back to it."""
    if not shutil.which("dpdk-testpmd"):
        raise tap.Skipped("no dpdk-testpmd")
    b, sock = ctx.testpmd("io")
    ctx.guest(sock, "chatter", kind="net", packed=True)

    def talks(queues):
        return len(queues) >= 2 and all(q["completed_per_s"] > 0 for q in queues[:2])

    queues = ctx.wait(b, "talking", talks, 120, snapshots=4, milliseconds=500)
    expect_no_alarm(queues)
    rx, tx = queues[:2]
    if not rx["packed"] or not tx["packed"] or (rx["role"], tx["role"]) != ("rx", "tx"):
        raise Failed("%s" % queues)
    # One frame at a time, there and back; and a driver that fills the ring again.
    if not 0.5 < rx["completed_per_s"] / tx["completed_per_s"] < 2 or tx["outstanding"] > 8 \
            or not rx["size"] / 2 <= rx["outstanding"] <= rx["size"]:
        raise Failed("%s" % queues)
    b.proc.send_signal(signal.SIGSTOP)
    queues = ctx.wait(b, "stalled", lambda qs: verdicts(qs)[1:2] ==
                      [("BACKEND_STALLED", "critical")])
    if queues[1]["outstanding"] < 1 or "requests wait" not in queues[1]["evidence"]:
        raise Failed(say(queues[1]))
    return "%.0f frames/s; %s" % (tx["completed_per_s"], say(queues[1]))


CASES = [storage_daemon_is_seen, storage_daemon_in_trouble, vu_blk_is_seen,
         testpmd_is_seen, testpmd_packed_is_seen]


def qemus(options):
    found = []
    if options.qemu in (None, "7"):
        found.append(("QEMU 7.2", ["qemu-system-x86_64"]))
    if options.qemu in (None, "10"):
        root = os.path.join(options.assets, "qemu10/usr")
        found.append(("QEMU 10", [os.path.join(root, "bin/qemu-system-x86_64"),
                                  "-L", os.path.join(root, "share/qemu"),
                                  "-L", os.path.join(root, "share/seabios")]))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--assets", required=True)
    parser.add_argument("--look", required=True)
    parser.add_argument("--vu-blk", required=True)
    parser.add_argument("--qemu", choices=("7", "10"))
    tap.add_jobs(parser)
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    for program in "assets", "look", "vu_blk":
        setattr(options, program, os.path.abspath(getattr(options, program)))
    return tap.run_all([
        ("%s: %s" % (version, case.__name__), case,
         lambda workdir, qemu=qemu: Context(options, qemu, workdir))
        for version, qemu in qemus(options) for case in CASES
        if (not options.cases or case.__name__ in options.cases) and
        # QEMU 7.2 does not set up packed rings of a network card here.
        (case is not testpmd_packed_is_seen or version != "QEMU 7.2")], options.jobs)


sys.exit(main())
