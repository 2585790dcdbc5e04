#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The exactness test must fail when marks are missing, and pass with the same build
# when none are.
set -u
exact=${top_builddir:-.}/tests/mutants/exact
log=$(mktemp)
trap 'rm -f "$log"' EXIT
unset CMOCKA_MESSAGE_OUTPUT
export VU_SEED=${VU_SEED:-0x5eed}
n=0 bad=0
for skip in none data used indirect wide replace some; do
    n=$((n + 1))
    VU_SKIP_MARKS=$skip "$exact" > "$log" 2>&1
    ret=$?
    if [ $skip = none ]; then
        want="passes"
        [ $ret = 0 ]
    else
        want="fails"
        [ $ret != 0 ] && grep -q 'unmarked\|is not marked' "$log"
    fi
    if [ $? = 0 ]; then
        echo "ok $n - with marks skipped: $skip, the exactness test $want"
    else
        bad=1
        echo "not ok $n - with marks skipped: $skip, the exactness test $want"
        sed 's/^/# /' "$log"
    fi
done
echo "1..$n"
exit $bad
