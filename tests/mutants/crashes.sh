#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The test of crashes must pass, and must fail when a step of the tracking is left out.
set -u
crash=${top_builddir:-.}/tests/mutants/crash
log=$(mktemp)
trap 'rm -f "$log"' EXIT
unset CMOCKA_MESSAGE_OUTPUT
n=0 bad=0
for skip in none take batch repair; do
    n=$((n + 1))
    VU_SKIP_MARKS=$skip "$crash" > "$log" 2>&1
    ret=$?
    if [ $skip = none ]; then
        want="passes"
        [ $ret = 0 ]
    else
        want="fails"
        [ $ret != 0 ] && grep -q 'was lost\|completed twice\|was taken where\|recovery:' "$log"
    fi
    if [ $? = 0 ]; then
        echo "ok $n - with this left out: $skip, the test of crashes $want"
        grep '^# died' "$log"
    else
        bad=1
        echo "not ok $n - with this left out: $skip, the test of crashes $want"
        sed 's/^/# /' "$log"
    fi
done
echo "1..$n"
exit $bad
