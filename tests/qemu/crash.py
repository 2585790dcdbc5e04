# SPDX-License-Identifier: GPL-2.0-or-later
"""vu-blk is killed at random moments of the guest's I/O (live.c) and started again;
QEMU connects anew and gives it the memory that says what was in flight."""

import os
import random
import signal
import subprocess
import time

from migrate import ANSWER_SECONDS, LONG, SLOW, Shape, await_requests, check, finish, move
from migrate import wait_for_io
from qmp import Corrupt, Failed

KILLS = 200 if LONG else 10
CHECK_EVERY = 20 if LONG else 5


def taken_up(backend):
    """Requests it has taken up again when it started."""
    return sum(int(line.split(": ")[-1].split()[0])
               for line in backend.lines if "requests in flight are taken up again" in line)


def await_completion(g, backend, before, seconds):
    """False if the back-end has died before anything was completed."""
    deadline = time.monotonic() + seconds
    while [used for _, used in g.ring_indexes()] == [used for _, used in before]:
        if backend.proc.poll() is not None:
            return False
        if time.monotonic() > deadline:
            raise Corrupt("nothing completes after the restart: available and used are "
                          "%s\n%s" % (g.ring_indexes(), "\n".join(g.lines[-8:])))
        time.sleep(0.0005)
    return True


class Killer:
    """Ends one vu-blk after the other.  @left_out is what a mutant of the library does
    not do; with @at_a_store each is one that kills itself between two stores to the
    memory that QEMU keeps."""

    def __init__(self, ctx, patience=ANSWER_SECONDS, left_out=None, at_a_store=False,
                 threads=False):
        self.ctx = ctx
        self.threads = threads  # always; or now and then
        self.at_a_store = at_a_store
        self.program = ctx.options.vu_blk_mutant if left_out or at_a_store else None
        self.env = {"VU_SKIP_MARKS": left_out} if left_out else {}
        self.seed = int(os.environ.get("VU_SEED", "0"), 0) or random.randrange(1 << 32)
        self.random = random.Random(self.seed)
        self.patience = patience
        self.seconds = []   # from each kill to the first completion
        self.peaceful = []  # the same, from each SIGTERM
        self.young = 0      # successors that died before a request was completed
        self.resumed = []   # requests each back-end took up again when it started
        self.backend = self.start(immortal=True)

    def start(self, immortal=False):
        threads = ["--threads"] * (self.threads or self.random.randrange(2))
        env = dict(self.env)
        if self.at_a_store and not immortal:
            # QEMU 7.2 does not come back from a death that interrupts its greeting.
            first = 300 if self.ctx.qemu.key == "7" else 1
            env["VU_CRASH_AT"] = str(self.random.randrange(first, 3000))
        return self.ctx.backend("--num-queues=2", "--verbose", *threads, env=env,
                                program=self.program)

    def kill(self, g):
        """At any moment, or with a few in flight that may complete out of order."""
        wait_for_io(g, self.random.randrange(1, 400), self.patience)
        if self.random.randrange(2):
            await_requests(g, self.random.randrange(1, 5))
        self.replace(g)

    def end_in_peace(self, g):
        """What is in flight is completed, so that the next one takes nothing up again."""
        wait_for_io(g, self.random.randrange(1, 400), self.patience)
        await_requests(g, self.random.randrange(1, 6))
        begin = time.monotonic()
        if self.end() != 0:
            raise Failed("SIGTERM ended vu-blk badly:\n" + "\n".join(self.backend.lines))
        left = g.ring_indexes()
        self.backend = self.start()
        await_completion(g, self.backend, left, self.patience)
        self.peaceful.append(time.monotonic() - begin)
        wait_for_io(g, 1, self.patience)
        if taken_up(self.backend):
            raise Corrupt("SIGTERM left requests in flight:\n" + "\n".join(self.backend.lines))

    def await_death(self, g):
        """Of one that dies by itself, between two stores."""
        try:
            self.backend.proc.wait(timeout=self.patience)
        except subprocess.TimeoutExpired:
            raise Corrupt("the guest's I/O stands still: available and used are %s" %
                          g.ring_indexes())
        self.replace(g)

    def replace(self, g):
        begin = time.monotonic()
        self.end(signal.SIGKILL)
        left = g.ring_indexes()
        self.backend = self.start()
        while self.ctx.qemu.key != "7" and self.random.randrange(4) == 0:
            self.kill_young()
        while not await_completion(g, self.backend, left, self.patience):
            self.young += 1
            self.end()
            self.backend = self.start()
        self.seconds.append(time.monotonic() - begin)

    def kill_young(self):
        """While QEMU greets it, or begins to use it; not for 7.2."""
        self.backend.wait_for("front-end connected", ANSWER_SECONDS)
        until = time.monotonic() + self.random.random() * 0.02
        while time.monotonic() < until:
            pass
        self.end(signal.SIGKILL)
        self.young += 1
        self.backend = self.start()

    def end(self, sig=signal.SIGTERM):
        status = self.backend.end(sig)
        self.resumed.append(taken_up(self.backend))
        return status

    def figures(self):
        words = ("%d kills and %d of successors, %d with requests in flight, %d of them in "
                 "all; from kill to first completion %s; " %
                 (len(self.seconds), self.young, sum(1 for r in self.resumed if r),
                  sum(self.resumed), spread(self.seconds)))
        if self.peaceful:
            words += "from SIGTERM %s; " % spread(self.peaceful)
        return words + "seed %d" % self.seed


def spread(seconds):
    ms = sorted(1000 * s for s in seconds)
    return "p50 %d ms, max %d ms" % (ms[len(ms) // 2], ms[-1])


def reconnecting(ctx):
    # 7.2 counts in seconds.
    return ",reconnect=1" if ctx.qemu.key == "7" else ",reconnect-ms=20"


def killed_and_restarted(ctx):
    killer = Killer(ctx)
    shape = Shape(ctx, 2, chardev=reconnecting(ctx))
    g = shape.boot(killer.backend)
    for n in range(1, KILLS + 1):
        killer.kill(g)
        if n % 5 == 0:
            killer.end_in_peace(g)
        if n % CHECK_EVERY == 0:
            check(g)
            g.say("go")
    words = finish(g)
    killer.end()
    ctx.note(killer.figures())
    if not any(killer.resumed):
        raise Failed("nothing was in flight at any of the kills")
    return words


def replaced_in_peace(ctx):
    killer = Killer(ctx, threads=True)
    g = Shape(ctx, 2, chardev=reconnecting(ctx)).boot(killer.backend)
    for _ in range(2 * KILLS):
        killer.end_in_peace(g)
    words = finish(g)
    ctx.note("%d ends; from SIGTERM to first completion %s; seed %d" %
             (len(killer.peaceful), spread(killer.peaceful), killer.seed))
    killer.end()
    return words


def dies_between_two_stores(ctx):
    killer = Killer(ctx, at_a_store=True)
    g = Shape(ctx, 2, chardev=reconnecting(ctx)).boot(killer.backend)
    killer.kill(g)
    for _ in range(KILLS):
        killer.await_death(g)
    killer.at_a_store = False
    killer.await_death(g)
    words = finish(g)
    killer.end()
    ctx.note(killer.figures())
    return words


def killed_in_the_middle_of_a_move(ctx):
    """In its first round.  Until it is back nothing becomes dirty, so a later round might
    be the last, and no QEMU before 10.1 cares whether there is a back-end to stop then."""
    killer = Killer(ctx)
    shape = Shape(ctx, 2, chardev=reconnecting(ctx))
    g = shape.boot(killer.backend)
    other = ctx.backend("--num-queues=2", name="b")
    dst = shape.incoming(other)

    def meanwhile():
        g.qmp.execute("migrate-set-parameters", **{"max-bandwidth": 24 << 20})
        killer.kill(g)
        g.qmp.execute("migrate-set-parameters", **SLOW)
        rounds = g.qmp.execute("query-migrate")["ram"]["dirty-sync-count"]
        if rounds > 1:
            raise Failed("the first round was over before the back-end was back")

    words = move(ctx, g, dst, meanwhile)
    ctx.note("%s; %s; %s" % (words, killer.figures(), check(dst)))
    dst.say("go")
    wait_for_io(dst, 500)
    words = finish(dst)
    ctx.end_backend(other)
    return words


def with_step_left_out(ctx, step, at_a_store):
    killer = Killer(ctx, 5, step, at_a_store)
    g = Shape(ctx, 2, chardev=reconnecting(ctx)).boot(killer.backend)
    try:
        killer.kill(g)
        for n in range(150):
            if at_a_store:
                killer.await_death(g)
            else:
                killer.kill(g)
            if n % 4 == 3:
                check(g, seconds=killer.patience)
                g.say("go")
    except Corrupt as e:
        ctx.note("without step %s: %s; after %d kills" %
                 (step, str(e).split("\n")[0], len(killer.seconds)))
        return
    raise Failed("step %s was left out and nobody has noticed; %s" % (step, killer.figures()))


def lost_requests_show(ctx):
    """What was taken and not noted; found in the ring all the same if completed in order."""
    with_step_left_out(ctx, "take", False)


def repeated_requests_show(ctx):
    """The last batch, completed and not noted as such."""
    for step in ("batch", "repair") if LONG else ("repair",):
        with_step_left_out(ctx, step, True)
        ctx.clean()


CASES = [killed_and_restarted, dies_between_two_stores, killed_in_the_middle_of_a_move]
# 7.2 takes a second for each connection.
NEWEST_CASES = [replaced_in_peace, lost_requests_show, repeated_requests_show]
