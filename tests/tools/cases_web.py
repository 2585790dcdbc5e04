# SPDX-License-Identifier: GPL-2.0-or-later
"""vu-top's metrics, as those who collect them see them."""

import glob
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

from cases_screen import busy_disk
from cases_modes import ODD_NAME
from stage import need

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def strict(text):
    """By the parser of those who wrote the specification; the families, by name."""
    from prometheus_client.openmetrics import parser
    return {f.name: f for f in parser.text_string_to_metric_families(text)}


def promtool_likes(text):
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    need(done.returncode == 0 and not done.stdout, "promtool says: " + done.stdout)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """vu-top --listen at a port that is free."""

    def __init__(self, ctx, *args):
        self.port = free_port()
        self.proc = ctx.start([ctx.options.vu_top, "--libvu-only", "-i", "0.3", "--listen",
                               str(self.port), *args], stdout=subprocess.PIPE)
        line = self.proc.stdout.readline()
        need(line == "vu-top: ready on %d\n" % self.port, repr(line))

    def ask(self, path="/metrics", method="GET", **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        c.request(method, path, headers=headers)
        answer = c.getresponse()
        answer.text = answer.read().decode()
        c.close()
        return answer

    def end(self):
        begin = time.monotonic()
        self.proc.send_signal(signal.SIGTERM)
        need(self.proc.wait(10) == 0, "it ends with %d" % self.proc.returncode)
        need(time.monotonic() - begin < 2, "it takes %.1f s to end" % (time.monotonic() - begin))


def whole_fleet(ctx):
    """Something for every metric there is."""
    busy_disk(ctx)
    ctx.fleet.new("n", ODD_NAME, queues=3)
    ctx.fleet.do("log a 0")
    ctx.fleet.stick("s", "hold", "sick-disk")


def openmetrics_once(ctx):
    strict(ctx.top("--openmetrics", check=0).stdout)
    whole_fleet(ctx)
    text = ctx.top("--openmetrics", "--latency", "--alert", "infl>0", "--labels",
                   'rack=r"7,zone=a', check=0).stdout
    need(text.endswith("# EOF\n") and text.count("# EOF") == 1, text[-200:])
    families = strict(text)
    names = {s.labels["device"] for s in families["vu_device"].samples}
    need(names == {"disk", ODD_NAME, "sick-disk"}, names)
    need(all(s.labels["rack"] == 'r"7' and s.labels["zone"] == "a"
             for f in families.values() for s in f.samples), "--labels are not everywhere")
    done = [s for s in families["vu_queue_requests_completed"].samples
            if s.name.endswith("_total") and s.labels["device"] == "disk"]
    need(len(done) == 2 and all(s.value > 100 for s in done), done)
    bad = [s for s in families["vu_queue_health"].samples
           if s.labels["device"] == "sick-disk" and s.value]
    need([s.labels["vu_queue_health"] for s in bad] == ["critical"], bad)
    need(families["vu_queue_verdict"].type == "info", families["vu_queue_verdict"])
    need("BACKEND_IO_STALLED" in str(families["vu_queue_verdict"].samples), "no verdict")
    hist = [s for s in families["vu_queue_service_seconds"].samples if s.labels["device"] == "disk"]
    need(any(s.name.endswith("_bucket") and s.labels["le"] == "+Inf" and s.value > 0
             for s in hist), "no latencies: %s" % hist[:3])
    # Of no more queues than were asked for, and it says so.
    few = strict(ctx.top("--openmetrics", "--max-queues", "2", "--no-created", check=0).stdout)
    need(few["vu_queues_left_out"].samples[0].value == 4, few["vu_queues_left_out"])
    need(not any(s.name.endswith("_created") for f in few.values() for s in f.samples),
         "--no-created")


def openmetrics_file(ctx):
    """For node_exporter: whoever reads it, whenever, reads a whole one."""
    busy_disk(ctx)
    path = ctx.path("vu.prom")
    p = ctx.start([ctx.options.vu_top, "--libvu-only", "--openmetrics=" + path, "-i", "0.05"])
    ctx.wait_for(lambda: os.path.exists(path), "there is no file")
    seen = set()
    deadline = time.monotonic() + 10
    while len(seen) < 10 and time.monotonic() < deadline:
        with open(path) as f:
            text = f.read()
        need(text.endswith("# EOF\n"), "half a file: ...%s" % text[-100:])
        seen.add(os.stat(path).st_ino)
    need(len(seen) >= 10, "it was replaced %d times" % len(seen))
    strict(text)
    p.send_signal(signal.SIGTERM)
    need(p.wait(10) == 0, "it ends with %d" % p.returncode)
    need(glob.glob(path + ".*") == [], "it leaves %s" % glob.glob(path + ".*"))
    done = ctx.top("--openmetrics=/nowhere/x", "-n", "1", check=1)
    need("/nowhere/x: No such file or directory" in done.stderr, done.stderr)


def http_server(ctx):
    whole_fleet(ctx)
    v = Server(ctx, "--latency")
    # Latencies come with the second look.
    ctx.wait_for(lambda: "service_seconds_bucket" in v.ask().text, "no latencies")
    plain = v.ask()
    need(plain.status == 200 and plain.getheader("Content-Type").startswith(
        "text/plain; version=0.0.4"), plain.getheader("Content-Type"))
    promtool_likes(plain.text)
    om = v.ask(Accept=OPENMETRICS)
    need(om.getheader("Content-Type") == OPENMETRICS + "; charset=utf-8",
         om.getheader("Content-Type"))
    families = strict(om.text)
    from prometheus_client.parser import text_string_to_metric_families
    older = {f.name: f for f in text_string_to_metric_families(plain.text)}
    need({f.name for f in families.values() if f.type == "counter"} ==
         {f.name for f in older.values() if f.type == "counter"}, "the formats differ")
    # What Prometheus sends.
    both = v.ask(Accept="application/openmetrics-text;version=1.0.0,"
                 "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;"
                 "q=0.5,*/*;q=0.1")
    need("openmetrics" in both.getheader("Content-Type"), both.getheader("Content-Type"))
    need(v.ask(Accept="image/png").status == 406, "an image is promised")
    head = v.ask(method="HEAD")
    need(head.status == 200 and head.text == "" and int(head.getheader("Content-Length")) > 1000,
         head.getheaders())
    need(v.ask("/nothing").status == 404, "/nothing is there")
    post = v.ask(method="POST")
    need(post.status == 405 and post.getheader("Allow") == "GET, HEAD", post.getheaders())
    need("/metrics" in v.ask("/").text, "no way to the metrics")
    # Those who connect and say nothing, or half of something, do not keep others out.
    silent = [socket.create_connection(("127.0.0.1", v.port)) for _ in range(20)]
    for s in silent[::2]:
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
    begin = time.monotonic()
    need(v.ask().status == 200 and time.monotonic() - begin < 2, "others have to wait")
    with socket.create_connection(("127.0.0.1", v.port)) as s:
        s.sendall(b"\0\xff" * 1000 + b"\r\n\r\n")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(v.ask().status)) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    need(answers == [200] * 16, answers)
    for s in silent:
        s.close()
    v.end()


def addresses(ctx):
    ctx.fleet.new("a", "disk")
    # The loopback, unless it is said otherwise.
    v = Server(ctx)
    with open("/proc/net/tcp") as f:
        at = [line.split()[1] for line in f if line.split()[3] == "0A" and
              line.split()[1].endswith(":%04X" % v.port)]
    need(at == ["0100007F:%04X" % v.port], at)
    done = ctx.top("--listen", str(v.port), check=1)
    need("Address already in use" in done.stderr and len(done.stderr.splitlines()) == 1,
         done.stderr)
    v.end()
    path = ctx.path("web.sock")
    for _ in range(2):
        p = ctx.start([ctx.options.vu_top, "--libvu-only", "--listen", "unix:" + path],
                      stdout=subprocess.PIPE)
        p.stdout.readline()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(65536), b""))
        need(b"vu_up 1" in text, text[:300])
        # What a dead one has left is in nobody's way.
        p.kill()
        p.wait()
    # As systemd does it.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        os.set_inheritable(listener.fileno(), True)
        fd = listener.fileno()
        p = ctx.start(["sh", "-c", "exec env LISTEN_PID=$$ LISTEN_FDS=1 %s --libvu-only "
                       "--listen fd:3 3<&%d" % (ctx.options.vu_top, fd)],
                      stdout=subprocess.PIPE, pass_fds=[fd])
        p.stdout.readline()
        c = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=5)
        c.request("GET", "/metrics")
        need(c.getresponse().status == 200, "nothing comes from a socket of systemd's")
        c.close()
    for address, why in (("nonsense:", "--listen nonsense:"), ("fd:0", "no socket|listened"),
                         ("70000", "--listen 70000"), ("unix:", "path is empty")):
        done = ctx.top("--listen", address, check=1)
        need(re.search(why, done.stderr) and len(done.stderr.splitlines()) == 1, done.stderr)


PROMETHEUS = """
global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [%s]
scrape_configs:
  - job_name: vu
    static_configs: [{targets: ["127.0.0.1:%d"]}]
"""


def real_prometheus(ctx):
    busy_disk(ctx)
    ctx.fleet.stick("s", "swallow", "sick-disk")
    v = Server(ctx, "--latency")
    port = free_port()
    rules = os.path.join(ctx.options.source, "contrib/prometheus/vu-alerts.yml")
    with open(ctx.path("prometheus.yml"), "w") as f:
        f.write(PROMETHEUS % (rules, v.port))
    ctx.start(["prometheus", "--config.file=" + ctx.path("prometheus.yml"),
               "--storage.tsdb.path=" + ctx.path("tsdb"),
               "--web.listen-address=127.0.0.1:%d" % port, "--log.level=error"],
              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def api(path, **query):
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            c.request("GET", "/api/v1/%s?%s" % (path, urllib.parse.urlencode(query)))
            return json.loads(c.getresponse().read())["data"]
        except (OSError, ValueError, KeyError):
            return None

    def value(query):
        data = api("query", query=query)
        return float(data["result"][0]["value"][1]) if data and data["result"] else None

    ctx.wait_for(lambda: value("vu_up") == 1, "it is not scraped", 30)
    ctx.wait_for(lambda: (value('sum(rate(vu_queue_requests_completed_total{device="disk"}[5s]))')
                          or 0) > 100, "there is no rate", 30)
    ctx.wait_for(lambda: (value("histogram_quantile(0.99, sum by (le) "
                                "(rate(vu_queue_service_seconds_bucket[5s])))") or 0) > 0,
                 "there is no percentile", 30)
    need(value('vu_queue_verdict_info{device="sick-disk",verdict="KICK_CONSUMED_NO_WORK"}') == 1,
         api("query", query="vu_queue_verdict_info"))
    ctx.wait_for(lambda: any(a["labels"]["alertname"] == "VhostUserQueueStuck" and
                             a["labels"]["device"] == "sick-disk"
                             for a in (api("alerts") or {"alerts": []})["alerts"]),
                 "there is no alert", 30)
    # Nothing of it was dropped or doubted.
    target = api("targets")["activeTargets"][0]
    need(target["health"] == "up" and target["lastError"] == "", target)
    need(value("scrape_samples_scraped") == value("scrape_samples_post_metric_relabeling"),
         "samples are dropped")


def alert_rules(ctx):
    where = os.path.join(ctx.options.source, "contrib/prometheus")
    for args in (["check", "rules", "vu-alerts.yml"], ["check", "config", "prometheus.yml"],
                 ["test", "rules", "vu-alerts.test.yml"]):
        done = subprocess.run(["promtool", *args], cwd=where, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        need(done.returncode == 0 and "FAILED" not in done.stdout, done.stdout)
    # Every alert has a test.
    rules = open(os.path.join(where, "vu-alerts.yml")).read()
    tests = open(os.path.join(where, "vu-alerts.test.yml")).read()
    for name in re.findall(r"alert: (\w+)", rules):
        need("alertname: %s\n" % name in tests, "%s has no test" % name)


def dashboard(ctx):
    """The metrics that the dashboard and the alerts are about are there."""
    whole_fleet(ctx)
    text = ctx.top("--openmetrics", "--latency", check=0).stdout
    there = {s.name for f in strict(text).values() for s in f.samples}
    where = os.path.join(ctx.options.source, "contrib")
    with open(os.path.join(where, "grafana/vhost-user-queues.json")) as f:
        board = json.load(f)
    rules = open(os.path.join(where, "prometheus/vu-alerts.yml")).read()
    there |= set(re.findall(r"record: (\S+)", rules))

    def expressions(node):
        if isinstance(node, dict):
            for key, inner in node.items():
                if key in ("expr", "query", "definition") and isinstance(inner, str):
                    yield inner
                else:
                    yield from expressions(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from expressions(inner)

    for title, texts in (("dashboard", list(expressions(board))), ("alerts", [rules])):
        names = {n for t in texts
                 for n in re.findall(r"(?<![\w:{,=\"])((?:\w+:)?vu_\w+(?::\w+)?)\b(?!=)", t)}
        need(len(names) > 5, "the %s: only %s" % (title, names))
        need(names <= there, "the %s: there is no %s" % (title, ", ".join(names - there)))
    ids = [p["id"] for p in board["panels"]]
    need(len(ids) == len(set(ids)) > 5, ids)
    need(all(p.get("targets") for p in board["panels"] if p["type"] != "row"), "an empty panel")


CASES = [openmetrics_once, openmetrics_file, http_server, addresses, real_prometheus, alert_rules,
         dashboard]
