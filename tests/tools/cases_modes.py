# SPDX-License-Identifier: GPL-2.0-or-later
"""vu-top without a screen: each kind of output, and the command line."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import time

from cases_screen import busy_disk
from stage import need

# A name that each format has to quote in its own way.
ODD_NAME = 'a,"b"\\n{c}'


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def tables(ctx):
    busy_disk(ctx)
    ctx.fleet.stick("s", "swallow", "sick-disk")
    done = ctx.top("--once", check=0)
    head = done.stdout.splitlines()
    need(re.match(r"\d{4}-\d\d-\d\dT.*2 devices, 3 queues: 1 critical, 0 warning", head[0]), head)
    need(re.match(r"VM +DEVICE +Q +ROLE +STATE +KICK/s +REQ/s", head[1]), head)
    need(re.search(r"disk +1 +request +started +[\d.]+ +[\d.]+k .* MOVING$", done.stdout, re.M),
         done.stdout)
    need(re.search(r"^critical: .*sick-disk:0: KICK_CONSUMED_NO_WORK \(\w+\): .*\n"
                   r"    next: a bug in the back-end", done.stdout, re.M), done.stdout)
    done = ctx.top("-b", "-n", "3", "-i", "0.2", "-T", "-q", "-o", "device,q,req/s", "-f",
                   "device=disk", check=0)
    rows = done.stdout.splitlines()
    need(len(rows) == 6 and all(re.match(r"\d{4}-\S+Z  disk +[01] +\S+$", r) for r in rows), rows)
    times = [r.split()[0] for r in rows]
    need(times == sorted(times) and len(set(times)) == 3, times)
    # No rate without two looks, and then one that is about right.
    need([r.split()[3] for r in rows[:2]] == ["-", "-"], rows)
    # INTERVAL and COUNT may stand alone.
    need(len(ctx.top("0.1", "2", "-q", "-f", "q=0 device=disk", check=0).stdout.splitlines()) == 2,
         "0.1 2 are not an interval and a count")


def rates_are_right(ctx):
    ctx.fleet.new("a", "disk")
    ctx.fleet.do("load a 0 0 500")
    done = ctx.top("--json", "-n", "4", "-i", "1", check=0)
    for sample in lines(done)[2:]:
        rate = sample["queues"][0]["rates"]["completed"]
        need(350 < rate < 650, "500 requests a second are called %s" % rate)
        need(0.8 < sample["dt"] < 3, sample["dt"])


def two_sort_keys(ctx):
    ctx.fleet.new("b", "bbb", queues=3)
    ctx.fleet.new("a", "aaa", queues=2)
    ctx.fleet.do("load b 0 1 300")

    def order(keys):
        done = ctx.top("--once", "-q", "-o", "device,q", "-s", keys, check=0)
        return [tuple(line.split()) for line in done.stdout.splitlines()]

    need(order("+device,-q") == [("aaa", "1"), ("aaa", "0"), ("bbb", "2"), ("bbb", "1"),
                                 ("bbb", "0")], order("+device,-q"))
    need(order("-device,+q") == [("bbb", "0"), ("bbb", "1"), ("bbb", "2"), ("aaa", "0"),
                                 ("aaa", "1")], order("-device,+q"))
    need(order("+q,-device")[:2] == [("bbb", "0"), ("aaa", "0")], order("+q,-device"))
    need(order("-req/s,+device")[:2] == [("bbb", "1"), ("aaa", "0")], order("-req/s,+device"))


def json_fits_its_schema(ctx):
    from jsonschema import Draft7Validator
    with open(os.path.join(ctx.options.source, "vu-top/vu-top.schema.json")) as f:
        schema = json.load(f)
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)

    def check(*args):
        samples = lines(ctx.top("--json", *args, check=0))
        for sample in samples:
            for error in validator.iter_errors(sample):
                need(False, "%s: %s" % ("/".join(map(str, error.path)), error.message[:300]))
        return samples

    need(check("--once")[0]["queues"] == [], "there are queues on an empty host")
    busy_disk(ctx)
    ctx.fleet.new("n", ODD_NAME, queues=3)
    ctx.fleet.stick("s", "hold", "sick-disk")
    samples = check("-n", "3", "-i", "0.5", "--latency", "--alert", "infl>0")
    need(len(samples) == 3, "-n 3 writes %d" % len(samples))
    need({d["device"] for d in samples[0]["devices"]} == {"disk", ODD_NAME, "sick-disk"},
         samples[0]["devices"])
    busy = samples[2]["queues"][0]
    need(busy["latency"]["service_ns"]["p99"] > 0, busy)
    ctx.fleet.do("signal a %d" % signal.SIGKILL)
    ctx.fleet.do("leave n 0")
    sick = [q for q in check("--once")[0]["queues"] if q["device"] == "sick-disk"]
    need(sick[0]["verdict"]["name"] == "BACKEND_IO_STALLED", sick)


def csv_is_rfc4180(ctx):
    busy_disk(ctx)
    ctx.fleet.new("n", ODD_NAME)
    # Universal newlines would hide what ends a line.
    done = subprocess.run([ctx.options.vu_top, "--libvu-only", "--csv", "-n", "3", "-i", "0.3"],
                          env=dict(os.environ, **ctx.env), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, timeout=30)
    text = done.stdout.decode()
    need(text.count("\r\n") == 10 and text.count("\n") == 10, repr(text))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    need(len(rows) == 9 and all(None not in r and None not in r.values() for r in rows), rows)
    need({r["device"] for r in rows} == {"disk", ODD_NAME}, rows)
    need(rows[0]["req/s"] == "" and float(rows[6]["req/s"]) > 100, rows[6])
    need(rows[6]["completed"].isdigit(), rows[6])
    done = ctx.top("--csv", "-n", "1", "-o", "q,device", check=0)
    need(done.stdout.splitlines()[0] == "time,mono_ns,q,device", done.stdout)


def check_for_nagios(ctx):
    done = ctx.top("--check", check=3)
    need(done.stdout == "VHOST-USER UNKNOWN - no queues were found | queues=0 critical=0 "
         "warning=0\n", done.stdout)
    busy_disk(ctx)
    done = ctx.top("--check", check=0)
    need(done.stdout == "VHOST-USER OK - 2 queues | queues=2 critical=0 warning=0\n", done.stdout)
    done = ctx.top("--check", "--warning", "req/s>1", check=1)
    need("WARNING - 0 critical, 2 warning of 2 queues: " in done.stdout, done.stdout)
    done = ctx.top("--check=depth>=0", check=2)
    ctx.fleet.stick("s", "swallow", "sick-disk")
    done = ctx.top("--check", check=2)
    need(re.match(r"VHOST-USER CRITICAL - 1 critical, 0 warning of 3 queues: .*sick-disk:0 "
                  r"KICK_CONSUMED_NO_WORK \(.*\) \| queues=3 critical=1 warning=0\n$", done.stdout),
         done.stdout)
    ctx.top("--check", "--device", "disk", check=0)
    # A mistake must not look like a broken disk.
    done = ctx.top("--check=bogus>1", check=3)
    need(done.stdout == "" and "'bogus' is no field" in done.stderr, done.stderr)


def alerts(ctx):
    ctx.fleet.new("h", "held", kind="hold")
    ctx.fleet.do("submit h 0 0 5")
    ctx.fleet.do("kick h 0 0")
    samples = lines(ctx.top("--json", "-n", "12", "-i", "0.25", "--alert",
                            "warning: infl>=5 for 1s", "--alert", "infl>50", check=0))
    raised = [s["queues"][0].get("alerts") or [] for s in samples]
    need(not raised[0] and not raised[2], "it does not wait: %s" % raised)
    need(raised[-1] and "infl>=5" in str(raised[-1]) and "infl>50" not in str(raised[-1]), raised)


def recordings_of_batches(ctx):
    busy_disk(ctx)
    ctx.fleet.stick("s", "swallow", "sick-disk")
    ctx.top("-b", "-q", "-i", "0.3", "-n", "8", "--record", ctx.path("r"), check=0)
    ctx.fleet.do("end a")
    ctx.fleet.do("end s")
    samples = lines(ctx.top("--replay", ctx.path("r"), "--json", check=0))
    need(len(samples) == 8, "%d samples are replayed" % len(samples))
    last = {(q["device"], q["queue"]): q for q in samples[-1]["queues"]}
    need(last["disk", 1]["verdict"]["name"] == "MOVING", last)
    need(last["sick-disk", 0]["verdict"]["name"] == "KICK_CONSUMED_NO_WORK", last)
    done = ctx.top("--replay", ctx.path("r"), "--check", check=2)
    need("sick-disk" in done.stdout, done.stdout)
    # The end may be missing, as after a crash; what is in the middle may not.
    data = open(ctx.path("r"), "rb").read()
    with open(ctx.path("short"), "wb") as f:
        f.write(data[:-len(data) // 5])
    samples = lines(ctx.top("--replay", ctx.path("short"), "--json", check=0))
    need(3 <= len(samples) < 8, "%d samples are left of a short one" % len(samples))
    with open(ctx.path("bad"), "wb") as f:
        f.write(b"not a recording at all")
    for name, status in (("bad", 7), ("nothing", 3)):
        done = ctx.top("--replay", ctx.path(name), "-b", check=status)
        need(len(done.stderr.splitlines()) == 1 and ctx.path(name) in done.stderr, done.stderr)
    # It begins anew when it is too long, and when told to.
    p = ctx.start([ctx.options.vu_top, "--libvu-only", "-b", "-i", "0.1", "--record",
                   ctx.path("log"), "--record-limit", "100k"], stdout=subprocess.DEVNULL)
    ctx.wait_for(lambda: os.path.exists(ctx.path("log")), "no recording")
    os.rename(ctx.path("log"), ctx.path("log.moved"))
    p.send_signal(signal.SIGHUP)
    ctx.wait_for(lambda: os.path.exists(ctx.path("log")), "SIGHUP does not open it anew")
    p.send_signal(signal.SIGTERM)
    need(p.wait(10) == 0, "SIGTERM ends it with %d" % p.returncode)
    ctx.top("--replay", ctx.path("log.moved"), "--json", check=0)


def signals_without_a_screen(ctx):
    busy_disk(ctx)
    for sig in (signal.SIGINT, signal.SIGTERM):
        p = ctx.start([ctx.options.vu_top, "--libvu-only", "--json", "-i", "60"],
                      stdout=subprocess.PIPE)
        json.loads(p.stdout.readline())
        # One more, now.
        p.send_signal(signal.SIGUSR1)
        json.loads(p.stdout.readline())
        begin = time.monotonic()
        p.send_signal(sig)
        need(p.wait(10) == 0 and time.monotonic() - begin < 1, "%s: %s" % (sig, p.returncode))
    # Nobody reads on.
    p = ctx.start([ctx.options.vu_top, "--libvu-only", "--json", "-i", "0.1"],
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.readline()
    p.stdout.close()
    need(p.wait(10) == 0 and p.stderr.read() == "", "a closed pipe is no failure")


def full_disk(ctx):
    busy_disk(ctx)
    with open("/dev/full", "w") as full:
        done = subprocess.run([ctx.options.vu_top, "--libvu-only", "--json", "-n", "2"],
                              env=dict(os.environ, **ctx.env), stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=20)
    need(done.returncode == 1 and "No space left" in done.stderr, done)


def wrong_words(ctx):
    for args, why in ((["--bogus"], "--bogus: there is no such option"),
                      (["-i", "soon"], "--interval: 'soon' is not a time"),
                      (["-i", "1ms"], "--interval"),
                      (["-n", "0"], "--iterations"),
                      (["--json", "--csv"], "--csv: only one kind of output at a time"),
                      (["-s", "bogus"], "--sort"), (["-o", "bogus"], "--columns: 'bogus'"),
                      (["-f", "req/s>"], "--filter"), (["-f", "(a"], "--filter"),
                      (["--alert", "depth>1 for ever"], "--alert"),
                      (["--view", "nowhere"], "--view: 'nowhere' is not a view"),
                      (["--warning", "q=0"], "--warning"),
                      (["--labels", "le=1", "--openmetrics"], "--labels"),
                      (["1", "2", "3"], "3: not expected"),
                      (["--replay"], "--replay: what is it to be?"),
                      (["--listen", "nowhere at all", "--no-config"], "--listen")):
        done = ctx.top(*args)
        need(done.returncode == (1 if args[0] == "--listen" else 2) and why in done.stderr and
             done.stdout == "", "%s: %d: %s%s" % (args, done.returncode, done.stderr, done.stdout))
    done = ctx.top("--once", "--pid", "1", check=3)
    need(done.stderr == "vu-top: there is no such queue\n", done.stderr)


def words_about_itself(ctx):
    done = ctx.top("--help", check=0)
    need("Examples:" in done.stdout and "vu-verdicts(7)" in done.stdout, done.stdout)
    need(all(len(line) <= 110 for line in done.stdout.splitlines()), "help is too wide")
    need(re.match(r"vu-top \d+\.\d+\.\d+\n$", ctx.top("-V", check=0).stdout), "no version")
    # Every field that is named can be a column, be sorted by and be filtered by.
    busy_disk(ctx)
    fields = [line.split()[0] for line in ctx.top("--list-fields", check=0).stdout.splitlines()
              if line and not line.startswith("Counters")]
    need(len(fields) > 70, fields)
    done = ctx.top("--csv", "-n", "1", "-o", ",".join(fields), check=0)
    need(len(next(csv.reader(io.StringIO(done.stdout)))) == len(fields) + 2, done.stdout)
    for shell in ("bash", "zsh", "fish"):
        text = ctx.top("--completion", shell, check=0).stdout
        need("openmetrics" in text and "alerts" in text, shell)
    done = subprocess.run(["bash", "--norc", "-c", 'eval "$(%s --completion bash)"; '
                           'COMP_WORDS=(vu-top --view al) COMP_CWORD=2; _vu_top; '
                           'echo "${COMPREPLY[@]}"' % ctx.options.vu_top],
                          stdout=subprocess.PIPE, text=True)
    need(done.stdout.strip() == "alerts", "bash completes --view al as %r" % done.stdout)


CASES = [tables, rates_are_right, two_sort_keys, json_fits_its_schema, csv_is_rfc4180,
         check_for_nagios, alerts, recordings_of_batches, signals_without_a_screen, full_disk,
         wrong_words, words_about_itself]
