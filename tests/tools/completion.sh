#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the tools write for shells to complete their command lines: the shells there are
# take it, and bash offers what there is.
. "${top_srcdir:-.}/tests/lib/tap.sh"

# offers TOOL WANTED WORD...: what is offered for the last word.
offers() {
    bash -c '
        . "$1"
        COMP_WORDS=("${@:3}") COMP_CWORD=$(($# - 3))
        "_${3//-/_}" && printf "%s\n" "${COMPREPLY[@]}" | grep -q -x -e "$2"' \
        - "$work/$1.bash" "$2" "$1" "${@:3}" > "$work/out" 2> "$work/err"
}

for tool in vu-top vu-trace vu-migrate; do
    program=$build/$tool/$tool
    [ -x "$program" ] || continue
    for shell in bash zsh fish; do
        "$program" "--completion=$shell" > "$work/$tool.$shell" 2> "$work/err" &&
            [ -s "$work/$tool.$shell" ] &&
            { ! command -v $shell > /dev/null || $shell -n "$work/$tool.$shell" 2> "$work/err"; }
        result $? "$tool writes completion for $shell"
    done
    run 2 "$program" --completion=tcsh && complains "not bash, zsh or fish" "$(wc -l < "$work/err")"
    result $? "and for no other shell"
    case $tool in
    vu-top) offers $tool --filter --fil && offers $tool p99 --sort "" && offers $tool never --color n ;;
    vu-trace) offers $tool stream st && offers $tool --heat lat --h && ! offers $tool --heat map --h &&
        offers $tool C lat --tier "" ;;
    vu-migrate) offers $tool handover h && offers $tool --max-pause handover --m &&
        ! offers $tool --max-pause list --m && offers $tool plain list --progress p ;;
    esac
    result $? "bash offers what $tool has"
done
finish
