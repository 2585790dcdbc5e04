# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases with guests: tracing inside one, and real drivers traced from outside."""

import json
import os
import re

from native import check_counts
from tools import Failed, Process, Talker, Trace, expect, run, wait_until


def qemu10(ctx):
    root = os.path.join(ctx.options.qemu_assets, "qemu10/usr")
    return [os.path.join(root, "bin/qemu-system-x86_64"), "-L",
            os.path.join(root, "share/qemu"), "-L", os.path.join(root, "share/seabios")]


def guest(ctx, version, *words, memory=768, extra=(), qemu=("qemu-system-x86_64",)):
    at = ctx.options.assets
    g = Talker([*qemu, "-accel", "tcg,thread=single", "-machine", "q35,memory-backend=mem",
                 "-cpu", "max,cx16=off", "-m", str(memory), "-smp", "2", "-object",
                 "memory-backend-memfd,id=mem,size=%dM,share=on" % memory, "-nodefaults",
                 "-display", "none", "-vga", "none", "-nic", "none", "-no-reboot", "-serial",
                 "stdio", "-monitor", "none", "-kernel", os.path.join(at, version, "kernel"),
                 "-initrd", os.path.join(at, "initrd-" + version), "-append",
                 "console=ttyS0 panic=-1 quiet " + " ".join(words), *extra])
    ctx.children.append(g)
    return g


# --- tracing inside a guest, whose kernel has what this one lacks ---

def after(line, word):
    return line.split(word, 1)[1].strip()


LOCKED = "the kernel is locked down (confidentiality)"


def locked_down(g, mode):
    """What is said of it: by check, and by others in one line."""
    check = json.loads(after(g.wait_for("VU-LOCKED", 60), "VU-LOCKED"))
    secret = mode == "confidentiality"
    lockdown = next(c for c in check["checks"] if c["name"] == "lockdown")
    expect("lockdown", (lockdown["ok"], lockdown["found"]), (not secret, mode))
    expect("best tier", check["tier"], "E" if secret else "A")
    for t in check["tiers"]:
        expect("tier %s works" % t["tier"], t["works"], not secret or t["tier"] == "E")
        if not t["works"]:
            expect("why", (t["error"], t["needs"]),
                   (LOCKED, "a boot without lockdown=confidentiality"))
    for what in ("lat", "map", "lat --tier=A") if secret else ():
        status, _, said = after(g.wait_for("VU-SAID", 60), "VU-SAID").partition(" ")
        if LOCKED not in said or status != "1":
            raise Failed("%s, locked down: status %s: %s" % (what, status, said))


def traced_inside(ctx, version, runs):
    g = guest(ctx, version, "vu.run=" + ",".join(runs))
    check = json.loads(after(g.wait_for("VU-CHECK", 120), "VU-CHECK"))
    expect("best tier", check["tier"], "A")
    for t in check["tiers"]:
        expect("tier %s works" % t["tier"], t["works"], True)
    for r in runs:
        if ":" not in r:
            locked_down(g, r)
            continue
        tier, how, turns = r.split(":")
        line = g.wait_for("VU-KVMLET", 120)
        line = g.wait_for("done queue", 60)
        counts = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)}
        found = json.loads(after(g.wait_for("VU-LAT", 60), "VU-LAT"))
        expect("turns", counts["kicks"], int(turns))
        expect("tier", found["tier"], tier)
        check_counts(found, [counts], in_kernel=how == "kvm")
        g.wait_for("VU-RAN " + r, 60)
    g.wait_for("VU-DONE", 60)
    return "kernel %s" % check["kernel"]


def inside_6_1(ctx):
    return traced_inside(ctx, "6.1", ["A:kvm:300", "B:kvm:300", "A:write:300", "B:write:300"])


def inside_6_12(ctx):
    return traced_inside(ctx, "6.12", ["A:kvm:300", "integrity", "B:kvm:300", "C:write:300",
                                       "confidentiality"])


# --- real monitors ---

def disk(ctx):
    image = ctx.path("disk.img")
    with open(image, "wb") as f:
        f.truncate(64 << 20)
    return image


def vu_blk(ctx, *options):
    sock = ctx.path("blk.sock")
    b = Process([ctx.options.vu_blk, "--socket-path=" + sock, "--blk-file=" + disk(ctx),
                 *options])
    ctx.children.append(b)
    b.wait_for("ready on", 10)
    return b, sock


def storage_daemon(ctx):
    sock = ctx.path("blk.sock")
    b = Process(["qemu-storage-daemon", "--blockdev",
                 "driver=file,node-name=n0,filename=" + disk(ctx), "--export",
                 "type=vhost-user-blk,id=e0,node-name=n0,addr.type=unix,addr.path=%s,"
                 "writable=on,num-queues=%d" % (sock, QUEUES)])
    ctx.children.append(b)
    wait_until("its socket", lambda: os.path.exists(sock))
    return b, sock


BOOT_READS = 100


def boot_sector():
    """Reads the first sector BOOT_READS times by int 13h and says VU-READ at port 0x402."""
    code = bytes.fromhex("31c08ed88ec08ed0bc007c") + b"\xbd" + BOOT_READS.to_bytes(2, "little")
    loop = bytes.fromhex("b80102bb0080b90100ba8000cd134d")
    code += loop + b"\x75" + (256 - len(loop) - 2).to_bytes(1, "little")
    text = 0x7c00 + len(code) + 18
    code += b"\xbe" + text.to_bytes(2, "little") + bytes.fromhex("ac84c07406ba0204eeebf5faf4ebfd")
    code += b"VU-READ\n\0"
    return code.ljust(510, b"\0") + b"\x55\xaa"


def seabios(ctx):
    """A boot sector under KVM reads its disk: KVM's own table, real kicks in the kernel."""
    # Without telemetry: from KVM's tables alone.
    os.environ["LIBVU_RUN_DIR"] = ""
    try:
        b, sock = vu_blk(ctx)
        with open(ctx.path("disk.img"), "r+b") as f:
            f.write(boot_sector())
    finally:
        del os.environ["LIBVU_RUN_DIR"]
    t = Trace(ctx.options.vu_trace, "stream", "--json", "-p", str(b.proc.pid))
    g = Process(["qemu-system-x86_64", "-accel", "kvm", "-machine", "q35,memory-backend=mem",
                 "-m", "64", "-object", "memory-backend-memfd,id=mem,size=64M,share=on",
                 "-nodefaults", "-display", "none", "-vga", "none", "-nic", "none", "-name",
                 "guest=bios", "-device", "isa-debugcon,iobase=0x402,chardev=log", "-chardev",
                 "stdio,id=log", "-chardev", "socket,id=disk,path=" + sock, "-device",
                 "vhost-user-blk-pci,chardev=disk,id=d0,bootindex=1"])
    ctx.children.append(g)
    g.wait_for("VU-READ", 60)
    found = json.loads(run(ctx.options.vu_trace, "map", "--json", "--vm", "bios"))
    events = t.finish()
    q = found["queues"][0]
    expect("kick", (q["queue"], q["kick"]["source"], q["kick"]["confidence"]),
           (0, "kvm", "certain"))
    expect("back-end", q["backend"]["pid"], b.proc.pid)
    stored = sum(e["event"] == "notify" for e in events)
    # One more for the boot sector itself.
    expect("kicks, as stored by the guest", stored, BOOT_READS + 1)
    # When its queue starts the back-end kicks itself, before or after its eventfd is
    # watched, and is awake: the first read has that, and perhaps the first kick.
    first = [e["event"] for e in events].index("read")
    events = events[first + 1:]
    notified = sum(e["event"] == "notify" for e in events)
    for what in ("signal", "read"):
        expect("kicks, as seen by %s, after the first read" % what,
               sum(e["value"] for e in events if e["event"] == what), notified)
    if notified < BOOT_READS - 1:
        raise Failed("only %d kicks after the first read" % notified)
    return "kicks=%d" % stored


# --- drivers of Linux under TCG, traced from outside ---

QUEUES = 2


def blk_device(sock):
    return ("-chardev", "socket,id=c0,path=" + sock, "-device",
            "vhost-user-blk-pci,chardev=c0,num-queues=%d,id=d0" % QUEUES)


# QEMU 7.2 ends with a segmentation fault when such a device starts without KVM.
def net_device(sock):
    return ("-chardev", "socket,id=c0,path=" + sock, "-netdev",
            "vhost-user,id=n0,chardev=c0,queues=1", "-device", "virtio-net-pci,netdev=n0,id=d0")


def told_by_messages(events):
    """Which eventfd is which: the last message that said so."""
    truth = {}
    for e in events:
        if e["event"] == "table":
            truth[(e["index"], e["role"])] = e["id"]
    return truth


def check_map(ctx, backend, vmm, truth, source, modes, roles):
    """The map of a running machine, made by one that has not seen the messages."""
    found = json.loads(run(ctx.options.vu_trace, "map", "--json", "-p", str(backend)))
    rows = {}
    for q in found["queues"]:
        expect("monitor and back-end", (q["vmm"]["pid"], q["backend"]["pid"]), (vmm, backend))
        expect("mode of queue %d" % q["queue"], q["mode"], modes[q["queue"]])
        expect("what it is for", q["role"], roles[q["queue"]])
        for role in ("kick", "call", "err"):
            if q[role]:
                rows[(q["queue"], role)] = q[role]["id"]
        if q["mode"] != "unwatched":
            expect("source", q["kick"]["source"], source)
    # DPDK closes the error eventfds it is given.
    if not any(role == "err" for _, role in rows):
        truth = {k: v for k, v in truth.items() if k[1] != "err"}
    expect("rows", rows, truth)
    return found


def drive(ctx, backend, device, what, source, modes=("interrupt",) * QUEUES,
          qemu=("qemu-system-x86_64",)):
    """Boots a driver; what was counted of its requests, and what it says itself."""
    teller = Trace(ctx.options.vu_trace, "stream", "--json", "--kinds", "table", "-p",
                   str(backend))
    g = guest(ctx, "6.1", "vu.drive=" + what, memory=192, extra=device,
              qemu=qemu)
    g.wait_for("VU-READY", 120)
    truth = told_by_messages(teller.finish())
    if not truth:
        raise Failed("no message seen")
    roles = ("rx", "tx") if what.startswith("net") else ("request",) * QUEUES
    check_map(ctx, backend, g.proc.pid, truth, source, modes, roles)
    t = Trace(ctx.options.vu_trace, "lat", "--json", "-p", str(backend))
    g.tell("go")
    line = g.wait_for("VU-DROVE", 120)
    drove = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)}
    queues = t.finish()[-1]["queues"]
    return drove, queues


def total(queues, what):
    return sum(q[what] for q in queues)


def check_disk(ctx, backend, sock, source, points=False):
    drove, queues = drive(ctx, backend.proc.pid, blk_device(sock), "blk:200", source)
    expect("requests", drove["requests"], 200)
    expect("kicks", total(queues, "kicks"), drove["requests"])
    expect("reads of kicks", total(queues, "reads"), drove["requests"])
    # A queue is known to the points from its first kick or call on: the first pop is not.
    for what in ("pops", "pushes") if points else ():
        if not drove["requests"] - QUEUES <= total(queues, what) <= drove["requests"]:
            raise Failed("%s: %d of %d" % (what, total(queues, what), drove["requests"]))
    if points and sum(q["stages"].get("pop-push", {"count": 0})["count"]
                      for q in queues) < drove["requests"] - QUEUES:
        raise Failed("time from pop to push is missing: %s" % queues)
    # The monitor reads each call and injects it.
    expect("interrupts", total(queues, "calls"), drove["interrupts"])
    return "kicks=%d" % drove["requests"]


def linux_vu_blk(ctx):
    """libvu tells which is which, and its points show each element."""
    os.mkdir(ctx.path("run"))
    os.environ["LIBVU_RUN_DIR"] = ctx.path("run")
    try:
        b, sock = vu_blk(ctx, "--num-queues=%d" % QUEUES)
        return check_disk(ctx, b, sock, "telemetry", points=True)
    finally:
        del os.environ["LIBVU_RUN_DIR"]


def linux_storage_daemon(ctx):
    b, sock = storage_daemon(ctx)
    return check_disk(ctx, b, sock, "waiters")


def dpdk(ctx, *argv, ready):
    sock = ctx.path("net.sock")
    b = Talker([argv[0], "--no-huge", "-m", "128", "--no-pci", "--file-prefix=vu%d" % os.getpid(),
                "--no-telemetry", "--vdev", "net_vhost0,iface=%s,queues=1" % sock, *argv[1:]])
    ctx.children.append(b)
    b.wait_for(ready, 30)
    return b, sock


def linux_dpdk_interrupt(ctx):
    b, sock = dpdk(ctx, os.path.join(os.path.dirname(ctx.options.kvmlet), "dpdk-echo"), "--",
                   "interrupt", ready="echo: ready")
    # It has no need to be told of buffers to fill, in queue 0.
    drove, queues = drive(ctx, b.proc.pid, net_device(sock), "net:100", "waiters",
                          ("unwatched", "interrupt"), qemu10(ctx))
    sent = {q["name"].rsplit(":", 1)[1]: q for q in queues}
    # Queue 1 is what the guest sends.
    expect("kicks", sent["1"]["kicks"], drove["requests"])
    expect("interrupts", sent["0"]["calls"], drove["interrupts"])
    return "kicks=%d" % drove["requests"]


def linux_dpdk_poll(ctx):
    b, sock = dpdk(ctx, "dpdk-testpmd", "--lcores=0,1", "--", "--forward-mode=macswap",
                   "--total-num-mbufs=2048",
                   "--disable-link-check", "--auto-start", ready="binding succeeded")
    drove, queues = drive(ctx, b.proc.pid, net_device(sock), "net:20", "order",
                          ("polling", "polling"), qemu10(ctx))
    # Kicks are not wanted; with an event index one may slip through in 65536.
    if total(queues, "kicks") > QUEUES:
        raise Failed("%d kicks of one that polls" % total(queues, "kicks"))
    expect("reads", total(queues, "reads"), 0)
    if not drove["requests"]:
        raise Failed("the guest has sent nothing")
    return "polling"


INSIDE = [inside_6_1, inside_6_12]
CASES = [*INSIDE, seabios, linux_vu_blk, linux_storage_daemon,
         linux_dpdk_interrupt, linux_dpdk_poll]
