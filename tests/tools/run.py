#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of the tools:
run.py --vu-top PROGRAM --fleet PROGRAM --source DIR [CASE...]

Prints TAP.  Each case starts real back-ends, and looks at what the tool prints about
them, or shows on a real terminal.
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases_files  # noqa: E402
import cases_screen  # noqa: E402
import cases_modes  # noqa: E402
import cases_web  # noqa: E402
from stage import Context  # noqa: E402

CASES = cases_screen.CASES + cases_modes.CASES + cases_web.CASES + cases_files.CASES


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vu-top", required=True)
    parser.add_argument("--fleet", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--vu-blk", default="", help="it may be missing")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    for name in ("vu_top", "fleet", "source", "vu_blk"):
        setattr(options, name, os.path.abspath(getattr(options, name)))
    cases = [c for c in CASES if not options.cases or c.__name__ in options.cases]
    failed = 0
    print("1..%d" % len(cases), flush=True)
    for n, case in enumerate(cases, 1):
        ctx = Context(options)
        begin = time.monotonic()
        try:
            case(ctx)
            print("ok %d - %s # %.1f s" % (n, case.__name__, time.monotonic() - begin), flush=True)
        except Exception as e:  # whatever it is, the other cases run
            failed += 1
            print("not ok %d - %s" % (n, case.__name__))
            print("\n".join("# " + line for line in repr(e).split("\\n")), flush=True)
        finally:
            ctx.clean()
    return 1 if failed else 0


sys.exit(main())
