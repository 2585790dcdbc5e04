# SPDX-License-Identifier: GPL-2.0-or-later
"""What vu-top is given to read is damaged, forged, gone or forbidden."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

from stage import need


def segment(ctx, pid, number=0):
    return os.path.join(ctx.run_dir, "%d-%d.telemetry" % (pid, number))


def one_line(ctx, pid, number, why):
    """What --once says of a file, within reason."""
    begin = time.monotonic()
    done = ctx.top("--once", check=0)
    took = time.monotonic() - begin
    pattern = r"^\S.*\[%d\]: %d-%d\.telemetry: .*%s" % (pid, pid, number, why)
    need(len(re.findall(pattern, done.stdout, re.M)) == 1, "no '%s' in:\n%s" % (why, done.stdout))
    # It looks for 1.3 s by itself.
    need(took < 2.8, "it took %.1f s" % took)


def damaged_files(ctx):
    pid = ctx.fleet.new("a", "disk")
    with open(segment(ctx, pid), "rb") as f:
        good = f.read()
    p = ctx.start(["sleep", "1000"])
    forged = segment(ctx, p.pid)

    def write(data):
        with open(forged, "wb") as f:
            f.write(data)

    write(b"")
    one_line(ctx, p.pid, 0, "too short")
    write(random.Random(4).randbytes(100000))
    one_line(ctx, p.pid, 0, "not a telemetry file")
    write(good[:len(good) // 2])
    one_line(ctx, p.pid, 0, "cut short")
    # The version is behind magic and byte order.
    write(good[:12] + b"\xff\x7f" + good[14:])
    one_line(ctx, p.pid, 0, "of version 32767")
    write(good[:8] + good[8:12][::-1] + good[12:])
    one_line(ctx, p.pid, 0, "byte order")
    # Any one byte of what describes the rest.
    for at in range(0, 600, 37):
        write(good[:at] + bytes([good[at] ^ 0x81]) + good[at + 1:])
        done = ctx.top("--json", "-n", "1", check=0)
        need("disk" in {d["device"] for d in json.loads(done.stdout)["devices"]},
             "a neighbour's file, damaged at %d, hides what is good" % at)


def forged_files(ctx):
    pid = ctx.fleet.new("a", "disk")
    ctx.fleet.do("load a 0 0 500")
    p = ctx.start(["sleep", "1000"])
    os.symlink(segment(ctx, pid), segment(ctx, p.pid))
    one_line(ctx, p.pid, 0, "symbolic link|symbolic")
    os.unlink(segment(ctx, p.pid))
    shutil.copy(segment(ctx, pid), segment(ctx, p.pid))
    os.chown(segment(ctx, p.pid), 12345, 12345)
    one_line(ctx, p.pid, 0, "belongs to user 12345")
    os.unlink(segment(ctx, p.pid))
    os.mkfifo(segment(ctx, p.pid))
    one_line(ctx, p.pid, 0, "not a regular file")
    os.unlink(segment(ctx, p.pid))
    done = ctx.top("--once", check=0)
    need("sleep" not in done.stdout and " MOVING" in done.stdout, done.stdout)


def cut_while_it_is_looked_at(ctx):
    """A file that becomes shorter is no reason to die."""
    pid = ctx.fleet.new("a", "disk", queues=3)
    t = ctx.terminal("-i 0.1 --latency")
    t.wait("disk")
    # The back-end has it mapped: it must not look.
    ctx.fleet.do("signal a %d" % signal.SIGSTOP)
    t.wait("STOPPED")
    size = os.stat(segment(ctx, pid)).st_size
    for k in range(40, -1, -1):
        os.truncate(segment(ctx, pid), size * k // 41)
        t.keys(str(1 + k % 8))
    t.keys("1")
    t.wait(r"fleet-back\[\d+\].*: \d+-0\.telemetry: |No vhost-user")
    t.keys("q")
    need(t.wait_dead() == 0, "it did not end with 0")


def back_ends_that_come_and_go(ctx):
    """At any moment between two reads."""
    with open(ctx.path("samples"), "w") as out:
        p = ctx.start([ctx.options.vu_top, "--libvu-only", "--json", "-i", "0.05", "--latency"],
                      stdout=out, stderr=subprocess.PIPE)
    for i in range(60):
        ctx.fleet.new("b%d" % i, "disk", queues=4)
        ctx.fleet.do("load b%d -1 -1 1000" % i)
        if i >= 2:
            ctx.fleet.do("end b%d" % (i - 2))
    p.send_signal(signal.SIGTERM)
    need(p.wait(10) == 0, "it ended with %s" % p.returncode)
    need(p.stderr.read() == "", "it complains")
    seen = set()
    rates = []
    for line in open(ctx.path("samples")):
        sample = json.loads(line)
        seen |= {d["pid"] for d in sample["devices"]}
        rates += [v for q in sample["queues"] for v in q["rates"].values()]
    need(len(seen) >= 30, "it saw %d of 60" % len(seen))
    need(all(r >= 0 for r in rates), "a rate is %s" % min(rates))


def without_permission(ctx):
    """Say what is missing, and show what can be shown."""
    pid = ctx.fleet.new("a", "disk")
    ctx.fleet.do("load a 0 0 500")
    program = ctx.path("vu-top")
    shutil.copy(ctx.options.vu_top, program)
    os.chmod(ctx.dir, 0o755)

    def nobody(*args):
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                               program, "--once", "--no-config", *args],
                              env=dict(os.environ, **ctx.env), text=True, timeout=20,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)

    done = nobody("--libvu-only")
    need(done.returncode == 4 and len(done.stderr.splitlines()) == 1 and
         "%s: Permission denied" % ctx.run_dir in done.stderr, done)
    done = nobody("--libvu-only", "--check")
    need(done.returncode == 3 and "UNKNOWN" in done.stdout and "Permission" in done.stdout, done)
    os.chmod(ctx.run_dir, 0o755)
    done = nobody()
    need(re.search(r"CAP_SYS_PTRACE", done.stdout + done.stderr), done)
    # The file itself is still the back-end's and root's.
    need("%d-0.telemetry: Permission denied" % pid in done.stdout, done)
    os.chmod(segment(ctx, pid), 0o644)
    done = nobody("--libvu-only", "-o", "device,req/s,completed")
    need(re.search(r"^disk +[1-9]\d* +[1-9]", done.stdout, re.M), done)


def monitor_that_does_not_answer(ctx):
    """QEMU is stopped by a signal: its QMP socket takes connections and says nothing."""
    ctx.fleet.new("a", "disk")
    ctx.fleet.do("load a 0 0 500")
    with open(ctx.path("disk.img"), "wb") as f:
        f.truncate(1 << 20)
    sock, qmp = ctx.path("blk.sock"), ctx.path("qmp.sock")
    # One that tells nothing: another's segment is not looked for.
    ctx.start(["qemu-storage-daemon", "--blockdev",
               "driver=file,node-name=f,filename=" + ctx.path("disk.img"), "--export",
               "type=vhost-user-blk,id=e,addr.type=unix,addr.path=%s,node-name=f,writable=on"
               % sock])
    ctx.wait_for(lambda: os.path.exists(sock), "no qemu-storage-daemon")
    q = ctx.start(["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35,memory-backend=m",
                   "-m", "64", "-object", "memory-backend-memfd,id=m,size=64M,share=on",
                   "-nodefaults", "-display", "none", "-name", "quiet", "-chardev",
                   "socket,id=c,path=" + sock, "-device", "vhost-user-blk-pci,chardev=c",
                   "-qmp", "unix:%s,server=on,wait=off" % qmp])
    ctx.wait_for(lambda: os.path.exists(qmp), "no QEMU")
    ctx.wait_for(lambda: "quiet" in ctx.top_all("--once").stdout, "QEMU is not found", 20)
    q.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    done = ctx.top_all("--once")
    took = time.monotonic() - begin
    need(re.search(r"^qemu-system-x86\[%d\]: .*(answer|time)" % q.pid, done.stdout, re.M),
         done.stdout)
    need(" MOVING" in done.stdout, "others are not seen:\n" + done.stdout)
    need(took < 3.3, "it took %.1f s" % took)
    # The screen does not wait for it either.
    t = ctx.terminal(command="%s" % ctx.options.vu_top, rows=30, cols=160)
    t.wait(r"0 request .*MOVING", seconds=4)
    for key, text in (("2", r"DEVICE .*WORST"), ("1", r"QUEUE .*VERDICT")):
        begin = time.monotonic()
        t.keys(key)
        t.wait(text)
        need(time.monotonic() - begin < 1, "a key took %.1f s" % (time.monotonic() - begin))
    t.keys("q")
    begin = time.monotonic()
    t.wait_dead()
    need(time.monotonic() - begin < 1.5, "it took %.1f s to end" % (time.monotonic() - begin))


def dead_and_replaced(ctx):
    """What nobody waits for is no alarm, though its black box is there for days."""
    if not os.path.exists(ctx.options.vu_blk):
        return
    sock = ctx.path("blk.sock")
    with open(ctx.path("disk.img"), "wb") as f:
        f.truncate(1 << 20)

    def back_end():
        p = ctx.start([ctx.options.vu_blk, "--socket-path=" + sock,
                       "--blk-file=" + ctx.path("disk.img")], stdout=subprocess.PIPE)
        p.stdout.readline()
        return p

    def queue(pid, *, vm="boots", **wanted):
        """Waits until it is as it should be."""
        seen = []

        def look():
            sample = json.loads(ctx.top_all("--json", "--once").stdout)
            seen[:] = [q for q in sample["queues"] if q["pid"] == pid]
            return seen and seen[0]["vm"] == vm and all(
                str(seen[0][k]) == v or v in str(seen[0][k]) for k, v in wanted.items())

        ctx.wait_for(look, lambda: "not %s: %s" % (wanted, seen), 20)

    first = back_end()
    # The BIOS looks for something to boot.
    q = ctx.start(["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35,memory-backend=m",
                   "-m", "64", "-object", "memory-backend-memfd,id=m,size=64M,share=on",
                   "-nodefaults", "-display", "none", "-name", "boots", "-chardev",
                   "socket,id=c,reconnect=1,path=" + sock, "-device",
                   "vhost-user-blk-pci,chardev=c,bootindex=1"], stdout=subprocess.DEVNULL,
                  stderr=subprocess.DEVNULL)
    queue(first.pid, state="started")
    first.kill()
    first.wait()
    queue(first.pid, state="dead", health="critical", verdict="the ring was in use")
    second = back_end()
    queue(first.pid, state="dead", health="info",
          verdict="process %d serves its socket now" % second.pid)
    queue(second.pid, state="started", health="ok")
    second.kill()
    second.wait()
    queue(second.pid, state="dead", health="critical", verdict="the ring was in use")
    q.kill()
    q.wait()
    queue(second.pid, vm="", state="dead", health="info", verdict="front-end is dead, too")


CASES = [damaged_files, forged_files, cut_while_it_is_looked_at, back_ends_that_come_and_go,
         without_permission, monitor_that_does_not_answer, dead_and_replaced]
