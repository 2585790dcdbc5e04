#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The exactness test must fail when marks are missing, and pass with the same build
# when none are.
. "${top_srcdir:-.}/tests/mutants/mutants.sh"
export VU_SEED=${VU_SEED:-0x5eed}
for rings in split packed; do
    export VU_EXACT_RINGS=$rings
    mutants "$build/tests/mutants/exact" 'unmarked\|is not marked' \
        data used indirect wide replace some
done
finish
