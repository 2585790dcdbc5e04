# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs vu-trace, kvmlet and guests for the tests; leaves nothing running."""

import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../qemu"))
from vm import Failed, Process, die_with_parent  # noqa: E402,F401


class Talker(Process):
    """A child that listens to its standard input as well."""

    def __init__(self, argv, env=None):
        import queue
        import threading
        self.argv = argv
        self.lines = []
        self._queue = queue.Queue()
        self.proc = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent, env=env)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, text):
        self.proc.stdin.write(text.encode() + b"\n")
        self.proc.stdin.flush()

    def end(self, *args, **more):
        if not self.proc.stdin.closed:
            self.proc.stdin.close()
        return super().end(*args, **more)


class Trace(Process):
    """vu-trace with --verbose: it says when everything is attached."""

    def __init__(self, program, *args, wait=True):
        super().__init__([program, "--verbose", *args])
        if wait:
            self.wait_for("tracing ", 60)

    def finish(self):
        """Ends it by SIGINT; its JSON lines."""
        status = self.end(2, 30)
        if status != 0:
            raise Failed("vu-trace ended with %s:\n%s" % (status, "\n".join(self.lines)))
        return self.json()

    def json(self):
        found = []
        for line in self.lines:
            if line.startswith("{"):
                try:
                    found.append(json.loads(line))
                except ValueError as e:
                    raise Failed("not JSON: %s: %s" % (e, line))
        return found


def run(*argv, status=0, **more):
    """Its output; fails unless it ends with @status."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=120, **more)
    if done.returncode != status:
        raise Failed("%s ended with %d:\n%s%s" % (" ".join(argv), done.returncode,
                                                  done.stdout, done.stderr))
    return done.stdout if status == 0 else done.stdout + done.stderr


class Machine:
    """kvmlet: a monitor and its back-end, ready to run."""

    def __init__(self, ctx, *options, back=(), name="let.sock"):
        program = ctx.options.kvmlet
        self.sock = os.path.join(ctx.workdir, name)
        self.back = Process([program, "--back-end", self.sock, *back])
        ctx.children.append(self.back)
        self.back.wait_for("listening", 10)
        self.vmm = Talker([program, self.sock, *options])
        ctx.children.append(self.vmm)
        self.vmm.wait_for("ready", 20)
        self.queues = 1
        if "--queues" in options:
            self.queues = int(options[options.index("--queues") + 1])

    def pid(self):
        return self.vmm.proc.pid

    def go(self, seconds=60):
        """Runs the guest; what it counted, a dict a queue."""
        self.vmm.tell("go")
        counts = []
        for _ in range(self.queues):
            line = self.vmm.wait_for("done ", seconds)
            counts.append({k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)})
        return counts

    def end(self):
        if self.vmm.end(15) is None or self.back.end(15) is None:
            raise Failed("kvmlet does not end")


def wait_until(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed("not in time: " + what)
        time.sleep(0.05)


def expect(what, found, wanted):
    if found != wanted:
        raise Failed("%s: %.2000r, not %.2000r" % (what, found, wanted))


def programs_left():
    """BPF programs of vu-trace that are still in the kernel."""
    out = run("/usr/sbin/bpftool", "prog", "list", "-j")
    names = ("scan_files", "waking", "switched", "fentry_write", "enter", "leave", "kvm_pio",
             "kvm_mmio", "usdt_pop")
    return [p["name"] for p in json.loads(out) if p.get("name") in names]
