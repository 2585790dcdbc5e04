#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# assets.sh DIR PROGRAM...: puts into DIR what guests that trace need, and installs nothing:
#   6.1/, 6.12/   kernel and modules, of Debian's and its backports' packages
#   initrd-6.1, initrd-6.12: the programs with their libraries, busybox, modules, guest-init;
#       a PROGRAM that is a folder goes in whole
# Kernels that are there are left as they are; the initrds are made anew.
set -eu
src=$(cd "$(dirname "$0")" && pwd)
dir=$1
shift
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
modules="irqbypass kvm kvm-amd virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev
    virtio_pci virtio_blk failover net_failover virtio_net"

fail() {
    echo "assets: $*" >&2
    exit 1
}

# suite NAME: apt options that know only this suite of the machine's own mirror.
suite() {
    local uri apt=$dir/apt-$1
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -n 1)
    [ -n "$uri" ] || fail "this machine has no bookworm among its package sources"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $1 main" > "$apt/sources.list"
    options=(-o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
    apt-get update -qq "${options[@]}" || fail "the list of $1 cannot be had"
}

# get_kernel VERSION SUITE
get_kernel() {
    local at=$dir/$1 package m
    [ -e "$at/done" ] && return
    rm -rf "$at"
    mkdir -p "$at/unpacked" "$at/modules"
    suite "$2"
    package=$(apt-cache "${options[@]}" depends linux-image-cloud-amd64 |
        sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [ -n "$package" ] || fail "which kernel linux-image-cloud-amd64 of $2 stands for is not known"
    (cd "$at/unpacked" && apt-get download -qq "${options[@]}" "$package") ||
        fail "$package cannot be downloaded"
    dpkg -x "$at"/unpacked/*.deb "$at/unpacked"
    cp "$at"/unpacked/boot/vmlinuz-* "$at/kernel"
    for m in $modules; do
        find "$at/unpacked" -name "$m.ko*" -exec cp {} "$at/modules/" \;
        case $(ls "$at/modules/" | grep "^$m.ko") in
        *.xz) xz -d "$at/modules/$m.ko.xz" ;;
        *.ko) ;;
        *) grep -q "/$m.ko" "$at"/unpacked/lib/modules/*/modules.builtin ||
            find "$at/unpacked" -name modules.builtin -exec grep -q "/$m.ko" {} + ||
            fail "the kernel has no module $m" ;;
        esac
    done
    rm -rf "$at/unpacked" "$dir/apt-$2"
    touch "$at/done"
}

# copy_program FILE: with the libraries it wants, into $root.
copy_program() {
    local lib
    cp "$1" "$root/bin/"
    ldd "$1" | grep -o '/[^ ]*' | while read -r lib; do
        mkdir -p "$root$(dirname "$lib")"
        cp -L "$lib" "$root$lib"
    done
}

# make_initrd VERSION PROGRAM...
make_initrd() {
    local version=$1 root=$dir/root p m
    shift
    rm -rf "$root"
    mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/modules"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for p in "$@"; do
        if [ -d "$p" ]; then cp -r "$p" "$root/"; else copy_program "$p"; fi
    done
    for m in $modules; do
        [ ! -e "$dir/$version/modules/$m.ko" ] || cp "$dir/$version/modules/$m.ko" "$root/modules/"
    done
    echo $modules > "$root/modules/order"
    cp "$src/guest-init" "$root/init"
    chmod +x "$root/init"
    (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$dir/initrd-$version.tmp"
    mv "$dir/initrd-$version.tmp" "$dir/initrd-$version"
    rm -rf "$root"
}

get_kernel 6.1 bookworm
get_kernel 6.12 bookworm-backports
make_initrd 6.1 "$@"
make_initrd 6.12 "$@"
