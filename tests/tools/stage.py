# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the tools share: back-ends to look at, terminals to look in."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Failed(Exception):
    """A test has failed, and why."""


def need(condition, why):
    if not condition:
        raise Failed(why)


class Fleet:
    """tests/tools/fleet: real back-ends and front-ends, by commands."""

    def __init__(self, program, run_dir):
        env = dict(os.environ, LIBVU_RUN_DIR=run_dir)
        self.proc = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     env=env, text=True, bufsize=1,
                                     preexec_fn=die_with_parent)

    def do(self, command):
        """Gives a command; the answer after "ok"."""
        self.proc.stdin.write(command + "\n")
        self.proc.stdin.flush()
        answer = self.proc.stdout.readline().strip()
        need(answer.startswith("ok"), "fleet: %s: %s" % (command, answer or "it has ended"))
        return answer[3:]

    def new(self, name, device, kind="good", devices=1, queues=1, size=64):
        return int(self.do("new %s %s %s %d %d %d" % (name, device, kind, devices, queues, size)))

    def stick(self, name, kind, device):
        """A back-end with requests that it does not serve."""
        self.new(name, device, kind)
        self.do("submit %s 0 0 5" % name)
        self.do("kick %s 0 0" % name)

    def end(self):
        if self.proc.poll() is None:
            self.proc.stdin.close()
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.proc.stdout.close()


class Terminal:
    """A real terminal, made by a tmux of its own."""

    count = 0

    def __init__(self, command, rows=24, cols=80, env=None, term="screen-256color"):
        Terminal.count += 1
        self.socket = "vu-test-%d-%d" % (os.getpid(), Terminal.count)
        words = " ".join("%s='%s'" % kv for kv in (env or {}).items())
        self.rows, self.cols = rows, cols
        # Its server must not outlive the test, whatever happens to this process.
        base = dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm-256color")
        base.pop("NO_COLOR", None)
        self.proc = subprocess.Popen(
            ["tmux", "-L", self.socket, "-f", "/dev/null", "-D"], env=base,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent)
        self._until(lambda: self._tmux("set-option", "-g", "default-terminal", term,
                                       check=False) is not None, 10, "tmux does not start")
        self._tmux("set-option", "-g", "remain-on-exit", "on")
        self._tmux("set-option", "-g", "status", "off")
        self._tmux("set-option", "-g", "escape-time", "0")
        self._tmux("new-session", "-d", "-x", str(cols), "-y", str(rows),
                   "env %s TERM=%s %s" % (words, term, command))

    def _tmux(self, *args, check=True):
        done = subprocess.run(["tmux", "-L", self.socket, *args], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            if check:
                raise Failed("tmux %s: %s" % (" ".join(args), done.stdout))
            return None
        return done.stdout

    def _until(self, condition, seconds, why):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(why() if callable(why) else why)
            time.sleep(0.03)

    def screen(self, escapes=False):
        return self._tmux("capture-pane", "-p", *(["-e"] if escapes else []), "-t", "0") or ""

    def keys(self, *keys):
        for key in keys:
            self._tmux("send-keys", "-t", "0", *(["-l", key] if len(key) == 1 else [key]))

    def type(self, text):
        self._tmux("send-keys", "-t", "0", "-l", text)

    def wait(self, pattern, seconds=10, gone=False):
        """Until a regular expression is on the screen (or not); the match."""
        found = []

        def look():
            found[:] = [re.search(pattern, self.screen(), re.M)]
            return bool(found[0]) != gone

        self._until(look, seconds, lambda: "%s%r in:\n%s" % (
            "still " if gone else "no ", pattern, self.screen()))
        return found[0]

    def resize(self, rows, cols):
        self.rows, self.cols = rows, cols
        self._tmux("resize-window", "-t", "0", "-x", str(cols), "-y", str(rows))

    def pid(self):
        """Of the program in the terminal."""
        return int(self._tmux("display-message", "-p", "-t", "0", "#{pane_pid}"))

    def child(self):
        """What the program in the terminal has started last."""
        with open("/proc/%d/task/%d/children" % (self.pid(), self.pid())) as f:
            return int(f.read().split()[-1])

    def command(self):
        return self._tmux("display-message", "-p", "-t", "0", "#{pane_current_command}").strip()

    def wait_command(self, name, seconds=10):
        self._until(lambda: self.command() == name, seconds,
                    lambda: "%s runs, not %s" % (self.command(), name))

    def wait_dead(self, seconds=10):
        """Until the program has ended; its exit status."""
        ended = []

        def look():
            ended[:] = self._tmux("display-message", "-p", "-t", "0",
                                  "#{pane_dead} #{pane_dead_status}").split()
            if ended == ["1"]:
                # tmux sometimes misses that it may ask how.
                self.proc.send_signal(signal.SIGCHLD)
            return ended[:1] == ["1"] and len(ended) == 2

        self._until(look, seconds, lambda: "it does not end:\n" + self.screen())
        return int(ended[1])

    def end(self):
        self._tmux("kill-server", check=False)
        try:
            self.proc.wait(5)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()


class Context:
    """A run directory, a fleet, and terminals, for one test."""

    def __init__(self, options):
        self.options = options
        self.dir = tempfile.mkdtemp(prefix="vu-tools.")
        self.run_dir = os.path.join(self.dir, "run")
        os.mkdir(self.run_dir, 0o700)
        self.fleet = Fleet(options.fleet, self.run_dir)
        self.children = []
        self.env = {"LIBVU_RUN_DIR": self.run_dir, "HOME": self.dir,
                    "XDG_CONFIG_HOME": self.dir + "/config"}

    def path(self, name):
        return os.path.join(self.dir, name)

    def top(self, *args, check=None, seconds=30, env=None, **more):
        """Runs vu-top to its end; what it was, as subprocess has it."""
        done = subprocess.run([self.options.vu_top, "--libvu-only", *args],
                              env=dict(os.environ, **self.env, **(env or {})), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=seconds, **more)
        if check is not None:
            need(done.returncode == check, "vu-top %s: status %d, not %d:\n%s%s" % (
                " ".join(args), done.returncode, check, done.stdout, done.stderr))
        return done

    def top_all(self, *args):
        """Of all back-ends of the host, not just the fleet's."""
        return subprocess.run([self.options.vu_top, *args], env=dict(os.environ, **self.env),
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=30)

    def wait_for(self, condition, why, seconds=10):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(why() if callable(why) else why)
            time.sleep(0.02)

    def start(self, argv, **more):
        p = subprocess.Popen(argv, env=dict(os.environ, **self.env), text=True,
                             stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, **more)
        self.children.append(p)
        return p

    def terminal(self, args="", rows=24, cols=80, env=None, command=None, **more):
        t = Terminal(command or "%s --libvu-only %s" % (self.options.vu_top, args), rows, cols,
                     dict(self.env, **(env or {})), **more)
        self.children.append(t)
        return t

    def clean(self):
        for c in reversed(self.children):
            if isinstance(c, subprocess.Popen):
                if c.poll() is None:
                    c.kill()
                c.wait()
                for f in (c.stdout, c.stderr):
                    if f:
                        f.close()
            else:
                c.end()
        self.fleet.end()
        shutil.rmtree(self.dir, ignore_errors=True)
