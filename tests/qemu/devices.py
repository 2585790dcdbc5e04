# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU asks of other kinds of vhost-user devices as their guest moves: dev.c's, to
which the guest talks all the while (chatter.c).  libvu must refuse nothing."""

import os
import time

from migrate import ANSWER_SECONDS, BOOT_SECONDS, FAST, MEMORY, MOVE_SECONDS
from migrate import await_migration, figures, leave, set_up, uri
from qmp import Failed
from vm import Process


NEVER = "State blocked by non-migratable device"


class Device(Process):
    def __init__(self, ctx, kind, name, env=None):
        self.sock = os.path.join(ctx.workdir, name + ".sock")
        super().__init__([ctx.options.dev, kind, self.sock], env=env)
        ctx.children.append(self)
        self.wait_for("ready on", 10)

    def leave(self):
        """The front-end has gone: so does it, and the library has had no complaints."""
        status = self.proc.wait(timeout=10)
        said = [x for x in self.lines if x.startswith("libvu")]
        if status or said:
            raise Failed("the device ended with %d; %s" % (status, "\n".join(self.lines)))


class Pair:
    """A guest, and what its second QEMU takes over."""

    def __init__(self, ctx, kind, **more):
        # QEMU 7.2 under TCG crashes as it starts a vhost network card that has a control
        # queue and an interrupt of its own for each queue.
        if kind == "net" and ctx.qemu.key == "7":
            more["device"] = ",vectors=0"
        self.arguments = dict(more, kind=kind.split("-")[0], machine=ctx.qemu.machine,
                              cpu="qemu64", memory=MEMORY)
        self.devices = [Device(ctx, kind, n) for n in "ab"]
        self.src = ctx.guest(self.devices[0], "chatter", **self.arguments)
        self.src.wait_for("VU-CHATTER started", BOOT_SECONDS)
        talk(self.src)
        self.dst = ctx.guest(self.devices[1], "chatter", incoming=True, **self.arguments)
        set_up(self.src)
        set_up(self.dst)


def talk(g, exchanges=200):
    """Waits until the guest has talked to its device that often again; in words."""
    deadline = time.monotonic() + ANSWER_SECONDS
    first = None
    while time.monotonic() < deadline:
        g.say("check")
        line = g.wait_for("VU-CHATTER ", ANSWER_SECONDS)
        if " ok " not in line:
            raise Failed("\n".join(g.lines[-8:]))
        good = int(line.split("good=")[1].split()[0])
        first = good if first is None else first
        if good - first >= exchanges:
            return line.split(" ok ")[1]
    raise Failed("the guest cannot talk to its device:\n" + "\n".join(g.lines[-8:]))


def move(ctx, pair):
    where = uri(ctx)
    pair.dst.qmp.execute("migrate-incoming", uri=where)
    pair.src.qmp.execute("migrate-set-parameters", **FAST)
    pair.src.qmp.execute("migrate", uri=where)
    info = await_migration(pair.src)
    pair.dst.qmp.wait_event("RESUME", ANSWER_SECONDS)
    leave(pair.src)
    pair.devices[0].leave()
    words = talk(pair.dst)
    leave(pair.dst)
    pair.devices[1].leave()
    ctx.note("%s; %s" % (figures(info), words))


def network_card_moves(ctx):
    pair = Pair(ctx, "net")
    move(ctx, pair)
    if "dev: to be announced" not in pair.devices[1].lines:
        raise Failed("no RARP was asked for at the new place")


def scsi_controller_moves(ctx):
    move(ctx, Pair(ctx, "scsi"))


def stays(ctx, kind, why):
    """The move is declined, and the guest goes on where it is."""
    pair = Pair(ctx, kind)
    where = uri(ctx)
    pair.dst.qmp.execute("migrate-incoming", uri=where)
    try:
        pair.src.qmp.execute("migrate", uri=where)
        await_migration(pair.src, MOVE_SECONDS)
    except Failed as e:
        if why not in str(e):
            raise
        ctx.note("%s; %s" % (e, talk(pair.src)))
    else:
        raise Failed("it has moved")
    leave(pair.src)
    pair.devices[0].leave()


def file_system_moves(ctx):
    """With its state, which 7.2 has no way to ask for."""
    if ctx.qemu.key == "7":
        return stays(ctx, "fs", NEVER)
    pair = Pair(ctx, "fs")
    move(ctx, pair)
    if not any("times elsewhere" in line for line in pair.devices[1].lines):
        raise Failed("the device at the new place was given no state")


def file_system_without_state_stays(ctx):
    stays(ctx, "fs-stateless", NEVER if ctx.qemu.key == "7" else "pre-save failed")


CASES = [network_card_moves, scsi_controller_moves, file_system_moves]
NEWEST_CASES = [file_system_without_state_stays]
