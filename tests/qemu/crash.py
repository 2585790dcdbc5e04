# SPDX-License-Identifier: GPL-2.0-or-later
"""vu-blk is killed at random moments of the guest's I/O (live.c) and started again;
QEMU connects anew and gives it the memory that says what was in flight."""

import os
import random
import signal
import time

from migrate import ANSWER_SECONDS, LONG, Shape, check, finish, wait_for_io
from qmp import Corrupt, Failed

KILLS = 200 if LONG else 10
CHECK_EVERY = 20 if LONG else 5
TAKEN_UP = "requests in flight are taken up again"


def await_requests(g, n):
    """Until a queue has that many in flight."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while all((available - used) % 65536 < n for available, used in g.ring_indexes()):
        if time.monotonic() > deadline:
            raise Failed("the guest has stopped its I/O")


def await_completion(g, before, seconds):
    deadline = time.monotonic() + seconds
    while [used for _, used in g.ring_indexes()] == [used for _, used in before]:
        if time.monotonic() > deadline:
            raise Corrupt("nothing completes after the restart: available and used are %s\n%s" %
                          (g.ring_indexes(), "\n".join(g.lines[-8:])))
        time.sleep(0.0005)


class Killer:
    def __init__(self, ctx, patience=ANSWER_SECONDS, **options):
        self.ctx = ctx
        self.options = options
        self.seed = int(os.environ.get("VU_SEED", "0"), 0) or random.randrange(1 << 32)
        self.random = random.Random(self.seed)
        self.patience = patience
        self.seconds = []  # from each kill to the first completion
        self.young = 0     # successors that died before a request was completed
        self.resumed = []  # requests each back-end took up again when it started
        self.backend = self.start()

    def start(self):
        threads = ["--threads"] * self.random.randrange(2)
        return self.ctx.backend("--num-queues=2", "--verbose", *threads, **self.options)

    def kill(self, g):
        """At any moment, or with a few in flight that may complete out of order."""
        wait_for_io(g, self.random.randrange(1, 400), self.patience)
        if self.random.randrange(2):
            await_requests(g, self.random.randrange(1, 5))
        begin = time.monotonic()
        self.end(signal.SIGKILL)
        left = g.ring_indexes()
        self.backend = self.start()
        # QEMU 7.2 does not come back from a death that interrupts its greeting.
        while self.ctx.qemu.key != "7" and self.random.randrange(4) == 0:
            self.die_young()
        await_completion(g, left, self.patience)
        self.seconds.append(time.monotonic() - begin)

    def die_young(self):
        """Killed while QEMU greets it, or begins to use it."""
        self.backend.wait_for("front-end connected", ANSWER_SECONDS)
        until = time.monotonic() + self.random.random() * 0.02
        while time.monotonic() < until:
            pass
        self.end(signal.SIGKILL)
        self.young += 1
        self.backend = self.start()

    def end(self, sig=signal.SIGTERM):
        self.backend.end(sig)
        self.resumed.append(sum(int(line.split(": ")[-1].split()[0])
                                for line in self.backend.lines if TAKEN_UP in line))

    def figures(self):
        ms = sorted(1000 * s for s in self.seconds)
        return ("%d kills and %d of successors, %d with requests in flight, %d of them in all; "
                "from kill to first completion p50 %d ms, max %d ms; seed %d" %
                (len(ms), self.young, sum(1 for r in self.resumed if r), sum(self.resumed),
                 ms[len(ms) // 2], ms[-1], self.seed))


def reconnecting(ctx):
    # 7.2 counts in seconds.
    return ",reconnect=1" if ctx.qemu.key == "7" else ",reconnect-ms=20"


def killed_and_restarted(ctx):
    killer = Killer(ctx)
    shape = Shape(ctx, 2, chardev=reconnecting(ctx))
    g = shape.boot(killer.backend)
    for n in range(1, KILLS + 1):
        killer.kill(g)
        if n % CHECK_EVERY == 0:
            check(g)
            g.say("go")
    words = finish(g)
    killer.end()
    ctx.note(killer.figures())
    if not any(killer.resumed):
        raise Failed("nothing was in flight at any of the kills")
    return words


def lost_requests_show(ctx):
    """With a library that does not note what it takes; what is completed in order is
    found in the ring all the same."""
    killer = Killer(ctx, 5, program=ctx.options.vu_blk_mutant, env={"VU_SKIP_MARKS": "take"})
    g = Shape(ctx, 2, chardev=reconnecting(ctx)).boot(killer.backend)
    try:
        for _ in range(50):
            killer.kill(g)
        check(g, seconds=killer.patience)
    except Corrupt as e:
        ctx.note("%s; after %d kills" % (str(e).split("\n")[0], len(killer.seconds)))
        return
    raise Failed("requests were lost and nobody has noticed; " + killer.figures())


CASES = [killed_and_restarted, lost_requests_show]
