# SPDX-License-Identifier: GPL-2.0-or-later
#
# For tests of tests.
. "${top_srcdir:-.}/tests/lib/tap.sh"
unset CMOCKA_MESSAGE_OUTPUT

# mutants TEST COMPLAINT SKIP...: passes as it is, and fails with that complaint when
# something is left out.
mutants() {
    local test=$1 complaint=$2 skip
    shift 2
    VU_SKIP_MARKS=none "$test" > "$work/out" 2>&1
    result $? "with nothing left out, it passes"
    grep '^# died' "$work/out"
    for skip; do
        ! VU_SKIP_MARKS=$skip "$test" > "$work/out" 2>&1 && grep -q "$complaint" "$work/out"
        result $? "with this left out: $skip, it fails"
    done
}
