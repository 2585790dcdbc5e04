#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vu-trace against machines that count for themselves.

run.py --vu-trace PROGRAM --kvmlet PROGRAM --assets DIR --qemu-assets DIR --vu-blk PROGRAM [CASE...]

Prints TAP.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
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
    failed = 0
    print("1..%d" % len(cases), flush=True)
    for n, case in enumerate(cases, 1):
        ctx = Context(options, tempfile.mkdtemp(prefix="vu-trace."))
        begin = time.monotonic()
        try:
            words = case(ctx) or ""
            print("ok %d - trace: %s # %.0f s %s" % (n, case.__name__, time.monotonic() - begin,
                                                     words), flush=True)
        except Failed as e:
            failed += 1
            print("not ok %d - trace: %s" % (n, case.__name__))
            print("\n".join("# " + line for line in str(e).split("\n")), flush=True)
        finally:
            ctx.clean()
            shutil.rmtree(ctx.workdir)
    return 1 if failed else 0


sys.exit(main())
