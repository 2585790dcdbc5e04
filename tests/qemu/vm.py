# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts vu-blk and QEMU, watches a guest's console, and leaves nothing running."""

import ctypes
import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Failed(Exception):
    """A test has failed, and why."""


class Process:
    """A child whose output is kept line by line."""

    def __init__(self, argv):
        self.argv = argv
        self.lines = []
        self._queue = queue.Queue()
        self.proc = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, preexec_fn=_die_with_parent)
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
        return status


class Backend(Process):
    def __init__(self, program, sock, image, *options):
        self.sock = sock
        super().__init__([program, "--socket-path=" + sock, "--blk-file=" + image,
                          *options])
        self.wait_for("ready on", 10)


class Qemu(Process):
    """A guest; results of its steps are in .results as {step: (ok, words)}."""

    def __init__(self, qemu, assets, sock, steps, queues=1, seed=1, threads=2, ops=100,
                 workdir=".", reboots=False, memory=256, extra=()):
        self.qmp_path = os.path.join(workdir, "qmp.%d.sock" % time.monotonic_ns())
        command = ("console=ttyS0 panic=-1 quiet vu.steps=%s vu.seed=%d vu.threads=%d "
                   "vu.ops=%d" % (",".join(steps), seed, threads, ops))
        argv = list(qemu) + [
            "-accel", "tcg", "-machine", "q35,memory-backend=mem", "-cpu", "max",
            "-m", str(memory), "-smp", "2",
            "-object", "memory-backend-memfd,id=mem,size=%dM,share=on" % memory,
            "-nodefaults", "-display", "none", "-vga", "none", "-nic", "none",
            "-serial", "stdio", "-monitor", "none",
            "-qmp", "unix:%s,server=on,wait=off" % self.qmp_path,
            "-chardev", "socket,id=disk,path=" + sock,
            "-device", "vhost-user-blk-pci,chardev=disk,num-queues=%d,id=d0" % queues,
            "-kernel", os.path.join(assets, "kernel"),
            "-initrd", os.path.join(assets, "initrd"), "-append", command, *extra]
        if not reboots:
            argv.append("-no-reboot")
        self.steps = steps
        self.results = {}
        super().__init__(argv)

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

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(self.qmp_path)
            f = s.makefile("rw")
            f.readline()
            for c in ({"execute": "qmp_capabilities"},
                      {"execute": command, "arguments": arguments}):
                f.write(json.dumps(c) + "\n")
                f.flush()
                while True:
                    answer = json.loads(f.readline())
                    if "event" not in answer:
                        break
            return answer
