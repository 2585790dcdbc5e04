# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that move before their memory does: what vu-blk touches at the new place and
has not come yet is fetched while it waits."""

import time

from migrate import ANSWER_SECONDS, MOVE_SECONDS, MOVES, Shape
from migrate import await_migration, figures, leave, set_up, to_and_fro, uri, wait_for_io
from migrate import with_marks_skipped
from qmp import Failed

# Slow enough for much of the memory to be missed.
BANDWIDTH = {"max-bandwidth": 80 << 20, "downtime-limit": 1,
             "max-postcopy-bandwidth": 80 << 20}
BEFORE = 48 << 20  # bytes that go before the switch
FAULT = "vhost_user_postcopy_fault_handler_found"


def await_bytes(g, n):
    deadline = time.monotonic() + MOVE_SECONDS
    while True:
        info = g.qmp.execute("query-migrate")
        if info.get("ram", {}).get("transferred", 0) >= n:
            return
        if info.get("status") not in (None, "setup", "active"):
            raise Failed("the migration is %s: %s" %
                         (info["status"], info.get("error-desc", "no reason given")))
        if time.monotonic() > deadline:
            raise Failed("the migration is too slow")
        time.sleep(0.01)


def move(ctx, src, dst):
    """The switch comes in the middle of the first round; the figures, in words."""
    where = uri(ctx)
    set_up(src, postcopy_ram=True)
    set_up(dst, postcopy_ram=True)
    dst.qmp.execute("migrate-incoming", uri=where)
    src.qmp.execute("migrate-set-parameters", **BANDWIDTH)
    src.qmp.execute("migrate", uri=where)
    await_bytes(src, BEFORE)
    src.qmp.execute("migrate-start-postcopy")
    begin = time.monotonic()
    dst.qmp.wait_event("RESUME", ANSWER_SECONDS)
    dst.find_rings()
    wait_for_io(dst, 1)
    first = time.monotonic() - begin
    info = await_migration(src)
    dst.qmp.wait_event("MIGRATION", ANSWER_SECONDS, lambda d: d["status"] == "completed")
    leave(src)
    faults = sum(1 for line in dst.lines if FAULT in line)
    ctx.faults = getattr(ctx, "faults", 0) + faults
    return ("%s; %d pages asked for, %d faults of the back-end, first completion after %d ms" %
            (figures(info), info["ram"]["postcopy-requests"], faults, 1000 * first))


HOW = {"mover": move, "extra": ("-trace", FAULT)}


def postcopy(ctx, queues):
    pair = [ctx.backend("--num-queues=%d" % queues, *more, name=n)
            for n, more in (("a", []), ("b", ["--threads"]))]
    words = to_and_fro(ctx, Shape(ctx, queues), MOVES, pair, **HOW)
    for b in pair:
        ctx.end_backend(b)
    if not ctx.faults:
        raise Failed("the back-ends have missed none of their memory")
    return "%s; %d faults of the back-ends" % (words, ctx.faults)


def postcopy_one_queue(ctx):
    return postcopy(ctx, 1)


def postcopy_four_queues(ctx):
    return postcopy(ctx, 4)


def lost_marks_show_in_postcopy(ctx):
    """What was sent before the switch and written again must be sent again."""
    with_marks_skipped(ctx, "data", 3, **HOW)


CASES = [postcopy_one_queue, postcopy_four_queues]
NEWEST_CASES = [lost_marks_show_in_postcopy]
