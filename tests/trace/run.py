#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vu-trace against machines that count for themselves.

run.py --vu-trace PROGRAM --kvmlet PROGRAM --assets DIR --qemu-assets DIR --vu-blk PROGRAM [CASE...]

Prints TAP.
"""

import argparse
import concurrent.futures
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tools import Failed  # noqa: E402
import guests  # noqa: E402
import native  # noqa: E402

CASES = native.CASES + guests.CASES


class Context:
    def __init__(self, options, workdir):
        self.options = options
        self.workdir = workdir
        self.children = []

    def path(self, name):
        return os.path.join(self.workdir, name)

    def clean(self):
        for c in reversed(self.children):
            c.end(signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser()
    for name in ("vu-trace", "kvmlet", "assets", "qemu-assets", "vu-blk"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    for name in ("vu_trace", "kvmlet", "assets", "qemu_assets", "vu_blk"):
        setattr(options, name, os.path.abspath(getattr(options, name)))
    cases = [c for c in CASES if not options.cases or c.__name__ in options.cases]
    tap = Tap(len(cases))
    # What happens inside a guest is seen by nobody here, nor sees anything.
    beside = [c for c in cases if c in guests.INSIDE]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = [pool.submit(run_case, c, options, tap) for c in beside]
        for c in cases:
            if c not in beside:
                run_case(c, options, tap)
        for r in running:
            r.result()
    return 1 if tap.failed else 0


class Tap:
    """Results as they come, of several threads."""

    def __init__(self, planned):
        self.lock = threading.Lock()
        self.seen = self.failed = 0
        print("1..%d" % planned, flush=True)

    def tell(self, name, seconds, words, trouble=None):
        with self.lock:
            self.seen += 1
            self.failed += trouble is not None
            print("%s %d - trace: %s # %.0f s %s" % (
                "ok" if trouble is None else "not ok", self.seen, name, seconds, words))
            if trouble is not None:
                print("\n".join("# " + line for line in trouble.split("\n")))
            sys.stdout.flush()


def run_case(case, options, tap):
    ctx = Context(options, tempfile.mkdtemp(prefix="vu-trace."))
    begin = time.monotonic()
    words, trouble = "", None
    try:
        words = case(ctx) or ""
    except Failed as e:
        trouble = str(e)
    finally:
        ctx.clean()
        shutil.rmtree(ctx.workdir)
    tap.tell(case.__name__, time.monotonic() - begin, words, trouble)


sys.exit(main())
