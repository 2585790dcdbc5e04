# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs cases two at a time, each in a process of its own, and prints TAP."""

import collections
import os
import shutil
import sys
import tempfile
import time
import traceback

from qmp import Failed
from vm import die_with_parent


class Result:
    """What became of a case: passed, failed or skipped, and the words."""

    def __init__(self, status, words):
        self.status = status
        self.words = words


class Skipped(Exception):
    """This machine cannot run the case, and why."""


def outcome(case, ctx):
    try:
        return Result("passed", case(ctx) or "")
    except Skipped as e:
        return Result("skipped", str(e))
    except Failed as e:
        return Result("failed", str(e))
    except Exception:
        # A mistake of the test's.
        return Result("failed", traceback.format_exc())


class Run:
    """A case that runs; what it says is kept for its end."""

    def __init__(self, name, case, make_context):
        self.name = name
        self.begin = time.monotonic()
        self.said = tempfile.TemporaryFile("w+")
        self.result = tempfile.TemporaryFile("w+")
        sys.stdout.flush()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid:
            return
        die_with_parent()
        try:
            if os.getppid() == parent:
                self.play(case, make_context)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def play(self, case, make_context):
        os.dup2(self.said.fileno(), 1)
        workdir = tempfile.mkdtemp(prefix="vu-qemu.")
        ctx = make_context(workdir)
        try:
            result = outcome(case, ctx)
        finally:
            ctx.clean()
            shutil.rmtree(workdir)
        sys.stdout.flush()
        self.result.write(result.status + "\n" + result.words)
        self.result.flush()

    def report(self, n, usage):
        """Prints what it has said and the line of its end; whether that was good."""
        self.said.seek(0)
        print(self.said.read(), end="")
        self.result.seek(0)
        status, _, words = self.result.read().partition("\n")
        cost = "%.0f s, %.0f s of CPU" % (time.monotonic() - self.begin,
                                          usage.ru_utime + usage.ru_stime)
        if status == "passed":
            print("ok %d - %s # %s; %s" % (n, self.name, cost, words), flush=True)
            return True
        if status == "skipped":
            print("ok %d - %s # SKIP %s" % (n, self.name, words), flush=True)
            return True
        print("not ok %d - %s # %s" % (n, self.name, cost))
        words = words or "it has ended without a result"
        print("\n".join("# " + line for line in words.split("\n")), flush=True)
        return False


def run_all(cases, jobs):
    """@cases are (name, case, make_context), run @jobs at a time in about that order.
    The exit status."""
    waiting = collections.deque(cases)
    print("1..%d" % len(waiting), flush=True)
    running = {}
    done = failed = 0
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = Run(*waiting.popleft())
                running[run.pid] = run
            pid, _, usage = os.wait4(-1, 0)
            done += 1
            failed += not running.pop(pid).report(done, usage)
    except KeyboardInterrupt:
        # They have got it too, and tidy up.
        for pid in running:
            os.waitpid(pid, 0)
        return 130
    return 1 if failed else 0


def add_jobs(parser):
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count()),
                        help="cases at a time")
