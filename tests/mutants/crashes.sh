#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The tests of crashes must pass, and must fail when a step of the tracking is left out.
. "${top_srcdir:-.}/tests/mutants/mutants.sh"
mutants "$build/tests/mutants/crash" 'was lost\|completed twice\|was taken where\|recovery:' \
    take batch repair
mutants "$build/tests/mutants/crash_packed" \
    'was lost\|completed twice\|was taken where\|recovery:' take batch repair marks
finish
