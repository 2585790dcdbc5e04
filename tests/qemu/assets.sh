#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# assets.sh [--without-qemu10] DIR: puts into DIR what the guests need and nothing is installed for:
#   kernel      a Debian kernel, taken from its package
#   initrd      modules, busybox, the verifier, the tools of ext4
#   qemu10/     QEMU 10 of bookworm-backports, unpacked beside the machine's own
# A folder that is complete is left as it is.
set -eu
src=$(cd "$(dirname "$0")" && pwd)
with_qemu10=yes
if [ "$1" = --without-qemu10 ]; then
    with_qemu10=no
    shift
fi
dir=$1
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

fail() {
    echo "assets: $*" >&2
    exit 1
}

apt_lists() {
    [ -n "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null)" ] ||
        apt-get update -qq
}

# Downloads packages into ./ with the options given before "--".
download() {
    local i
    for i in 1 2 3; do
        apt-get download -qq -o APT::Sandbox::User=root "$@" && return 0
        apt-get update -qq || true
    done
    return 1
}

get_kernel() {
    [ "$(cat "$dir/kernel.done" 2>/dev/null)" = "$(modules)" ] && return
    rm -rf "$dir/kernel.tmp"
    mkdir "$dir/kernel.tmp"
    cd "$dir/kernel.tmp"
    local package
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [ -n "$package" ] || fail "which kernel linux-image-cloud-amd64 stands for is not known"
    download "$package" || fail "$package cannot be downloaded"
    dpkg -x ./*.deb .
    rm -rf "$dir/modules"
    cp boot/vmlinuz-* "$dir/kernel"
    mkdir "$dir/modules"
    local device m
    modules | while read -r device m; do
        find lib/modules -name "$m.ko" -exec cp {} "$dir/modules/" \;
        if [ -e "$dir/modules/$m.ko" ]; then
            echo "$m" >> "$dir/modules/order.$device"
        elif ! grep -q "/$m.ko" lib/modules/*/modules.builtin; then
            fail "the kernel has no module $m"
        fi
    done
    cd "$dir"
    rm -rf kernel.tmp
    modules > kernel.done
}

# Which device wants which, in order; "all" first.
modules() {
    printf 'all %s\n' crc32c_generic libcrc32c crc16 mbcache jbd2 ext4 \
        virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci
    echo blk virtio_blk
    printf 'net %s\n' failover net_failover virtio_net af_packet
    printf 'scsi %s\n' scsi_common scsi_mod virtio_scsi
    printf 'fs %s\n' fuse virtiofs
}

# Copies a program and the libraries it wants.
copy_program() {
    local lib
    mkdir -p "$dir/root/e2fs"
    cp "$1" "$dir/root/e2fs/"
    ldd "$1" | grep -o '/[^ ]*' | while read -r lib; do
        mkdir -p "$dir/root$(dirname "$lib")"
        cp -L "$lib" "$dir/root$lib"
    done
}

make_initrd() {
    rm -rf "$dir/root"
    mkdir -p "$dir/root/bin" "$dir/root/dev" "$dir/root/proc" "$dir/root/sys"
    cp "$(command -v busybox)" "$dir/root/bin/busybox"
    copy_program /sbin/mke2fs
    copy_program /sbin/e2fsck
    cp -r "$dir/modules" "$dir/root/modules"
    cp "$src/guest-init" "$dir/root/init"
    chmod +x "$dir/root/init"
    local program
    for program in verify live chatter; do
        ${CC:-gcc} -O2 -Wall -Wextra -static -o "$dir/root/bin/$program" \
            "$src/$program.c" "$src/stamp.c" -pthread
    done
    (cd "$dir/root" && find . | cpio -o -H newc --quiet) > "$dir/initrd.tmp"
    mv "$dir/initrd.tmp" "$dir/initrd"
    rm -rf "$dir/root"
}

# The address the machine has its bookworm packages from has the backports too.
get_qemu10() {
    [ -e "$dir/qemu10.done" ] && return
    local uri apt=$dir/apt
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -n 1)
    [ -n "$uri" ] || fail "this machine has no bookworm among its package sources"
    rm -rf "$apt" "$dir/qemu10"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$dir/qemu10"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri bookworm-backports main" > "$apt/sources.list"
    local options=(-o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
    apt-get update -qq "${options[@]}" || fail "the list of backports cannot be had"
    mkdir "$apt/debs"
    cd "$apt/debs"
    apt-get download -qq "${options[@]}" qemu-system-x86 qemu-system-common \
        qemu-system-data seabios || fail "QEMU 10 cannot be downloaded"
    local deb
    for deb in *.deb; do dpkg -x "$deb" "$dir/qemu10"; done
    cd "$dir"
    rm -rf "$apt"
    touch qemu10.done
}

apt_lists
get_kernel
make_initrd
[ "$with_qemu10" = no ] || get_qemu10
