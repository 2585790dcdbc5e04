# SPDX-License-Identifier: GPL-2.0-or-later
"""Cases with guests: tracing inside one, and real drivers traced from outside."""

import json
import os
import re

from native import check_counts
from tools import Failed, Process, Trace, expect, run, wait_until


def guest(ctx, version, *words, memory=768, extra=()):
    at = ctx.options.assets
    g = Process(["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35,memory-backend=mem",
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


def traced_inside(ctx, version, runs):
    g = guest(ctx, version, "vu.run=" + ",".join(runs))
    check = json.loads(after(g.wait_for("VU-CHECK", 120), "VU-CHECK"))
    expect("best tier", check["tier"], "A")
    for t in check["tiers"]:
        expect("tier %s works" % t["tier"], t["works"], True)
    for r in runs:
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
    states = dict(re.findall(r"VU-PROBE . (\w+) +\d+ +(\S+ \S+)", "\n".join(g.lines)))
    return "kernel %s" % check["kernel"]


def inside_6_1(ctx):
    return traced_inside(ctx, "6.1", ["A:kvm:300", "B:kvm:300", "A:write:300", "B:write:300"])


def inside_6_12(ctx):
    return traced_inside(ctx, "6.12", ["A:kvm:300", "B:kvm:300", "C:write:300"])


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
                 "writable=on" % sock])
    ctx.children.append(b)
    wait_until("its socket", lambda: os.path.exists(sock))
    return b, sock


def seabios(ctx):
    """SeaBIOS under KVM reads the boot sector: KVM's own table, real kicks in the kernel."""
    b, sock = vu_blk(ctx)
    t = Trace(ctx.options.vu_trace, "stream", "--json", "-p", str(b.proc.pid))
    g = Process(["qemu-system-x86_64", "-accel", "kvm", "-machine", "q35,memory-backend=mem",
                 "-m", "64", "-object", "memory-backend-memfd,id=mem,size=64M,share=on",
                 "-nodefaults", "-display", "none", "-vga", "none", "-nic", "none", "-name",
                 "guest=bios", "-device", "isa-debugcon,iobase=0x402,chardev=log", "-chardev",
                 "stdio,id=log", "-chardev", "socket,id=disk,path=" + sock, "-device",
                 "vhost-user-blk-pci,chardev=disk,id=d0,bootindex=1"])
    ctx.children.append(g)
    g.wait_for("No bootable device", 60)
    found = json.loads(run(ctx.options.vu_trace, "map", "--json", "--vm", "bios"))
    events = t.finish()
    q = found["queues"][0]
    expect("kick", (q["queue"], q["kick"]["source"], q["kick"]["confidence"]),
           (0, "kvm", "certain"))
    expect("back-end", q["backend"]["pid"], b.proc.pid)
    kicks = sum(e["value"] for e in events if e["event"] == "signal")
    notified = sum(e["event"] == "notify" for e in events)
    reads = sum(e["value"] for e in events if e["event"] == "read")
    if not kicks:
        raise Failed("no kick seen:\n" + "\n".join(t.lines[-20:]))
    expect("kicks, as read by the back-end", reads, kicks)
    expect("kicks, as stored by the guest", notified, kicks)
    return "kicks=%d" % kicks


CASES = [inside_6_1, inside_6_12, seabios]
