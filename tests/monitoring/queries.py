"""Runs every query of the dashboard and every rule in a real Prometheus that has scraped sample data: queries.py DASHBOARD RULES FOLDER [PICTURE]

FOLDER is empty, for Prometheus' data. 30 days are filled in by promtool, and the present is scraped. Each query must be taken and must find something.
With PICTURE, an HTML file that shows what the panels' queries found, laid out as the dashboard is; no Grafana draws it.
"""

import http.server
import json
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import sample

DAYS, STEP = 30, 1800
TARGETS = {"hub": ("hub.example:443", "hearth-backup"), "nas": ("nas:9100", "node")}


class Prometheus:
    def __init__(self, folder, rules, ports):
        self.folder, self.log = folder, folder / "log"
        scrape = [
            {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{ports[view]}"], "labels": {"instance": instance}}]} for view, (instance, job) in TARGETS.items()
        ]
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(rules)], "scrape_configs": scrape}
        (folder / "prometheus.yml").write_text(json.dumps(config))

    def __enter__(self):
        arguments = ["--config.file", self.folder / "prometheus.yml", "--storage.tsdb.path", self.folder / "data", "--storage.tsdb.retention.time", "90d", "--query.lookback-delta", "1h",
                     "--web.listen-address", "127.0.0.1:0"]
        self.output = open(self.log, "w")
        self.process = subprocess.Popen(["prometheus", *map(str, arguments)], stderr=self.output, stdout=self.output)
        self.base = until(self.address, "Prometheus does not start: " + str(self.log))
        until(self.ready, "Prometheus is never ready")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.output.close()

    def address(self):
        """It says where it listens only if asked for a port; with 0, the system knows."""
        if self.process.poll() is not None:
            sys.exit(self.log.read_text()[-2000:])
        for port in listening(self.process.pid):
            return f"http://127.0.0.1:{port}"

    def ready(self):
        try:
            return urllib.request.urlopen(f"{self.base}/-/ready").status == 200
        except OSError:
            return False

    def get(self, path, **query):
        try:
            with urllib.request.urlopen(f"{self.base}/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            return {"error": json.load(error).get("error", str(error))}


def listening(pid):
    """The ports at which a process listens."""
    sockets = {match[1] for link in Path(f"/proc/{pid}/fd").iterdir() for match in [re.match(r"socket:\[(\d+)\]", str(link.readlink()))] if match}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in sockets:
            yield int(fields[1].split(":")[1], 16)


def until(ask, otherwise, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.1)
    sys.exit(otherwise)


def fill(folder, now, today):
    """Writes what was scraped in the last weeks, had anybody done so."""
    lines = []
    for then in range(int(now) - DAYS * sample.DAY, int(now) - 600, STEP):
        for view, (instance, job) in TARGETS.items():
            for metric, line in sample.page(view, then, today, stamp=then, extra=[("instance", instance)]):
                lines.append((metric, line if 'job="' in line else line.replace("{", f'{{job="{job}",', 1).replace(",}", "}")))
    history = folder / "history"
    lines.sort(key=lambda it: it[0])
    with open(history, "w") as file:
        previous = None
        for metric, line in lines:
            if metric != previous:
                file.write(f"# TYPE {metric} gauge\n")
                previous = metric
            file.write(line + "\n")
        file.write("# EOF\n")
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=240h", "--quiet", history, folder / "data"], check=True, stdout=subprocess.DEVNULL)
    history.unlink()


def serve(view, today):
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = "\n".join(line for _, line in sample.page(view, time.time(), today)) + "\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def ask(prometheus, target, now):
    """What a panel's query finds, and what is wrong with it."""
    expression = target["expr"].replace("$host", ".*").replace("$job", ".*")
    if target["instant"]:
        data = prometheus.get("query", query=expression, time=now)
    else:
        data = prometheus.get("query_range", query=expression, start=now - DAYS * sample.DAY, end=now, step=2 * STEP)
    if "error" in data:
        return [], data["error"]
    return data["result"], None if data["result"] else "it finds nothing"


def main():
    dashboard, rules, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]).resolve(), Path(sys.argv[3])
    now = time.time()
    today = int(now) - 7 * sample.HOUR
    fill(folder, now, today)
    ports = {view: serve(view, today) for view in TARGETS}
    problems, found, asked = [], {}, 0
    with Prometheus(folder, rules, ports) as prometheus:
        until(lambda: len(prometheus.get("query", query='up == 1')["result"]) == len(TARGETS), "nothing is scraped")
        until(lambda: prometheus.get("query", query='ALERTS{alertname="HearthBackupFailed",alertstate="firing"}')["result"], "no rule is evaluated")
        now = time.time()
        for group in prometheus.get("rules")["groups"]:
            problems += [f"rule {rule['name']}: {rule['lastError']}" for rule in group["rules"] if rule["health"] == "err"]
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                found[panel["id"], target["refId"]], problem = ask(prometheus, target, now)
                asked += 1
                if problem:
                    problems.append(f"{panel['title']}, {target['refId']}: {problem}: {target['expr']}")
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                metric, label = re.fullmatch(r"label_values\((.+),\s*(\w+)\)", variable["query"]["query"]).groups()
                values = prometheus.get(f"label/{label}/values", **{"match[]": metric.replace("$host", ".*")})
                asked += 1
                if not values or "error" in values:
                    problems.append(f"the variable {variable['name']} finds nothing: {values}")
        firing = {(alert["labels"]["alertname"], alert["labels"].get("host"), alert["labels"].get("job")) for alert in prometheus.get("alerts")["alerts"] if alert["state"] == "firing"}
    # Both views of the host tell of it, and it rings once; and nothing rings that should not.
    expected = {
        ("HearthBackupFailed", "nas", "state"), ("HearthBackupSnapshotGrown", "nas", "photos"), ("HearthBackupQuotaNearlyFull", None, None),
    }
    if firing != expected:
        problems.append(f"these alerts are on: {sorted(map(str, firing))}")
    if len(sys.argv) > 4:
        import picture
        Path(sys.argv[4]).write_text(picture.html(dashboard, found, now - DAYS * sample.DAY, now))
    print("\n".join(problems), end="\n" if problems else "")
    print(f"{asked} queries, {len(problems)} problems")
    sys.exit(1 if problems else 0)


main()
