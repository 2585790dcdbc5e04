# SPDX-License-Identifier: GPL-2.0-or-later
"""vu-top in real terminals: every view, every key, every way to end."""

import json
import os
import re
import signal
import time

from stage import need


def busy_disk(ctx):
    ctx.fleet.new("a", "disk", queues=2, size=256)
    ctx.fleet.do("load a -1 -1 2000")


# What a view says that no other does.
HEADINGS = [r"QUEUE .*VERDICT", r"DEVICE .*WORST", r"PROCESS .*THREAD .*SERVES|THREAD .*REQ/s",
            r"Service time \(pop to push\)", r"DEVICE .*GUEST", r"DEVICE .*PHASE",
            r"TIME .*WHAT", r"SINCE .*WHAT"]


# The same where there is room for 40 characters.
NARROW = [r"^  QUEUE +REQ/s +DEPTH VERDICT", r"^DEVICE +REQ/s WORST", r"^PROCESS +THREAD S BUSY%",
          r"^ Service time \(pop to push\)", r"^DEVICE +GUEST +SIZE", r"^DEVICE +PHASE +LOG",
          r"^TIME +EVENT +WHAT", r"^SINCE +LEVEL +WHAT"]


def every_view(ctx):
    busy_disk(ctx)
    for rows, cols in ((24, 80), (50, 200), (10, 40)):
        t = ctx.terminal(rows=rows, cols=cols)
        t.wait(r"0 request .*MOVING")
        headings = NARROW if cols == 40 else HEADINGS
        for n, heading in enumerate(headings, 1):
            t.keys(str(n))
            t.wait(heading)
        t.keys("Tab")
        t.wait(headings[0])
        t.keys("BTab")
        t.wait(headings[7])
        for line in t.screen().split("\n"):
            need(len(line) <= cols, "a line is longer than the screen: " + line)
        t.keys("q")
        need(t.wait_dead() == 0, "it did not end with 0")
        t.end()


def what_views_show(ctx):
    busy_disk(ctx)
    ctx.fleet.do("log a 0")
    t = ctx.terminal(rows=30, cols=160)
    t.wait(r"0 request .* [\d.]+k .*MOVING")
    t.keys("2")
    t.wait(r"fleet\[\d+\]/disk +blk +fleet-back\[\d+\S* +yes +2/2")
    t.keys("3")
    t.wait(r"fleet-back\[\d+\] +\d+ fleet-back +[SR] +\d .*disk:0 disk:1")
    t.keys("4")
    t.wait("[\u2588\u2591-\u2593]")
    t.keys("l")
    t.wait("Kick read to request popped")
    t.keys("a")
    t.wait("of all queues")
    t.keys("5")
    t.wait(r"/disk +000000000000 .*memfd")
    t.keys("6")
    t.wait(r"/disk .*logging +on +[\d.]+k? ")
    t.keys("7")
    t.wait(r"message +SET_VRING_KICK queue 1")


def stuck_in_sight(ctx):
    """The reason, at once, without a key; more with one."""
    busy_disk(ctx)
    ctx.fleet.stick("s", "sleep", "sick-disk")
    t = ctx.terminal()
    t.wait(r"^ BACKEND_STALLED .*sick-disk:0: the back-end's thread is stuck", seconds=8)
    t.wait("5 requests wait for .* sleeps in")
    t.wait("Next: see its stack")
    t.wait(r"^ ! +0 request .*BACKEND_STALLED")
    need("1 stuck" in t.screen(), "it does not count it:\n" + t.screen())
    # The cursor is there already.
    t.keys("Enter")
    t.wait(r"sick-disk:0 blk request queue of fleet-back")
    # Whether it has read the kick before it fell asleep is chance.
    t.wait(r"kick: fd \d+, eventfd-id \d+, [01] not consumed", seconds=15)
    t.wait(r"held by .*fleet\[\d+\] as fd")
    t.wait(r"nanosleep")
    t.keys("NPage", "NPage")
    t.wait("Curves")
    t.keys("n")
    t.wait(r"/disk:[01] blk request queue")
    t.keys("p")
    t.wait(r"sick-disk:0 blk request queue")
    t.keys("Escape")
    t.wait(HEADINGS[0])
    t.keys("8")
    t.wait(r"^for .*critical .*sick-\S+ BACKEND_STALLED")


def detail_of_a_busy_queue(ctx):
    busy_disk(ctx)
    t = ctx.terminal(rows=50, cols=200)
    t.wait(r"0 request .*MOVING")
    t.keys("Enter")
    t.wait(r"U used \d+ .*F fetched \d+")
    t.wait(r"service +[\d.]+[nu]s", seconds=15)
    t.wait(r"virtio 0x\w+:.*EVENT_IDX")
    t.wait(r"requests/s: now [\d.]+k")
    t.keys("c")
    t.wait(r"bytes/s to the guest: now")
    t.keys("w")
    t.wait("the last 10m00s")


def killed_back_end(ctx):
    """What a dead back-end has last seen can still be read."""
    busy_disk(ctx)
    t = ctx.terminal()
    t.wait(r"0 request .*MOVING")
    ctx.fleet.do("signal a %d" % signal.SIGKILL)
    t.wait("BACKEND_GONE")
    t.wait(r"/disk  f.* DEAD")
    t.keys("7")
    t.wait(r"message +SET_VRING_ENABLE queue 1")
    t.keys("8")
    t.wait("the back-end has died")


def stopped_back_end(ctx):
    busy_disk(ctx)
    t = ctx.terminal()
    t.wait(r"0 request .*MOVING")
    ctx.fleet.do("signal a %d" % signal.SIGSTOP)
    t.wait("BACKEND_STALLED")
    t.wait("is stopped by a signal")
    t.wait(r"/disk  f.* STOPPED")
    ctx.fleet.do("signal a %d" % signal.SIGCONT)
    t.wait(r"0 request .*MOVING")
    t.wait("0 stuck")


def coming_and_going(ctx):
    t = ctx.terminal()
    t.wait("No vhost-user back-end was found")
    busy_disk(ctx)
    t.wait(r"0 request .*MOVING")
    for i in range(4):
        ctx.fleet.new("b%d" % i, "more%d" % i)
    t.wait(r"/more3 ")
    ctx.fleet.do("leave b0 0")
    t.wait("FRONTEND_GONE")
    for i in range(4):
        ctx.fleet.do("end b%d" % i)
    t.wait("BACKEND_GONE")
    # A new process of libvu's clears what dead ones have left.
    t.keys("8")
    t.wait("there is a new device|has died")


def keys_of_the_list(ctx):
    busy_disk(ctx)
    ctx.fleet.new("n", "net", queues=3)
    t = ctx.terminal(rows=30, cols=120)
    t.wait(r"0 rx")
    t.keys("t")
    t.wait(r"fleet\[\d+\]/disk:0 ")
    t.keys("R")
    t.wait(r"Sorted by -req/s,-health")
    t.keys("L")
    t.wait(r"Sorted by -p99,-req/s")
    t.keys(">")
    t.wait(r"Sorted by -p99.9")
    t.keys("<", "I", "t")
    t.wait(r"^.. +0 request")
    t.keys("Home", "Left")
    t.wait("\u25b6")
    t.keys("Right")
    t.wait("\u25b6", gone=True)
    t.keys("-")
    t.wait("\u25b6.*\n.*\u25b6")
    t.keys("+")
    t.wait(r"0 rx")
    t.keys("Home", "Down", " ")
    t.wait(r"^\*")
    t.keys("U")
    t.wait(r"^\*", gone=True)
    t.keys("u", "F")
    t.wait("The cursor stays on its line")
    t.keys("!")
    t.wait("Nothing is stuck")
    t.keys("y")
    t.wait(r"^fleet\[\d+\]/\w+:\d")
    t.keys("C-l", "C")


def filters_and_searches(ctx):
    busy_disk(ctx)
    ctx.fleet.new("n", "net", queues=3)
    t = ctx.terminal()
    t.wait(r"0 rx")
    t.keys("\\")
    t.type("bogus=1")
    t.keys("Enter")
    t.wait("'bogus' is no field")
    t.keys("C-u")
    t.type("role=rx")
    t.keys("Enter")
    t.wait(r"filter: role=rx \(3 hidden\)")
    t.wait(r"0 request", gone=True)
    t.keys("F4", "C-u", "Enter")
    t.wait(r"0 request")
    t.keys("/")
    t.type("NET")
    t.keys("Enter", "Enter")
    t.wait("\u25b6.*net")
    t.keys("*", "/")
    t.type("nobody")
    t.keys("Enter")
    t.wait("'nobody' is not there")


def choosing(ctx):
    busy_disk(ctx)
    t = ctx.terminal()
    t.wait(r"0 request .*MOVING")
    t.keys("o")
    t.wait("Sort by: Enter chooses")
    t.keys("Home", "Down", "Enter", "Down", " ")
    t.wait(r"^ 1 \w+ +device")
    t.wait(r"^ 2 \w+ +process")
    t.keys("Escape", "f")
    t.wait("Columns: Space")
    t.keys("Home", "Down", "Down", "Down", "Enter")
    t.wait(r"\[1\] +pid")
    t.keys("Escape")
    t.wait(r"QUEUE +PID +REQ/s TREND|QUEUE +PID")
    t.keys("f", "0", "Escape")
    t.wait(r"QUEUE .*KICK/s")
    t.keys("?")
    t.wait("Where to look")
    t.keys("NPage")
    t.wait("How it is counted")
    t.keys("?")
    t.wait(HEADINGS[0])


def counting(ctx):
    busy_disk(ctx)
    t = ctx.terminal()
    t.wait(r"0 request .*MOVING")
    t.keys("=")
    t.wait("There is no mark")
    t.keys("m")
    t.wait("Marked")
    t.keys("=")
    t.wait("since mark")
    t.keys("T")
    t.wait(r"totals")
    t.wait(r"QUEUE +KICK +REQ ")
    t.keys("T", "0", "d")
    t.wait("Look every: 1")
    t.keys("C-u")
    t.type("200ms")
    t.keys("Enter")
    t.wait("every 200ms")
    t.keys("s", "C-u")
    t.type("soon")
    t.keys("Enter")
    t.wait("'soon' is not a time")
    t.keys("Z")
    t.wait("PAUSED")
    clock = t.wait(r"\d\d:\d\d:\d\d").group()
    # Something else is drawn, but nothing is looked at.
    t.keys("2")
    t.wait(HEADINGS[1])
    need(clock in t.screen(), "it goes on while paused")
    t.keys("Z", "1")
    t.wait(clock, gone=True)
    t.keys("r")


def exports(ctx):
    busy_disk(ctx)
    t = ctx.terminal()
    t.wait(r"0 request .*MOVING")
    for name in ("screen.txt", "queues.json", "no/such/folder"):
        t.keys("x", "C-u")
        t.type(ctx.path(name))
        t.keys("Enter")
        t.wait("written" if "." in name else "No such file")
    text = open(ctx.path("screen.txt")).read()
    need("MOVING" in text and "\033" not in text, "the exported screen is:\n" + text)
    sample = json.load(open(ctx.path("queues.json")))
    need(len(sample["queues"]) == 2, "the exported queues are %s" % sample["queues"])
    t.keys("R", "W")
    t.wait("Saved to")
    t.keys("q")
    t.wait_dead()
    t.end()
    config = open(ctx.path("config/vu/vu-top.conf")).read()
    need("sort = -req/s,-health" in config, config)
    with open(ctx.path("config/vu/vu-top.conf"), "a") as f:
        f.write("bogus = 1\n")
    done = ctx.top("--once", check=0)
    need("vu-top.conf:" in done.stderr and "bogus" in done.stderr, done.stderr)
    done = ctx.top("--once", "--no-config", check=0)
    need(done.stderr == "", done.stderr)


def resizing(ctx):
    busy_disk(ctx)
    t = ctx.terminal(rows=50, cols=200)
    t.wait(r"0 request .*MOVING")
    for rows, cols, pattern in ((10, 40, r"QUEUE +REQ/s +DEPTH VERDICT"), (24, 80, r"OLDEST +P99"),
                                (3, 20, "Queues|Que"), (50, 200, "REQ/s TREND")):
        t.resize(rows, cols)
        t.wait(pattern)
        lines = t.screen().rstrip("\n").split("\n")
        need(len(lines) <= rows and max(map(len, lines)) <= cols, "it does not fit:\n%s" % lines)


ENDS = [("q", None), (None, signal.SIGTERM), (None, signal.SIGINT), (None, signal.SIGHUP),
        (None, signal.SIGSEGV), (None, signal.SIGABRT), ("C-c", None)]


CRASHES = (signal.SIGSEGV, signal.SIGABRT)


def terminal_is_given_back(ctx):
    """However it ends, the shell finds its screen and its terminal as they were."""
    busy_disk(ctx)
    t = ctx.terminal(command="bash --norc -i")
    t.type("PS1='sh> '; stty -a | tr ' ' '\\n' | grep -v -E '^(rows|columns)' > %s\n" %
           ctx.path("before"))
    for n, (key, sig) in enumerate(ENDS):
        t.type("echo mark-%d; %s --libvu-only; echo status=$?.%d\n" % (n, ctx.options.vu_top, n))
        t.wait_command("vu-top")
        t.wait(r"0 request .*MOVING")
        if key:
            t.keys(key)
        else:
            os.kill(t.child(), sig)
        status = int(t.wait(r"^status=(\d+).%d" % n).group(1))
        need(status == (128 + sig if sig in CRASHES else 0), "%s: status %d" % (sig, status))
        # What was on the screen before is there again.
        t.wait("^mark-%d" % n)
        need("VERDICT" not in t.screen(), "%s leaves its screen:\n%s" % (sig or key, t.screen()))
        t.type("stty -a | tr ' ' '\\n' | grep -v -E '^(rows|columns)' > %s; cmp %s %s && "
               "echo same-%d; clear\n" % (ctx.path("after"), ctx.path("before"),
                                          ctx.path("after"), n))
        t.wait_command("bash")
        need_same(ctx, sig or key)


def need_same(ctx, how):
    for _ in range(200):
        if os.path.exists(ctx.path("after")) and \
                open(ctx.path("before")).read() == open(ctx.path("after")).read():
            os.unlink(ctx.path("after"))
            return
        time.sleep(0.03)
    need(False, "after %s the terminal is not as it was" % how)


def stopping_and_going_on(ctx):
    busy_disk(ctx)
    t = ctx.terminal(command="bash --norc -i")
    t.type("PS1='sh> '; %s --libvu-only\n" % ctx.options.vu_top)
    t.wait(r"0 request .*MOVING")
    t.keys("C-z")
    t.wait("Stopped")
    t.type("stty -a\n")
    t.wait(r"[^-]icanon")
    t.type("fg\n")
    t.wait(r"0 request .*MOVING")
    t.wait("Stopped", gone=True)
    t.keys("2")
    t.wait(HEADINGS[1])
    t.keys("q")
    t.wait("sh> ")


def poor_terminals(ctx):
    busy_disk(ctx)
    # Without a cursor to place: one picture below the other.
    t = ctx.terminal(term="dumb", rows=60)
    t.wait(r"0 request .*MOVING")
    need("\033" not in t.screen(escapes=True), "a dumb terminal is sent escapes")
    t.type("2\n")
    t.wait(HEADINGS[1])
    t.type("q\n")
    need(t.wait_dead() == 0, "it did not end with 0")
    t.end()
    t = ctx.terminal(term="vt100")
    t.wait(r"0 request .*MOVING")
    need(not re.search(r"\033\[[0-9;]*[34][0-7]m", t.screen(escapes=True)), "a vt100 has no colours")
    t.end()
    # By wish.
    for args, env in (("", {"NO_COLOR": "1"}), ("--color=never", {}), ("--mono", {})):
        t = ctx.terminal(args, env=env)
        t.wait(r"0 request .*MOVING")
        need(not re.search(r"\033\[[0-9;]*[34][0-7]m", t.screen(escapes=True)),
             "there are colours with %s %s" % (args, env))
        t.end()
    t = ctx.terminal()
    t.wait(r"0 request .*MOVING")
    need(re.search(r"\033\[[0-9;]*[34][0-7]m", t.screen(escapes=True)), "there are no colours")
    t.end()
    for args, env in (("--ascii", {}), ("", {"LC_ALL": "C"})):
        t = ctx.terminal(args, env=env)
        t.wait(r"^v .*disk")
        t.keys("Enter")
        t.wait(r"^\+- Ring")
        need(t.screen().isascii(), "with %s %s there is more than ASCII" % (args, env))
        t.end()


def no_terminal(ctx):
    done = ctx.top(check=2)
    need("is not a terminal; see --once" in done.stderr, done.stderr)


def a_thousand_queues(ctx):
    ctx.fleet.new("big", "disk", devices=20, queues=60)
    ctx.fleet.do("load big -1 -1 5")
    ctx.fleet.stick("s", "swallow", "sick-disk")
    t = ctx.terminal(rows=40, cols=120)
    t.wait(r"1 stuck.* 1201 queues", seconds=20)
    t.wait(r"KICK_CONSUMED_NO_WORK|STUCK")
    t.keys("End")
    t.wait(r"59 request")
    t.keys("\\")
    t.type("device=disk7 q>=58")
    t.keys("Enter")
    t.wait(r"1199 hidden")
    t.wait(r"58 request .*\n.*59 request")
    t.keys("q")
    t.wait_dead()


def recordings(ctx):
    busy_disk(ctx)
    ctx.top("-b", "-i", "0.2", "-n", "6", "--record", ctx.path("r"), check=0)
    ctx.fleet.stick("s", "hold", "sick-disk")
    t = ctx.terminal("--record %s -i 0.2" % ctx.path("live"))
    t.wait("REC")
    t.wait("BACKEND_IO_STALLED")
    t.keys("q")
    t.wait_dead()
    t.end()
    ctx.fleet.do("end a")
    t = ctx.terminal("--replay %s" % ctx.path("live"))
    t.wait(r"replay \d+/\d+")
    t.wait("This is the last frame", seconds=30)
    t.wait("BACKEND_IO_STALLED")
    last = int(t.wait(r"PAUSED replay (\d+)/").group(1))
    t.keys("[")
    t.wait(r"replay %d/" % (last - 1))
    t.keys("[")
    t.wait(r"replay %d/" % (last - 2))
    t.keys("]")
    t.wait(r"replay %d/" % (last - 1))
    t.keys("{")
    t.wait(r"replay 1/")
    t.keys("g")
    t.wait("Go to")
    t.type("+1s")
    t.keys("Enter")
    t.wait(r"replay ([2-9]|\d\d)/")
    t.keys("g")
    t.type("never")
    t.keys("Enter")
    t.wait("is not a time")
    # Its black box is in the recording too.
    t.keys("}", "7", "a")
    t.wait(r"message +SET_VRING_ENABLE")


CASES = [every_view, what_views_show, stuck_in_sight, detail_of_a_busy_queue, killed_back_end,
         stopped_back_end, coming_and_going, keys_of_the_list, filters_and_searches, choosing,
         counting, exports, resizing, terminal_is_given_back, stopping_and_going_on,
         poor_terminals, no_terminal, a_thousand_queues, recordings]
