# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that move between two QEMUs, each with a vu-blk of its own, while the guest
reads and writes the one disk both serve and compares all it has read (live.c)."""

import os
import subprocess
import time

from qmp import Corrupt, Failed

LONG = bool(os.environ.get("VU_LONG"))
MOVES = 24 if LONG else 3
BOOT_SECONDS = 60
MOVE_SECONDS = 120
ANSWER_SECONDS = 20

# Slow enough for several rounds under I/O; then everything is let go.
ROUNDS = 3
SLOW = {"max-bandwidth": 96 << 20, "downtime-limit": 1}
FAST = {"max-bandwidth": 1 << 30, "downtime-limit": 300}

# Not a multiple of 256 KiB.  QEMU before 9.0 clears the dirty bits of a memory that is
# one without telling its TCG, which then does not set them again: a guest that runs
# under TCG loses what its own processors write.  Nothing of the kind happens under KVM.
MEMORY = (256 << 10) + 8

LEGACY = ",disable-modern=on,disable-legacy=off"


class Shape:
    """What the QEMUs of one guest must agree upon.

    In the @legacy layout the used ring has pages of its own, so that nothing but the
    back-end's marks makes them move.
    """

    def __init__(self, ctx, queues=1, legacy=False, machine=None, chardev=""):
        self.ctx = ctx
        self.queues = queues
        self.arguments = {
            "queues": queues, "threads": 8, "smp": max(2, queues), "cpu": "qemu64",
            "machine": machine or ctx.qemu.machine, "seed": 11,
            "memory": MEMORY, "device": LEGACY if legacy else "", "chardev": chardev}

    def boot(self, backend):
        g = self.ctx.guest(backend, "live", **self.arguments)
        words = g.wait_for("VU-LIVE started", BOOT_SECONDS)
        if int(words.rsplit("huge=", 1)[1]) < 16:
            raise Failed("the guest got no huge pages: " + words)
        g.find_rings()
        return g

    def incoming(self, backend, **more):
        return self.ctx.guest(backend, "live", **dict(self.arguments, incoming=True, **more))


# --- the guest ---

def check(g, word="check", seconds=ANSWER_SECONDS):
    """Stops the guest's I/O; it must all complete, and all that was read be right."""
    begin = len(g.lines)
    g.say(word)
    try:
        line = g.wait_for("VU-LIVE %s " % word, seconds)
    except Failed:
        raise Corrupt("requests do not complete: available and used are %s\n%s" %
                      (g.ring_indexes(), "\n".join(g.lines[begin:])))
    if " ok " not in line or any("is not a head" in x for x in g.lines):
        raise Corrupt("\n".join(g.lines[-12:]))
    # None lost, none completed twice.
    for q, (available, used) in enumerate(g.ring_indexes()):
        if available != used:
            raise Corrupt("queue %d: %d requests made available, %d completed" %
                          (q, available, used))
    return line.split(" ok ", 1)[1]


def completed(g):
    return sum(used for _, used in g.ring_indexes())


def wait_for_io(g, requests, seconds=ANSWER_SECONDS):
    begin = completed(g)
    deadline = time.monotonic() + seconds
    while (completed(g) - begin) % 65536 < requests:
        if time.monotonic() > deadline:
            raise Corrupt("the guest's I/O stands still: available and used are %s\n%s" %
                          (g.ring_indexes(), "\n".join(g.lines[-12:])))
        if g.proc.poll() is not None:
            raise Failed("QEMU has ended:\n" + "\n".join(g.lines[-12:]))
        time.sleep(0.002)


def await_requests(g, n):
    """Until a queue has that many in flight."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while all((available - used) % 65536 < n for available, used in g.ring_indexes()):
        if time.monotonic() > deadline:
            raise Failed("the guest has stopped its I/O")


def finish(g):
    words = check(g, "end", 60)
    g.wait_for("VU-DONE", ANSWER_SECONDS)
    if g.proc.wait(timeout=30):
        raise Failed("QEMU ended with %d" % g.proc.returncode)
    return words


# --- in place ---

def stopped_and_continued(ctx):
    """As at the end of a migration, with requests in flight, again and again."""
    times = 1000 if LONG else 40
    for more in ([], ["--threads"]):
        b = ctx.backend("--num-queues=2", *more)
        g = Shape(ctx, 2).boot(b)
        for n in range(times):
            await_requests(g, 1 + n % 6)
            g.qmp.execute("stop")
            g.qmp.execute("cont")
            wait_for_io(g, 1)
        words = finish(g)
        ctx.end_backend(b)
    return words


# --- a move ---

def uri(ctx):
    ctx.uris = getattr(ctx, "uris", 0) + 1
    return "unix:" + os.path.join(ctx.workdir, "move.%d.sock" % ctx.uris)


def set_up(g, **capabilities):
    g.qmp.execute("migrate-set-capabilities", capabilities=[
        {"capability": c.replace("_", "-"), "state": s}
        for c, s in dict(capabilities, events=True).items()])


def await_migration(g, seconds=MOVE_SECONDS):
    data = g.qmp.wait_event("MIGRATION", seconds,
                            lambda d: d["status"] in ("completed", "failed"))
    info = g.qmp.execute("query-migrate")
    if data["status"] != "completed":
        raise Failed("the migration failed: %s" % info.get("error-desc", "no reason given"))
    # 7.2 says that it has completed before it has added up.
    while not info["total-time"]:
        time.sleep(0.002)
        info = g.qmp.execute("query-migrate")
    return info


def leave(g):
    """The old QEMU, which has nothing any more."""
    g.qmp.execute("quit")
    if g.proc.wait(timeout=30):
        raise Failed("QEMU ended with %d:\n%s" % (g.proc.returncode, "\n".join(g.lines[-8:])))


def figures(info):
    ram = info["ram"]
    return "downtime %d ms, total %d ms, %d rounds, %d MiB" % (
        info["downtime"], info["total-time"], ram["dirty-sync-count"],
        ram["transferred"] >> 20)


def await_used_marks(g):
    """Under I/O the log must have every used ring now and then, while QEMU clears it.

    QEMU itself marks a used ring as its queue stops, so at the other end none is missed;
    other front-ends do not.
    """
    deadline = time.monotonic() + ANSWER_SECONDS / 4
    seen = [False] * g.queues
    while not all(seen):
        seen = [a or b for a, b in zip(seen, g.used_rings_logged() or seen)]
        if time.monotonic() > deadline:
            raise Corrupt("the back-end writes used rings that are not in the log: %s of "
                          "%d queues' are" % (sum(seen), g.queues))
        time.sleep(0.002)


def move(ctx, src, dst, meanwhile=lambda: None):
    """By precopy, in several rounds under I/O.  The figures, in words."""
    where = uri(ctx)
    set_up(src)
    set_up(dst)
    dst.qmp.execute("migrate-incoming", uri=where)
    src.qmp.execute("migrate-set-parameters", **SLOW)
    src.qmp.execute("migrate", uri=where)
    meanwhile()
    src.qmp.wait_event("MIGRATION_PASS", MOVE_SECONDS, lambda d: d["pass"] >= ROUNDS)
    await_used_marks(src)
    src.qmp.execute("migrate-set-parameters", **FAST)
    info = await_migration(src)
    dst.qmp.wait_event("RESUME", ANSWER_SECONDS)
    dst.find_rings()
    leave(src)
    return figures(info)


def to_and_fro(ctx, shape, moves, backends, qemus=(None, None), mover=move, extra=()):
    """Moves a guest between two back-ends, checking it after each move."""
    g = shape.boot(backends[0])
    for n in range(1, moves + 1):
        wait_for_io(g, 500)
        dst = shape.incoming(backends[n % 2], qemu=qemus[n % 2], extra=extra)
        words = mover(ctx, g, dst)
        g = dst
        compared = check(g)
        ctx.note("move %d: %s; %s" % (n, words, compared))
        g.say("go")
    wait_for_io(g, 500)
    return finish(g)


def precopy(ctx, queues, legacy=False):
    a = ctx.backend("--num-queues=%d" % queues, name="a")
    b = ctx.backend("--num-queues=%d" % queues, "--threads", name="b")
    words = to_and_fro(ctx, Shape(ctx, queues, legacy), MOVES, (a, b))
    ctx.end_backend(a)
    ctx.end_backend(b)
    return words


def precopy_one_queue(ctx):
    return precopy(ctx, 1, legacy=True)


def precopy_four_queues(ctx):
    return precopy(ctx, 4)


def loop_device(ctx):
    """The image once more, as a block device with a page cache of its own: what another
    host has of a shared disk."""
    made = subprocess.run(["losetup", "--find", "--show", ctx.image], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode:
        raise Failed("losetup: " + made.stdout)
    path = made.stdout.strip()
    ctx.cleanups.append(lambda: subprocess.run(["losetup", "--detach", path]))
    return path


def precopy_between_page_caches(ctx):
    pair = [ctx.backend("--cache=buffered", name=n, image=loop_device(ctx)) for n in "ab"]
    words = to_and_fro(ctx, Shape(ctx), 2, pair)
    for b in pair:
        ctx.end_backend(b)
    return words


def to_the_newer_and_back(ctx):
    """One machine type, two versions of QEMU."""
    old, new = ctx.versions["7"], ctx.versions["10"]
    a, b = ctx.backend(name="a"), ctx.backend("--threads", name="b")
    words = to_and_fro(ctx, Shape(ctx, machine=old.machine), 2, (a, b), (old, new))
    ctx.end_backend(a)
    ctx.end_backend(b)
    return words


# --- to a file ---

def suspend(ctx, g, where):
    """Stops the guest in the middle of its I/O and saves it; ends its QEMU."""
    set_up(g)
    wait_for_io(g, 2000)
    g.qmp.execute("stop")
    g.qmp.execute("migrate-set-parameters", **FAST)
    g.qmp.execute("migrate", uri=where % ">")
    info = await_migration(g)
    leave(g)
    return info["ram"]["transferred"] >> 20


def resume(ctx, shape, backend, where):
    g = shape.incoming(backend)
    set_up(g)
    g.qmp.execute("migrate-incoming", uri=where % "<")
    g.qmp.wait_event("MIGRATION", MOVE_SECONDS, lambda d: d["status"] == "completed")
    if g.qmp.execute("query-status")["status"] != "paused":
        raise Failed("the guest was saved while it was stopped, and is not now")
    g.qmp.execute("cont")
    g.find_rings()
    return g


def suspend_and_restore(ctx):
    """Through a file; the new QEMU has a new back-end process."""
    shape = Shape(ctx, 2)
    state = os.path.join(ctx.workdir, "state")
    # The second is for QEMU 8.2 and newer.
    forms = ["exec:cat %s" + state] * 2
    if ctx.qemu.key != "7":
        forms[1] = "file:" + state + "%.0s"
    b = ctx.backend("--num-queues=2")
    g = shape.boot(b)
    for n, where in enumerate(forms * (10 if LONG else 1)):
        mib = suspend(ctx, g, where)
        ctx.end_backend(b)
        b = ctx.backend("--num-queues=2", *["--threads"] * (n % 2 == 0))
        g = resume(ctx, shape, b, where)
        ctx.note("%s: %d MiB; %s" % (where.split(":")[0], mib, check(g)))
        g.say("go")
    wait_for_io(g, 500)
    words = finish(g)
    ctx.end_backend(b)
    return words


# --- negative control ---

def with_marks_skipped(ctx, marks, moves, **more):
    """The same with a library that skips a class of dirty marks: must end in corruption.

    Not "replace": it drops what is noted and not yet set when the log is replaced, and
    vu-blk has nothing noted between two of its calls.
    """
    env = {"VU_SKIP_MARKS": marks}
    pair = [ctx.backend(name=n, program=ctx.options.vu_blk_mutant, env=env) for n in "ab"]
    try:
        words = to_and_fro(ctx, Shape(ctx, legacy=True), moves, pair, **more)
    except Corrupt as e:
        ctx.note("without %s marks: %s" % (marks, str(e).split("\n")[0]))
        return
    raise Failed("marks are missing (%s) and nobody has noticed: %s" % (marks, words))


def lost_marks_show(ctx):
    short = {"7": ("used", "some"), "10": ("indirect", "wide")}[ctx.qemu.key]
    for marks in ("data", "used", "indirect", "wide", "some") if LONG else short:
        with_marks_skipped(ctx, marks, 3)
        ctx.clean()


CASES = [stopped_and_continued, precopy_one_queue, precopy_four_queues,
         suspend_and_restore, lost_marks_show]
# For the newest QEMU alone, unless there is much time.
NEWEST_CASES = [precopy_between_page_caches]
CROSS_CASES = [to_the_newer_and_back]
