#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vu-migrate on images: what it prints, writes, refuses, and with which status it ends.
. "${top_srcdir:-.}/tests/lib/tap.sh"
m=$build/vu-migrate/vu-migrate
image=$top/tests/data/image-1.vui
json=$top/tests/data/image-1.json
MALLOC_PERTURB_=${MALLOC_PERTURB_:-165}
export MALLOC_PERTURB_

run 0 "$m" --version && says "vu-migrate "
result $? "version"
run 0 "$m" --help && says "decode" && says "features"
result $? "help"
run 2 "$m" decoed && complains "did you mean 'decode'"
result $? "a mistyped command is guessed"
run 2 "$m" frobnicate && complains "is no command"
result $? "an unknown command"
run 2 "$m" show --frob && complains "show: --frob is not known"
result $? "an unknown option"
run 2 "$m" convert --to && complains "--to needs an argument"
result $? "an argument is missing"
run 2 "$m" diff "$image" && complains "usage: vu-migrate diff"
result $? "too few arguments"
ok=0
for c in $("$m" --help | sed -n '/^  [a-z]/s/^  \([a-z]*\) .*/\1/p'); do
    run 0 "$m" "$c" --help && says "Usage: vu-migrate $c" && says "Options:" || ok=1
done
result $ok "each command has help"

run 0 "$m" decode "$image" && cmp -s "$work/out" "$json"
result $? "decode prints what it always has"
run 0 "$m" encode "$json" -o "$work/again.vui" && cmp -s "$work/again.vui" "$image"
result $? "encode gives it back to the last byte"
packed=$top/tests/data/image-2
run 0 "$m" decode "$packed.vui" && cmp -s "$work/out" "$packed.json" &&
    run 0 "$m" encode "$packed.json" -o "$work/again-2.vui" &&
    cmp -s "$work/again-2.vui" "$packed.vui"
result $? "one with packed queues, there and back"
run 0 "$m" show "$packed.vui" && says "packed of 100" && says "wrap counters 0 1" &&
    says "wants a call at slot 97" && says "4 descriptors"
result $? "and as a person sees it"
"$m" decode < "$image" | "$m" encode | "$m" verify - > "$work/out" 2> "$work/err" &&
    says "good, 10 records"
result $? "through pipes"
[ "$(stat -c %a "$work/again.vui")" = 600 ]
result $? "an image is its owner's alone"

run 0 "$m" convert -z "$image" -o "$work/z.vui" && [ "$(stat -c %s "$work/z.vui")" -lt 826 ] &&
    run 0 "$m" verify "$work/z.vui" && run 0 "$m" diff "$image" "$work/z.vui"
result $? "a compressed image says the same"
"$m" decode "$work/z.vui" | "$m" encode > "$work/z2.vui" && cmp -s "$work/z.vui" "$work/z2.vui"
result $? "decode and encode keep the compression"
run 0 "$m" convert "$work/z.vui" -o "$work/plain.vui" && cmp -s "$work/plain.vui" "$image"
result $? "and it expands to what it was"
run 5 "$m" convert --to 2 "$image" && complains "format version 1 only"
result $? "a version that is not known"

run 0 "$m" info "$image" && says "2 queues" || says "queues   2, 1 started, 1 enabled, 3 requests"
result $? "info"
run 0 "$m" info --json "$image" && says '"memory_bytes": 4294967296' &&
    says '"time": "2023-11-14T22:13:20.123Z"'
result $? "info as JSON"
run 0 "$m" show "$image" && says "3 in flight: 0 64 127" && says "INDIRECT_DESC EVENT_IDX" &&
    says "vm: web-1" && ! says "73 74 61 74 65"
result $? "show"
# What a terminal would act upon, in names that somebody else chose.
sed -e 's/"host": "node-1"/"host": "node\\u001b[31m\\n-1"/; s/"name": "blk"/"name": "b\\u009blk"/
    s|"/memfd:mem|"/memfd:m\\u0007em|' "$json" > "$work/evil.json"
run 0 "$m" encode "$work/evil.json" -o "$work/evil.vui" &&
    run 0 "$m" info "$work/evil.vui" && says 'on node?[31m?-1' && says 'b?lk' &&
    run 0 "$m" show "$work/evil.vui" && says 'on node?[31m?-1' && says 'memfd:m?em'
result $? "a terminal is told nothing by an image"
run 0 "$m" show --blob "$image" && says "73 74 61 74 65"
result $? "show the device's state"
run 0 "$m" show --json "$image" && says '"queue 1": {' && says '"note vm": {'
result $? "show as JSON"
run 0 "$m" features && says "zstd (0)" && run 0 "$m" features --json && says '"image_version": 1'
result $? "features"

# --- differences ---
sed 's/"last_avail": 1,/"last_avail": 7,/; s/"web-1"/"web-2"/' "$json" |
    "$m" encode > "$work/other.vui"
run 1 "$m" diff "$image" "$work/other.vui" && says 'queue 0: last_avail: 1 -> 7' &&
    says 'note vm: value: "web-1" -> "web-2"' && [ "$(wc -l < "$work/out")" = 2 ]
result $? "diff names what differs"
run 1 "$m" diff --ignore last_avail "$image" "$work/other.vui" &&
    [ "$(wc -l < "$work/out")" = 1 ] &&
    run 0 "$m" diff --ignore last_avail --ignore 'note vm' "$image" "$work/other.vui"
result $? "diff ignores what it is told to"
run 1 "$m" diff --json "$image" "$work/other.vui" && says '"path": "queue 0: last_avail"'
result $? "diff as JSON"
sed '/"type": "note"/,$d' "$json" | sed '$d' | sed '$s/},*$/}]}/' | "$m" encode > "$work/short.vui"
run 1 "$m" diff "$image" "$work/short.vui" && says 'note vm: {'
result $? "diff sees what is missing"

# --- what this version does not know ---
sed 's/"key": "vm",/"key": "vm", "unknown": [{"tag": 99, "wire": 2, "hex": "03616263"}, {"tag": 100, "wire": 0, "hex": "9601"}],/' \
    "$json" > "$work/newer.json"
run 0 "$m" encode "$work/newer.json" -o "$work/newer.vui" &&
    run 0 "$m" verify "$work/newer.vui" && "$m" decode "$work/newer.vui" > "$work/out" &&
    says '"hex": "03616263"' && says '"hex": "9601"' &&
    "$m" encode "$work/out" | cmp -s - "$work/newer.vui"
result $? "unknown members survive decode and encode"
sed 's/"records": \[/"records": [{"type": 700, "raw": "00ff10"},/' "$json" |
    "$m" encode > "$work/newer.vui"
run 0 "$m" verify "$work/newer.vui" && run 0 "$m" decode "$work/newer.vui" &&
    says '"type": 700' && says '"raw": "00ff10"'
result $? "an unknown optional record is skipped, and kept"
sed 's/"records": \[/"records": [{"type": 700, "required": true, "raw": ""},/' "$json" |
    "$m" encode > "$work/newer.vui"
run 7 "$m" verify "$work/newer.vui" && complains "of type 700, which is required"
result $? "an unknown required record is refused"
sed 's/"incompatible": "0x6"/"incompatible": "0x206"/; s/"name": "blob"/&}, {"bit": 9, "name": "antigravity"/' \
    "$json" | "$m" encode > "$work/newer.vui"
run 7 "$m" verify "$work/newer.vui" && complains "it uses 'antigravity' (feature 9)"
result $? "an unknown feature is refused by name"
# A payload whose members are in another order: still good, and still comes back.
sed 's/"payload": {\n* *"key": "vm"/&/' "$json" | awk '
    /"type": "note"/ { print; print "  \"raw\": \"12057765622d310a02766d\""; print "}"; print "]}"; exit }
    { print }' > "$work/order.json"
run 0 "$m" encode "$work/order.json" -o "$work/order.vui" && run 0 "$m" show "$work/order.vui" &&
    says "vm: web-1" && run 0 "$m" decode "$work/order.vui" &&
    "$m" encode "$work/out" | cmp -s - "$work/order.vui"
result $? "what is not in canonical form comes back too"

# --- what is wrong ---
run 3 "$m" show "$work/none.vui" && complains "No such file"
result $? "no file"
run 7 "$m" show "$json" && complains "not a state image"
result $? "not an image"
head -c 500 "$image" > "$work/cut.vui"
run 7 "$m" verify "$work/cut.vui" && complains "it ends within record"
result $? "a cut image"
run 7 "$m" decode "$work/cut.vui" && run 7 "$m" convert "$work/cut.vui" -o "$work/c.vui" &&
    [ ! -e "$work/c.vui" ]
result $? "converting a cut image leaves no file"
cp "$image" "$work/flip.vui" && chmod 600 "$work/flip.vui" &&
    printf '\001' | dd of="$work/flip.vui" bs=1 seek=300 conv=notrunc 2>/dev/null
run 7 "$m" verify "$work/flip.vui" && complains "is damaged"
result $? "a damaged image"
run 7 "$m" verify "$work/flip.vui" "$image" && says "good" &&
    run 7 "$m" verify --json "$work/flip.vui" "$image" && says '"good": false' &&
    says '"good": true'
result $? "several images: the worst decides"
sed 's/"size": 128/"size": 127/' "$json" | "$m" encode > "$work/bad.vui"
run 7 "$m" verify "$work/bad.vui" && complains "queue 0: a ring of 127 entries"
result $? "an edited image that makes no sense"
for bad in 's/"last_avail": 1,/"last_avial": 1,/' 's/"last_avail": 1,/"last_avail": "x",/' \
    's/"last_avail": 1,/"last_avail": 4294967296,/' 's/"STOPPED"/"STOPED"/' \
    's/"7374617465"/"737461746"/' 's/"started": true/"started": 1/' \
    's/"format"/"fromat"/' 's/"version": 1/"version": 9/' \
    's/"heads": \[/"heads": {}, "x": [/'; do
    sed "$bad" "$json" > "$work/bad.json"
    run 7 "$m" encode "$work/bad.json" -o "$work/bad2.vui" && complains "" &&
        [ ! -e "$work/bad2.vui" ]
    result $? "encode refuses $bad"
done
run 7 "$m" encode "$image" && complains "not JSON"
result $? "encode of what is not JSON"

# --- writing ---
awk '/"data": "7374617465"/ { printf "    \"data\": \""; for (i = 0; i < 20000; i++) printf "7374617465"; print "\""; next }
    { sub(/"blob_bytes": 5/, "\"blob_bytes\": 100000"); print }' "$json" > "$work/big.json"
(
    trap '' XFSZ
    ulimit -f 16
    run 1 "$m" encode "$work/big.json" -o "$work/full.vui" && complains "File too large" &&
        [ -z "$(ls "$work" | grep full)" ]
)
result $? "what cannot be written whole leaves no file"
echo precious > "$work/keep.vui"
(
    trap '' XFSZ
    ulimit -f 16
    run 1 "$m" encode "$work/big.json" -o "$work/keep.vui"
)
grep -q precious "$work/keep.vui"
result $? "and the old one is kept"
run 0 "$m" encode "$work/big.json" -o "$work/keep.vui" && run 0 "$m" verify "$work/keep.vui"
result $? "with room, it is replaced"
run 1 "$m" encode "$json" -o /dev/full && complains "No space left"
result $? "a full device"
"$m" decode "$image" > /dev/full 2> "$work/err"
[ $? != 0 ] && complains "No space left"
result $? "a full device for text"
run 3 "$m" encode "$json" -o "$work/none/x.vui" && complains "No such file"
result $? "a folder that is not there"
finish
