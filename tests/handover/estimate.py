# SPDX-License-Identifier: GPL-2.0-or-later
"""What vu-migrate dirty foretells, and what a migration by QEMU with that bandwidth and
pause then does."""

import json

from migrate import MEMORY, await_migration, check, leave, set_up, wait_for_io
from qmp import Failed

QUEUES = 2
# Far from what the guest's disk does under load; then more than enough.
NARROW = {"max-bandwidth": 24 << 20, "downtime-limit": 50}
WIDE = {"max-bandwidth": 64 << 20, "downtime-limit": 2000}
PASSES = 5  # without an end: it will never come
SECONDS = 120


class Machine:
    """A guest (live.c) whose back-end's writes and whose monitor can be looked at."""

    def __init__(self, ctx, name, **more):
        self.ctx = ctx
        self.backend = ctx.backend(ctx.path(name + ".sock"), "--num-queues=%d" % QUEUES)
        self.monitor = ctx.path(name + ".qmp")
        self.guest = ctx.guest(
            self.backend.sock, "live", queues=QUEUES, threads=8, cpu="qemu64", seed=11,
            machine="pc-q35-7.2", memory=MEMORY,
            extra=("-qmp", "unix:%s,server=on,wait=off" % self.monitor), **more)

    def foretell(self, limits, status):
        text = self.ctx.migrate(
            "dirty", str(self.backend.proc.pid), "-d", "5", "--json", "--qmp", self.monitor,
            "--bandwidth=%d" % limits["max-bandwidth"],
            "--downtime=%dms" % limits["downtime-limit"], status=status)
        return json.loads(text)


def begin(machine, limits, uri):
    qmp = machine.guest.qmp
    set_up(machine.guest)
    qmp.execute("migrate-set-parameters", **limits)
    qmp.execute("migrate", uri=uri)
    return qmp


def never_ends(ctx, machine):
    """Under load: pass after pass, and no end."""
    told = machine.foretell(NARROW, 1)
    qmp = begin(machine, NARROW, "exec:cat > /dev/null")
    data = qmp.wait_event("MIGRATION_PASS", SECONDS, lambda d: d["pass"] >= PASSES)
    info = qmp.execute("query-migrate")
    if told["verdict"] != "NEVER" or info["status"] != "active":
        raise Failed("told: %s; it is: %s" % (told, info))
    qmp.execute("migrate_cancel")
    qmp.wait_event("MIGRATION", SECONDS, lambda d: d["status"] == "cancelled")
    ctx.note("under load, 24 MiB/s and 50 ms: %s, it takes %d MiB/s; QEMU: after %.0f s and "
             "%d passes %d MiB are left" %
             (told["verdict"], told["needed_bandwidth"] >> 20, info["total-time"] / 1000,
              data["pass"], info["ram"]["remaining"] >> 20))


def ends(ctx, what, machine, limits, destination=None):
    told = machine.foretell(limits, 0)
    uri = "exec:cat > /dev/null"
    if destination:
        uri = "unix:" + ctx.path("move.sock")
        set_up(destination.guest)
        destination.guest.qmp.execute("migrate-incoming", uri=uri)
    begin(machine, limits, uri)
    info = await_migration(machine.guest, SECONDS)
    if told["verdict"] != "CONVERGES":
        raise Failed("told: %s; it has ended: %s" % (told, info))
    ctx.note("%s, %d MiB/s and %d ms: %s in %.1f s with a pause of %.0f ms; QEMU: %.1f s, %d "
             "ms" % (what, limits["max-bandwidth"] >> 20, limits["downtime-limit"],
                     told["verdict"], told["total_seconds"], told["pause_ms"],
                     info["total-time"] / 1000, info["downtime"]))


def the_verdict_comes_true(ctx):
    here = Machine(ctx, "here")
    here.guest.wait_for("VU-LIVE started", SECONDS)
    here.guest.find_rings()
    # All of its arena has been read into.
    wait_for_io(here.guest, 4000, SECONDS)
    never_ends(ctx, here)
    wait_for_io(here.guest, 500)
    check(here.guest)
    here.guest.say("go")
    there = Machine(ctx, "there", incoming=True)
    ends(ctx, "under load", here, WIDE, there)
    there.guest.qmp.wait_event("MIGRATION", SECONDS, lambda d: d["status"] == "completed")
    leave(here.guest)
    there.guest.find_rings()
    wait_for_io(there.guest, 500)
    words = check(there.guest)
    ends(ctx, "at rest", there, NARROW)
    leave(there.guest)
    return words


CASES = [the_verdict_comes_true]
