#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vu-blk under real guests: run.py --assets DIR --vu-blk PROGRAM --vu-blk-mutant PROGRAM
--dev PROGRAM [--qemu 7|10] [--jobs N] [CASE...]

Prints TAP.  Each case starts vu-blk, boots guests that write and check the disk, and
looks at the image afterwards.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import crash  # noqa: E402
import devices  # noqa: E402
import dpdk  # noqa: E402
import migrate  # noqa: E402
import postcopy  # noqa: E402
import tap  # noqa: E402
from qmp import Failed  # noqa: E402
from vm import Backend, Qemu  # noqa: E402

DISK_MIB = 64
STEP_SECONDS = 240


class Context:
    def __init__(self, options, qemu, workdir, packed):
        self.options = options
        self.packed = packed
        self.versions = versions(options)
        self.qemu = qemu
        self.workdir = workdir
        self.children = []
        self.cleanups = []
        self.image = os.path.join(workdir, "disk.img")
        with open(self.image, "wb") as f:
            f.truncate(DISK_MIB << 20)

    def backend(self, *args, name="blk", program=None, env=None, image=None):
        b = Backend(program or self.options.vu_blk, os.path.join(self.workdir, name + ".sock"),
                    image or self.image, *args, env=env)
        self.children.append(b)
        return b

    def guest(self, backend, *steps, qemu=None, **more):
        g = Qemu((qemu or self.qemu).argv, self.options.assets, backend.sock, steps,
                 packed=self.packed, **more)
        self.children.append(g)
        return g

    def end_backend(self, backend):
        """SIGTERM ends it soon, with status 0, and its socket goes away."""
        begin = time.monotonic()
        status = backend.end()
        if status != 0:
            raise Failed("vu-blk ended with %s:\n%s" % (status, "\n".join(backend.lines)))
        if time.monotonic() - begin > 5:
            raise Failed("vu-blk took %.1f s to end" % (time.monotonic() - begin))
        if os.path.exists(backend.sock):
            raise Failed("vu-blk left its socket behind")

    @staticmethod
    def note(words):
        print("#   " + words, flush=True)

    def clean(self):
        for c in reversed(self.children):
            c.end(signal.SIGKILL)
        while self.cleanups:
            self.cleanups.pop()()


def sh(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failed("%s: %s" % (" ".join(argv), done.stdout))
    return done.stdout


def one_queue(ctx):
    b = ctx.backend("--serial=serial-0123456789", "--verbose")
    r = ctx.guest(b, "info", "rand", "zero", "writecache", "fill", "check", ops=4000).run(
        STEP_SECONDS)
    for want in ("serial=serial-0123456789", "sectors=%d" % (DISK_MIB << 11), "queues=1",
                 "block=512", "write-back"):
        if want not in r["info"]:
            raise Failed("the guest saw '%s', not %s" % (r["info"], want))
    ctx.end_backend(b)
    # The firmware's driver has no cache; the kernel's has, and switched it off and on.
    cache = [line.split()[-1] for line in b.lines if "write cache" in line]
    if cache[-3:] != ["on", "off", "on"]:
        raise Failed("the write cache was %s" % ", ".join(cache))
    return r["rand"]


def two_queues_with_threads(ctx):
    # As many as the guest has processors: it uses no more.
    b = ctx.backend("--num-queues=4", "--threads")
    r = ctx.guest(b, "info", "rand", "fill", "check", queues=4, threads=4, ops=2500).run(
        STEP_SECONDS)
    if "queues=2" not in r["info"]:
        raise Failed("the guest saw '%s', not 2 queues" % r["info"])
    ctx.end_backend(b)
    return r["rand"]


def many_queues_in_one_loop(ctx):
    b = ctx.backend("--num-queues=4", "--cache=buffered", "--block-size=4096")
    r = ctx.guest(b, "info", "filesystem", queues=4).run(STEP_SECONDS)
    if "block=4096" not in r["info"]:
        raise Failed("the guest saw '%s', not blocks of 4096" % r["info"])
    ctx.end_backend(b)


def device_reset(ctx):
    b = ctx.backend("--num-queues=2", "--threads")
    ctx.guest(b, "fill", "rebind", "check", "rebind", "rand", queues=2, ops=1000).run(STEP_SECONDS)
    ctx.end_backend(b)


def guest_reboot(ctx):
    b = ctx.backend()
    g = ctx.guest(b, "fill", "check", "reboot", reboots=True, seed=5)
    for _ in range(2):
        for step in ("fill", "check", "reboot"):
            g.wait_step(step, STEP_SECONDS)
    g.end(signal.SIGKILL)
    # The contents outlive the monitor too.
    ctx.guest(b, "check", seed=5).run(STEP_SECONDS)
    ctx.end_backend(b)


def file_system(ctx):
    b = ctx.backend("--num-queues=2", "--threads", "--cache=direct")
    r = ctx.guest(b, "filesystem", queues=2).run(STEP_SECONDS)
    ctx.end_backend(b)
    sh("e2fsck", "-f", "-n", ctx.image)
    return r["filesystem"]


def host_and_guest_agree(ctx):
    sh("qemu-io", "-f", "raw", "-c", "write -P 0x5a 0 1M", ctx.image)
    b = ctx.backend()
    ctx.guest(b, "hostpattern").run(STEP_SECONDS)
    ctx.end_backend(b)
    sh("qemu-io", "-f", "raw", "-c", "read -P 0x5a 0 1M", "-c", "read -P 0xa5 1M 1M",
       "-c", "read -P 0 2M 1M", ctx.image)
    out = sh("qemu-img", "info", "-f", "raw", ctx.image)
    if "virtual size: %d MiB" % DISK_MIB not in out:
        raise Failed("qemu-img: " + out)


def read_only(ctx):
    before = sh("sha256sum", ctx.image)
    b = ctx.backend("--read-only")
    ctx.guest(b, "readonly").run(STEP_SECONDS)
    ctx.end_backend(b)
    if sh("sha256sum", ctx.image) != before:
        raise Failed("the image has changed")


def monitor_killed(ctx):
    b = ctx.backend("--num-queues=2", "--threads")
    ctx.guest(b, "fill", queues=2, seed=9).run(STEP_SECONDS)
    g = ctx.guest(b, "check", "rand", queues=2, seed=9, ops=1000000)
    g.wait_step("check", STEP_SECONDS)
    # In the middle of its I/O.
    g.end(signal.SIGKILL)
    ctx.guest(b, "fill", "check", queues=2, seed=10).run(STEP_SECONDS)
    ctx.end_backend(b)


def back_end_ends_under_load(ctx):
    b = ctx.backend("--num-queues=2", "--threads")
    g = ctx.guest(b, "info", "rand", queues=2, ops=1000000)
    g.wait_step("info", STEP_SECONDS)
    ctx.end_backend(b)


CASES = [one_queue, two_queues_with_threads, device_reset, guest_reboot, monitor_killed]
CASES += migrate.CASES + postcopy.CASES + crash.CASES + devices.CASES
# What is between the guest's driver and vu-blk; with both versions in the long form only.
NEWEST_CASES = [many_queues_in_one_loop, file_system, host_and_guest_agree, read_only,
                back_end_ends_under_load]
NEWEST_CASES += (migrate.NEWEST_CASES + postcopy.NEWEST_CASES + crash.NEWEST_CASES +
                 devices.NEWEST_CASES)
# Two versions at once.
CROSS_CASES = migrate.CROSS_CASES
# With packed rings under the newest, as 7.2 has them with split ones; in the long form both
# have both.
PACKED_CASES = [two_queues_with_threads, device_reset, guest_reboot, many_queues_in_one_loop,
                migrate.stopped_and_continued, migrate.precopy_four_queues,
                migrate.suspend_and_restore,
                postcopy.postcopy_four_queues, crash.killed_and_restarted,
                crash.dies_between_two_stores, crash.replaced_in_peace]


class Version:
    """A QEMU: what it is called, how it is started, its newest machine type."""

    def __init__(self, key, name, argv, machine):
        self.key = key
        self.name = name
        self.argv = argv
        self.machine = machine


def versions(options):
    root = os.path.join(options.assets, "qemu10/usr")
    found = [Version("7", "QEMU 7.2", ["qemu-system-x86_64"], "pc-q35-7.2"),
             Version("10", "QEMU 10", [os.path.join(root, "bin/qemu-system-x86_64"),
                                       "-L", os.path.join(root, "share/qemu"),
                                       "-L", os.path.join(root, "share/seabios")],
                     "pc-q35-10.0")]
    return {v.key: v for v in found}


def run(options, qemu, case, packed):
    name = "%s: %s%s" % ("both" if case in CROSS_CASES else
                         "DPDK" if case in dpdk.CASES else qemu.name,
                         "packed rings: " * packed, case.__name__)
    return name, case, lambda workdir: Context(options, qemu, workdir, packed)


def kinds(qemu, case):
    """Of rings: whether they are packed."""
    if case not in PACKED_CASES:
        return [False]
    return [False, True] if migrate.LONG else [qemu.key == "10"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--assets", required=True)
    parser.add_argument("--vu-blk", required=True)
    parser.add_argument("--vu-blk-mutant", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--qemu", choices=("7", "10"))
    tap.add_jobs(parser)
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    options.assets = os.path.abspath(options.assets)
    options.vu_blk = os.path.abspath(options.vu_blk)
    options.vu_blk_mutant = os.path.abspath(options.vu_blk_mutant)
    options.dev = os.path.abspath(options.dev)
    qemus = versions(options)
    runs = [(q, c) for q in qemus.values() if options.qemu in (None, q.key)
            for c in CASES + NEWEST_CASES * (migrate.LONG or q.key == "10")]
    if not options.qemu:
        runs += [(qemus["7"], c) for c in CROSS_CASES + dpdk.CASES]
    return tap.run_all([run(options, q, c, packed) for q, c in runs
                        if not options.cases or c.__name__ in options.cases
                        for packed in kinds(q, c)], options.jobs)


if __name__ == "__main__":
    sys.exit(main())
