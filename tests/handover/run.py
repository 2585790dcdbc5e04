#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hand-overs, checkpoints and restores under real guests that check their disk.

run.py --assets DIR --build DIR [--qemu 7|10] [--jobs N] [CASE...]

Prints TAP.  With VU_LONG in the environment, more rounds.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../qemu"))
import estimate  # noqa: E402
import tap  # noqa: E402
from qmp import Failed  # noqa: E402
from vm import Backend, Process, Qemu  # noqa: E402

DISK_MIB = 64
STEP_SECONDS = 240
LONG = bool(os.environ.get("VU_LONG"))


class StepBackend(Backend):
    """vu-blk of the tests, that may end itself at a step."""

    def __init__(self, program, sock, image, step, *options):
        super().__init__(program, sock, image, *options, env={"VU_STEP": step or "none:none"})


class Tool(Process):
    """vu-migrate, running."""

    def __init__(self, program, *args, step=None):
        super().__init__([program, *args], env={"VU_STEP": step} if step else None)


class Context:
    def __init__(self, options, qemu, version, packed, workdir):
        self.options = options
        self.qemu = qemu
        self.version = version
        self.packed = packed
        self.workdir = workdir
        self.children = []
        self.count = 0
        self.image = self.path("disk.img")
        with open(self.image, "wb") as f:
            f.truncate(DISK_MIB << 20)
        self.run_dir = self.path("run")
        os.mkdir(self.run_dir, 0o700)
        os.environ["LIBVU_RUN_DIR"] = self.run_dir

    def path(self, name):
        return os.path.join(self.workdir, name)

    def build(self, name):
        return os.path.join(self.options.build, name)

    def new_sock(self):
        self.count += 1
        return self.path("blk%d.sock" % self.count)

    def backend(self, sock, *args, image=None, step=None, plain=True):
        if plain and not step:
            b = Backend(self.build("examples/vu-blk"), sock, image or self.image, *args)
        else:
            b = StepBackend(self.build("tests/handover/vu-blk-steps"), sock,
                            image or self.image, step, *args)
        self.children.append(b)
        return b

    def guest(self, sock, *steps, **more):
        # The monitor comes back to a back-end that was away.
        again = ",reconnect=1" if self.version == "QEMU 7.2" else ",reconnect-ms=500"
        g = Qemu(self.qemu, self.options.assets, sock, steps, chardev=again,
                 packed=self.packed, **more)
        self.children.append(g)
        return g

    def migrate(self, *args, status=0, **more):
        done = subprocess.run([self.build("vu-migrate/vu-migrate"), *args],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60, **more)
        if done.returncode != status:
            raise Failed("vu-migrate %s: status %d, not %d\n%s%s" % (
                " ".join(args), done.returncode, status, done.stdout, done.stderr))
        return done.stdout

    def devices(self):
        """What list says, by process; those that do not answer have an error."""
        return {int(d["target"].split("-")[0]): d
                for d in json.loads(self.migrate("list", "--json"))}

    def states(self):
        # One that does not answer, as one that is just being killed, has none.
        return [d.get("state") for d in json.loads(self.migrate("list", "--json"))]

    @staticmethod
    def note(words):
        print("#   " + words)

    def clean(self):
        for c in reversed(self.children):
            if c.proc.poll() is None:
                c.proc.send_signal(signal.SIGCONT)
            c.end(signal.SIGKILL)


def check_results(guest):
    """No step of the guest's has failed so far."""
    for line in guest.lines:
        if "VU-RESULT" in line and " ok" not in line:
            raise Failed("in the guest: " + line)


def wait(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed("not within %d s: %s" % (seconds, what))
        time.sleep(0.02)


def completed(device):
    return sum(q.get("completed", 0) for q in device.get("queues", []))


def serving(ctx):
    """The one process that serves the guest, and the only one; None if nobody does."""
    def look():
        return [(pid, d) for pid, d in ctx.devices().items()
                if "error" not in d and d["state"] in ("running", "migrating") and d["queues"]]

    live = look()
    if len(live) > 1:
        # The list asks one after the other: it may have changed hands in between, once.
        live = look()
    if len(live) > 1:
        raise Failed("%d processes serve: %s" % (len(live), live))
    return live[0] if live else None


def wait_progress(ctx, seconds=30):
    """Requests are completed, by one process.  Its pid."""
    try:
        first = wait("a back-end that serves", seconds, lambda: serving(ctx))
    except Failed as e:
        raise Failed("%s; there are: %s" % (e, ctx.devices()))

    def moved():
        now = serving(ctx)
        return now and (now[0] != first[0] or completed(now[1]) != completed(first[1])) and now
    return wait("requests to be completed by process %d" % first[0], seconds, moved)[0]


# --- hand-overs ---

def hand_over_often(ctx, rounds, queues, *options):
    old = ctx.backend(ctx.new_sock(), "--num-queues=%d" % queues, *options)
    g = ctx.guest(old.sock, "info", "fill", *["rand"] * (200 if LONG else 20), queues=queues,
                  threads=max(queues, 2), ops=600)
    g.wait_step("fill", STEP_SECONDS)
    worst, drain = 0, 0
    for i in range(rounds):
        wait_progress(ctx)
        new = ctx.backend(ctx.new_sock(), "--num-queues=%d" % queues, *options,
                          plain=i % 2 == 1)
        m = json.loads(ctx.migrate("handover", str(old.proc.pid), new.sock, "--json"))
        if not m["queues"] or not m["listener"]:
            raise Failed("handed over: %s" % m)
        worst = max(worst, m["blackout_ms"])
        drain = max(drain, max(q["drain_ms"] for q in m["queues"]))
        if old.proc.wait(timeout=10) != 0:
            raise Failed("the old one ended with %d:\n%s" % (old.proc.returncode, old.lines))
        old = new
    wait_progress(ctx)
    check_results(g)
    # And the guest has lost nothing: one whole round of it after the last hand-over.
    g.wait_step("rand", STEP_SECONDS)
    g.wait_step("rand", STEP_SECONDS)
    check_results(g)
    g.end(signal.SIGKILL)
    # The monitor could come back to where it was, and the last one has that.
    sock = ctx.path("blk1.sock")
    if not os.path.exists(sock):
        raise Failed("the socket's file was lost on the way")
    ctx.guest(sock, "rand", "fill", "check", queues=queues).run(STEP_SECONDS)
    if old.end() != 0 or os.path.exists(sock):
        raise Failed("the last one did not end well: %s" % old.lines)
    return "%d times, blackout up to %.2f ms, of these %.2f ms of drain" % (
        rounds, worst, drain)


def handover_one_queue(ctx):
    return hand_over_often(ctx, 50 if LONG else 5, 1)


def handover_four_queues_with_threads(ctx):
    return hand_over_often(ctx, 50 if LONG else 5, 4, "--threads")


# --- whoever is killed or stopped, whenever ---

class Field:
    """A guest under load, whose back-end changes hands; and what became of each."""

    def __init__(self, ctx):
        self.ctx = ctx
        self.place = ctx.path("disk.sock")
        self.owner = ctx.backend(self.place, plain=False)
        self.guest = ctx.guest(self.place, "info", *["rand"] * 250, ops=400)
        self.guest.wait_step("info", STEP_SECONDS)

    def forget(self, process):
        process.proc.send_signal(signal.SIGCONT)
        process.end(signal.SIGKILL)
        self.ctx.children.remove(process)

    def serving(self, candidates):
        pid = wait_progress(self.ctx)
        return next(c for c in candidates if c.proc.pid == pid)

    def restart(self):
        """A new back-end where the monitor looks for it."""
        if os.path.exists(self.place):
            os.unlink(self.place)
        return self.ctx.backend(self.place, plain=False)

    def begin(self, step, action):
        """A hand-over of which one party ends itself.  Old, new, tool."""
        ctx = self.ctx
        how = "%s:%s" % (step, action)
        # The step is the old one's only if it is told of it when it starts.
        if step.startswith("give"):
            old = ctx.backend(ctx.new_sock(), step=how, plain=False)
            ctx.migrate("handover", str(self.owner.proc.pid), old.sock)
            self.owner.proc.wait(timeout=10)
            self.forget(self.owner)
            self.owner = old
        new = ctx.backend(ctx.new_sock(), step=how if step.startswith("take") else None,
                          plain=False)
        wait_progress(ctx)
        tool = Tool(ctx.build("tests/handover/vu-migrate-steps"), "handover",
                    str(self.owner.proc.pid), new.sock, "--timeout=3s", "--max-pause=500ms",
                    step=how if step.startswith("tool") else None)
        ctx.children.append(tool)
        return self.owner, new, tool


# From here on the new one takes the device whether or not the old one lives ...
OFFER = "give-offer-sent"
# ... and from here on it owns it.
TURN = "take-owner"


def owner_dies(step, steps):
    if step.startswith("give"):
        return steps.index(step) < steps.index(OFFER)
    return step.startswith("take") and steps.index(step) >= steps.index(TURN)


def party(step, old, new, tool):
    return {"give": old, "take": new, "tool": tool}[step.split("-")[0]]


def ended_or_stopped(process, action):
    if action == "kill":
        return process.proc.poll() is not None
    with open("/proc/%d/stat" % process.proc.pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def one_party(field, step, action, steps):
    """One party is killed or stopped at a step; then exactly one of the others serves."""
    ctx = field.ctx
    old, new, tool = field.begin(step, action)
    victim = party(step, old, new, tool)
    wait("%s at %s" % (action, step), 20, lambda: ended_or_stopped(victim, action))
    dies = action == "kill" and owner_dies(step, steps)
    if not dies and not (action == "stop" and owner_dies(step, steps)):
        # The guest never notices: no reconnection, whoever has it now.
        field.owner = field.serving([old, new])
    elif dies:
        # Its owner is gone: the device is the next one's who listens there.
        for p in (old, new):
            if p is not victim and p.proc.poll() is None:
                # It has noticed, and is not in the way.
                wait("the other one to let go", 20,
                     lambda: all(d.get("state") == "fresh" or "error" in d
                                 for d in ctx.devices().values()))
        for p in (old, new):
            field.forget(p)
        field.owner = field.restart()
        field.serving([field.owner])
        field.forget(tool)
        return
    if action == "stop":
        victim.proc.send_signal(signal.SIGCONT)
        # Whatever it had in mind, one serves.
        tool.proc.wait(timeout=30)
        field.owner = field.serving([old, new])
    for p in (old, new):
        if p is not field.owner:
            field.forget(p)
    field.forget(tool)


def all_steps(ctx):
    done = subprocess.run([ctx.build("tests/handover/list-steps")], stdout=subprocess.PIPE,
                          text=True, check=True)
    return done.stdout.split()


def at_each_step(ctx, action):
    steps = all_steps(ctx)
    field = Field(ctx)
    for step in steps:
        begin = time.monotonic()
        try:
            one_party(field, step, action, steps)
            check_results(field.guest)
        except (Failed, subprocess.TimeoutExpired) as e:
            raise Failed("%s at %s: %s" % (action, step, e))
        if os.environ.get("VU_VERBOSE"):  # how long each takes
            print("# %s at %s: %.1f s" % (action, step, time.monotonic() - begin), flush=True)
    field.guest.wait_step("rand", STEP_SECONDS)
    field.guest.wait_step("rand", STEP_SECONDS)
    check_results(field.guest)
    return "%d steps" % len(steps)


def killed_at_each_step(ctx):
    return at_each_step(ctx, "kill")


def stopped_at_each_step(ctx):
    return at_each_step(ctx, "stop")


# --- images ---

def move_in(ctx, fresh, place):
    """A back-end that was given its image comes to where the monitor looks for it."""
    os.rename(fresh.sock, place)
    fresh.sock = place


def checkpoint_and_restore(ctx, *options):
    place = ctx.path("disk.sock")
    old = ctx.backend(place, "--num-queues=2", "--threads")
    g = ctx.guest(place, "info", "fill", *["rand"] * 60, queues=2, ops=400)
    g.wait_step("fill", STEP_SECONDS)
    for i in range(20 if LONG else 3):
        wait_progress(ctx)
        image = ctx.path("disk.vui")
        ctx.migrate("checkpoint", str(old.proc.pid), "--stop", "-o", image, *options)
        ctx.migrate("verify", image)
        before = completed(ctx.devices()[old.proc.pid])
        if completed(ctx.devices()[old.proc.pid]) != before:
            raise Failed("it goes on although it was stopped")
        # A restored one must not be hindered by how the other ended.
        old.end(signal.SIGKILL)
        new = ctx.backend(ctx.new_sock(), "--num-queues=2", "--threads", plain=i % 2 == 1)
        ctx.migrate("restore", new.sock, image)
        wait("the tool to leave", 10, lambda: ctx.states() == ["restored"])
        os.unlink(place)
        move_in(ctx, new, place)
        if wait_progress(ctx) != new.proc.pid:
            raise Failed("another one serves")
        if "restored" in ctx.states():
            raise Failed("the image was not used")
        check_results(g)
        old = new
    g.wait_step("rand", STEP_SECONDS)
    g.wait_step("rand", STEP_SECONDS)
    check_results(g)


def checkpoint_drained(ctx):
    checkpoint_and_restore(ctx)


def checkpoint_in_flight(ctx):
    checkpoint_and_restore(ctx, "--with-inflight", "-z")


def a_stale_image_is_refused(ctx):
    place = ctx.path("disk.sock")
    old = ctx.backend(place)
    g = ctx.guest(place, "info", *["rand"] * 60, ops=400)
    g.wait_step("info", STEP_SECONDS)
    wait_progress(ctx)
    image = ctx.path("disk.vui")
    ctx.migrate("checkpoint", str(old.proc.pid), "-o", image)
    # It goes on; then the image tells of a time that was.
    wait_progress(ctx)
    old.end(signal.SIGKILL)
    new = ctx.backend(ctx.new_sock())
    ctx.migrate("restore", new.sock, image)
    os.unlink(place)
    move_in(ctx, new, place)
    new.wait_for("somebody has served it since", 30)
    # Told to forget it, it serves as it would have without.
    def discard():
        done = subprocess.run([ctx.build("vu-migrate/vu-migrate"), "restore", "--discard",
                               place], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.returncode == 0
    wait("the image to be discarded", 20, discard)
    wait_progress(ctx)
    g.wait_step("rand", STEP_SECONDS)
    check_results(g)


def stopped_and_resumed(ctx):
    place = ctx.path("disk.sock")
    b = ctx.backend(place)
    g = ctx.guest(place, "info", *["rand"] * 60, ops=400)
    g.wait_step("info", STEP_SECONDS)
    wait_progress(ctx)
    ctx.migrate("checkpoint", str(b.proc.pid), "--stop", "-o", ctx.path("a.vui"))
    if ctx.devices()[b.proc.pid]["state"] != "held":
        raise Failed("it is not held: %s" % ctx.devices())
    ctx.migrate("checkpoint", str(b.proc.pid), "-o", ctx.path("b.vui"), status=1)
    ctx.migrate("checkpoint", str(b.proc.pid), "--resume")
    wait_progress(ctx)
    g.wait_step("rand", STEP_SECONDS)
    check_results(g)


def suspended_machine_elsewhere(ctx):
    place = ctx.path("here.sock")
    here = ctx.backend(place, "--num-queues=2")
    g = ctx.guest(place, "fill", "rand", "rand", "rand", "wait", queues=2, ops=1500,
                  machine="pc-q35-7.2")
    g.wait_step("fill", STEP_SECONDS)
    wait_progress(ctx)
    g.qmp.execute("stop")
    vm = ctx.path("vm.state")
    g.qmp.execute("migrate", uri="exec:cat > " + vm)
    wait("the machine to be saved", 60,
         lambda: g.qmp.execute("query-migrate").get("status") == "completed")
    image = ctx.path("disk.vui")
    ctx.migrate("checkpoint", str(here.proc.pid), "-o", image)
    g.end(signal.SIGKILL)
    here.end(signal.SIGKILL)
    # Another place, another disk with the same contents, another process.
    elsewhere = ctx.path("elsewhere.img")
    shutil.copy(ctx.image, elsewhere)
    os.unlink(ctx.image)
    place = ctx.path("there.sock")
    there = ctx.backend(place, "--num-queues=2", image=elsewhere, plain=False)
    with open(image, "rb") as f:
        ctx.migrate("restore", place, "-", stdin=f)
    g = ctx.guest(place, "rand", queues=2, machine="pc-q35-7.2", incoming=True,
                  extra=("-S",))
    g.qmp.execute("migrate-incoming", uri="exec:cat " + vm)
    wait("the machine to be loaded", 60,
         lambda: g.qmp.execute("query-migrate").get("status") == "completed")
    g.qmp.execute("cont")
    wait_progress(ctx)
    for step in ("rand", "rand", "rand"):
        g.wait_step(step, STEP_SECONDS)
    check_results(g)


def through_a_pipe(ctx):
    place = ctx.path("disk.sock")
    old = ctx.backend(place)
    g = ctx.guest(place, "info", *["rand"] * 60, ops=400)
    g.wait_step("info", STEP_SECONDS)
    wait_progress(ctx)
    new = ctx.backend(ctx.new_sock(), plain=False)
    tool = ctx.build("vu-migrate/vu-migrate")
    out = subprocess.Popen([tool, "checkpoint", str(old.proc.pid), "--stop", "-z", "-o", "-"],
                           stdout=subprocess.PIPE)
    into = subprocess.Popen([tool, "restore", new.sock, "-"], stdin=out.stdout)
    out.stdout.close()
    if out.wait(timeout=30) or into.wait(timeout=30):
        raise Failed("status %d and %d" % (out.returncode, into.returncode))
    old.end(signal.SIGKILL)
    os.unlink(place)
    move_in(ctx, new, place)
    wait_progress(ctx)
    g.wait_step("rand", STEP_SECONDS)
    check_results(g)


CASES = [handover_one_queue, handover_four_queues_with_threads, killed_at_each_step,
         stopped_at_each_step, checkpoint_drained, checkpoint_in_flight,
         a_stale_image_is_refused, stopped_and_resumed, suspended_machine_elsewhere,
         through_a_pipe]
CASES += estimate.CASES
# On the newer one with packed rings, if all are not to be on both with both kinds.
CASES_10 = [handover_one_queue, checkpoint_in_flight]
CASES_BOTH = [checkpoint_in_flight]


def qemus(options):
    found = []
    if options.qemu in (None, "7"):
        found.append(("QEMU 7.2", ["qemu-system-x86_64"]))
    if options.qemu in (None, "10"):
        root = os.path.join(options.assets, "qemu10/usr")
        found.append(("QEMU 10", [os.path.join(root, "bin/qemu-system-x86_64"),
                                  "-L", os.path.join(root, "share/qemu"),
                                  "-L", os.path.join(root, "share/seabios")]))
    return found


def wanted(options, version, case):
    if options.cases and case.__name__ not in options.cases:
        return False
    return (options.qemu or LONG or case in CASES_BOTH or
            (version == "QEMU 10") == (case in CASES_10))


def kinds(version, case):
    """Of rings: whether they are packed."""
    return [False, True] if LONG else [version == "QEMU 10" and case in CASES_10]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--assets", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--qemu", choices=("7", "10"))
    tap.add_jobs(parser)
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    options.assets = os.path.abspath(options.assets)
    options.build = os.path.abspath(options.build)
    return tap.run_all([
        ("%s: %s%s" % (version, "packed rings: " * packed, case.__name__), case,
         lambda workdir, qemu=qemu, version=version, packed=packed:
         Context(options, qemu, version, packed, workdir))
        for version, qemu in qemus(options) for case in CASES
        if wanted(options, version, case) for packed in kinds(version, case)], options.jobs)


sys.exit(main())
