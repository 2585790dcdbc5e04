# SPDX-License-Identifier: GPL-2.0-or-later
"""DPDK's virtio-user as the front-end of dev.c's network card, with rings of both kinds: it
polls, sends what fits, and says but half of where a packed ring is."""

import json
import os
import shutil
import subprocess
import time

import tap
from devices import Device
from qmp import Failed
from vm import Process

FRAMES = 300000
START_SECONDS = 60


def kinds(ctx, device):
    """Of the device's queues, as the library says: whether they are packed."""
    top = os.path.join(os.path.dirname(ctx.options.vu_blk), "../vu-top/vu-top")
    out = subprocess.run([top, "--json", "-n", "1"], stdout=subprocess.PIPE, check=True,
                         env=dict(os.environ, LIBVU_RUN_DIR=ctx.workdir)).stdout
    found = json.loads(out.splitlines()[-1])["queues"]
    return [q["packed"] for q in found if q["pid"] == device.proc.pid]


def statistics(pmd):
    """Frames received and sent since the beginning; those that failed are a failure."""
    pmd.say("show port stats 0")
    numbers = []
    for way in "RX", "TX":
        words = pmd.wait_for("  %s-packets:" % way, 10).replace(":", " ").split()
        numbers.append(int(words[1]))
        errors = (words if way == "TX" else
                  pmd.wait_for("  RX-errors:", 10).replace(":", " ").split())
        if int(errors[errors.index(way + "-errors") + 1]):
            raise Failed("\n".join(pmd.lines[-10:]))
    return numbers


def exchange(pmd):
    """Frames go out and come back; nearly all, as some are dropped at the end."""
    begin, _ = statistics(pmd)
    pmd.say("start tx_first")
    deadline = time.monotonic() + 60
    while statistics(pmd)[0] - begin < FRAMES:
        if time.monotonic() > deadline:
            raise Failed("frames come back no more:\n" + "\n".join(pmd.lines[-10:]))
        time.sleep(0.1)
    pmd.say("stop")
    pmd.wait_for("Accumulated forward statistics", 20)
    pmd.wait_for("Done", 10)
    received, sent = statistics(pmd)
    if received > sent:
        raise Failed("%d frames were sent and %d received" % (sent, received))
    return received - begin


def talk(ctx, packed):
    if not shutil.which("dpdk-testpmd"):
        raise tap.Skipped("no dpdk-testpmd")
    device = Device(ctx, "net", "net", env={"LIBVU_RUN_DIR": ctx.workdir})
    pmd = Process([
        "stdbuf", "-oL", "dpdk-testpmd", "-l", "0,1", "--no-huge", "-m", "256", "--no-pci",
        "--file-prefix=vu%d" % os.getpid(), "--vdev",
        "net_virtio_user0,path=%s,queues=1,packed_vq=%d,queue_size=256" % (device.sock, packed),
        "--", "-i", "--nb-cores=1", "--total-num-mbufs=4096", "--no-mlockall"])
    ctx.children.append(pmd)
    pmd.wait_for("Done", START_SECONDS)
    pmd.say("set fwd flowgen")
    pmd.wait_for("Set flowgen packet forwarding mode", 10)
    frames = exchange(pmd)
    if kinds(ctx, device) != [packed] * 2:
        raise Failed("its queues are packed: %s" % kinds(ctx, device))
    for word in "stop", "start":
        pmd.say("port %s 0" % word)
        pmd.wait_for("Done", 20)
    frames += exchange(pmd)
    pmd.say("quit")
    if pmd.proc.wait(timeout=20):
        raise Failed("dpdk-testpmd ended with %d" % pmd.proc.returncode)
    device.leave()
    return "%d frames" % frames


def split_rings(ctx):
    return talk(ctx, False)


def packed_rings(ctx):
    return talk(ctx, True)


CASES = [split_rings, packed_rings]
