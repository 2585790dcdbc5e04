# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts vu-blk and QEMU, watches a guest's console, and leaves nothing running."""

import ctypes
import mmap
import os
import queue
import signal
import socket
import subprocess
import threading
import time

from qmp import Failed, Qmp

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A child whose output is kept line by line."""

    def __init__(self, argv, pass_fds=(), env=None):
        self.argv = argv
        self.lines = []
        self._queue = queue.Queue()
        self.proc = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, preexec_fn=die_with_parent, pass_fds=pass_fds,
            env=dict(os.environ, **env) if env else None)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for raw in self.proc.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.lines.append(line)
            self._queue.put(line)
        self._queue.put(None)

    def next_line(self, deadline):
        try:
            return self._queue.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise Failed("no answer in time from %s; last lines:\n%s" %
                         (os.path.basename(self.argv[0]), "\n".join(self.lines[-15:])))

    def wait_for(self, text, seconds):
        deadline = time.monotonic() + seconds
        while True:
            line = self.next_line(deadline)
            if line is None:
                raise Failed("%s ended before it said '%s':\n%s" %
                             (os.path.basename(self.argv[0]), text,
                              "\n".join(self.lines[-15:])))
            if text in line:
                return line

    def say(self, line):
        try:
            self.proc.stdin.write(line.encode() + b"\n")
            self.proc.stdin.flush()
        except BrokenPipeError:
            raise Failed("%s has ended:\n%s" %
                         (os.path.basename(self.argv[0]), "\n".join(self.lines[-15:])))

    def end(self, sig=signal.SIGTERM, seconds=10):
        """Signals it and gives its exit status; None if it had to be killed."""
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
        try:
            status = self.proc.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            status = None
        self._reader.join()
        self.proc.stdout.close()
        try:
            self.proc.stdin.close()
        except BrokenPipeError:
            pass
        return status


class Backend(Process):
    def __init__(self, program, sock, image, *options, env=None):
        self.sock = sock
        super().__init__([program, "--socket-path=" + sock, "--blk-file=" + image,
                          *options], env=env)
        self.wait_for("ready on", 10)


class Qemu(Process):
    """A guest; results of its steps are in .results as {step: (ok, words)}.

    It has a device at @sock, of one of the KINDS; @device and @chardev are further
    properties of it and of its socket; @packed is of its rings.  @memory is in KiB.  With @incoming it waits for
    the command migrate-incoming.
    """

    KINDS = {
        "blk": "vhost-user-blk-pci,chardev=c0,num-queues=%d",
        "net": "virtio-net-pci,netdev=n0,romfile=",
        "scsi": "vhost-user-scsi-pci,chardev=c0,num_queues=%d",
        "fs": "vhost-user-fs-pci,chardev=c0,tag=vu,num-request-queues=%d",
    }

    def __init__(self, qemu, assets, sock, steps, queues=1, seed=1, threads=2, ops=100,
                 reboots=False, memory=256 << 10, machine="q35", cpu="max", smp=2, chardev="",
                 kind="blk", device="", packed=False, incoming=False, extra=()):
        # On a busy machine the kernel would find that its timer does not work.
        command = ("console=ttyS0 panic=-1 quiet no_timer_check vu.steps=%s vu.seed=%d "
                   "vu.threads=%d vu.ops=%d vu.device=%s" %
                   (",".join(steps), seed, threads, ops, kind))
        ours, theirs = socket.socketpair()
        argv = list(qemu) + [
            "-accel", "tcg", "-machine", machine + ",memory-backend=mem", "-cpu", cpu,
            "-m", "%dk" % memory, "-smp", str(smp),
            "-object", "memory-backend-memfd,id=mem,size=%dk,share=on" % memory,
            "-nodefaults", "-display", "none", "-vga", "none", "-nic", "none",
            "-serial", "stdio", "-monitor", "none",
            "-chardev", "socket,id=qmp,fd=%d" % theirs.fileno(),
            "-mon", "chardev=qmp,mode=control",
            "-chardev", "socket,id=c0,path=" + sock + chardev,
            *["-netdev", "vhost-user,id=n0,chardev=c0,queues=%d" % queues] * (kind == "net"),
            "-device", self.KINDS[kind].replace("%d", str(queues)) + ",id=d0" + device +
            ",packed=on" * packed,
            "-kernel", os.path.join(assets, "kernel"),
            "-initrd", os.path.join(assets, "initrd"), "-append", command, *extra]
        if not reboots:
            argv.append("-no-reboot")
        if incoming:
            argv += ["-incoming", "defer"]
        self.steps = steps
        self.results = {}
        self.queues = queues
        self.packed = packed
        self._memory = None
        with theirs:
            super().__init__(argv, pass_fds=(theirs.fileno(),))
        try:
            self.qmp = Qmp(ours)
        except Failed as e:
            self.end(signal.SIGKILL)
            raise Failed("%s\n%s" % (e, "\n".join(self.lines[-8:])))

    def end(self, *args, **more):
        if self._memory:
            self._memory.close()
            self._memory = None
        if hasattr(self, "qmp"):
            self.qmp.close()
        return super().end(*args, **more)

    def wait_step(self, step, seconds):
        """Waits for the result of a step; its words. Fails if it has failed."""
        line = self.wait_for("VU-RESULT %s " % step, seconds)
        words = line.split("VU-RESULT ", 1)[1].split(" ", 2)
        text = words[2] if len(words) > 2 else ""
        self.results[step] = text
        if words[1] != "ok":
            raise Failed("in the guest, %s: %s\n%s" %
                         (step, text, "\n".join(self.lines[-8:])))
        return text

    def run(self, seconds):
        """All steps, then the guest's own end."""
        for step in self.steps:
            self.wait_step(step, seconds)
        self.wait_for("VU-DONE", seconds)
        try:
            status = self.proc.wait(timeout=30)
        except subprocess.TimeoutExpired:
            raise Failed("QEMU did not end with its guest")
        if status != 0:
            raise Failed("QEMU ended with %d:\n%s" % (status, "\n".join(self.lines[-8:])))
        return self.results

    # --- the guest's memory, from outside ---

    def _map(self, name):
        """The memfd of that name which QEMU has open; None if there is none."""
        fds = "/proc/%d/fd" % self.proc.pid
        for fd in os.listdir(fds):
            path = os.path.join(fds, fd)
            try:
                if os.readlink(path).startswith("/memfd:" + name):
                    with open(path, "rb") as f:
                        return mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
            except FileNotFoundError:
                pass  # closed since
        return None

    def find_rings(self):
        """Where the guest has put its rings."""
        # Below 2 GiB an offset in the file is a guest address.
        self._memory = self._memory or self._map("memory-backend")
        self._rings = [self.qmp.execute("x-query-virtio-vhost-queue-status", queue=q,
                                        path="/machine/peripheral/d0/virtio-backend")
                       for q in range(self.queues)]
        self._seen = [[None, 0] for _ in self._rings]
        return self._rings

    def _u16(self, address):
        return int.from_bytes(self._memory[address:address + 2], "little")

    def ring_indexes(self):
        """A pair (available, used) of free-running 16-bit indexes for each queue.

        A packed ring has none: used is how often its descriptors were seen to have
        changed, and available is that and what is outstanding.  No other part of it is
        read: reading makes memory that is yet to come.
        """
        if self.packed:
            return [self._packed_indexes(r, s) for r, s in zip(self._rings, self._seen)]
        return [(self._u16(r["avail-phys"] + 2), self._u16(r["used-phys"] + 2))
                for r in self._rings]

    def _packed_indexes(self, ring, seen):
        size = 16 * ring["num"]
        descriptors = self._memory[ring["desc-phys"]:ring["desc-phys"] + size]
        flags = [int.from_bytes(descriptors[i + 14:i + 16], "little")
                 for i in range(0, size, 16)]
        outstanding = sum(1 for f in flags if (f >> 7 ^ f >> 15) & 1)
        if seen[0] != descriptors:
            seen[:] = descriptors, seen[1] + 1
        return (seen[1] + outstanding, seen[1])

    def used_rings_logged(self):
        """For each queue whether the dirty log now has what shows that requests are used;
        [] without a log."""
        log = self._map("vhost-log")
        if not log:
            return []
        with log:
            pages = [(r["desc-phys"] if self.packed else r["used-phys"] + 2) >> 12
                     for r in self._rings]
            return [bool(log[page // 8] >> page % 8 & 1) for page in pages]
