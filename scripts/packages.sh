# SPDX-License-Identifier: GPL-2.0-or-later
#
# What Debian 12 packages which job needs; read by scripts/demo and scripts/test.

packages_build="gcc g++ libc6-dev make autoconf automake libtool pkg-config liburing-dev \
    libprotobuf-c-dev protobuf-c-compiler libjson-c-dev libzstd-dev libncurses-dev \
    libmicrohttpd-dev"
packages_check="$packages_build libcmocka-dev libglib2.0-dev mandoc"
packages_clang="clang libclang-rt-14-dev llvm"
packages_trace="clang libbpf-dev bpftool libelf-dev zlib1g-dev systemtap-sdt-dev"
packages_trace_tests="dpdk-dev gzip"
packages_dist="xz-utils"
packages_qemu="qemu-system-x86 qemu-utils busybox-static cpio e2fsprogs python3 \
    binutils debian-archive-keyring mount"
packages_tools="tmux prometheus python3 python3-prometheus-client python3-jsonschema \
    qemu-system-x86 qemu-utils qemu-system-common util-linux"
packages_foreign="qemu-system-common dpdk-dev ipxe-qemu"

# install_packages NAME...: installs those that are missing; says so.
install_packages() {
    local missing="" p
    for p in "$@"; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' ||
            missing="$missing $p"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "these packages are needed, and only root can install them:$missing" >&2
        return 1
    fi
    echo "installing:$missing"
    # The lists of a new machine are empty, and those of an old one name what is gone.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
        > /dev/null 2>&1 ||
        { apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                $missing > /dev/null; }
}
