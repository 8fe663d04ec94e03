"""Compares docs/monitoring.md with the rules, the dashboard and the sample data: documents.py ROOT FOLDER

Writes the examples of the document to FOLDER, as prometheus.yml and alertmanager.yml.
"""

import re
import sys
from pathlib import Path

import sample

ROOT, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
DOCS = ROOT / "docs"
HOME = "https://github.com/hearth-backup/hearth-backup/blob/main/"
METRIC = r"\bhearth_backup_[a-z0-9_]+"
problems = []


def say_difference(one, of_one, other, of_other):
    problems.extend(f"{name}: in {one}, not in {other}" for name in sorted(of_one - of_other))


text = (DOCS / "monitoring.md").read_text()
rules = (DOCS / "monitoring/hearth-backup.rules.yml").read_text()
code = "\n".join(line for line in rules.splitlines() if not line.lstrip().startswith("#"))
listed = set(re.findall(rf"(?m)^\| `({METRIC})` \|", text))
sampled = {f"hearth_backup_{metric}" for _, metric, _, _ in sample.samples(0, 0)}
say_difference("the rules", set(re.findall(METRIC, code)), "the document", listed)
say_difference("the dashboard", set(re.findall(METRIC, (DOCS / "monitoring/grafana.json").read_text())), "the document", listed)
say_difference("the sample", sampled, "the document", listed)
say_difference("the document", listed, "the sample", sampled)

# Alerts, with how bad they are, in the table and in the rules.
table = {}
for names, severities in re.findall(r"(?m)^\| (`HearthBackup[^|]*) \| ([a-z, ]+) \|", text):
    names, severities = re.findall(r"\w+", names), severities.split(", ")
    table.update(zip(names, severities * len(names) if len(severities) == 1 else severities))
there = dict(re.findall(r"- alert: (\w+)$.*?severity: (\w+)$", rules, re.M | re.S))
say_difference("the rules", set(there.items()), "the table of the document", set(table.items()))
say_difference("the table of the document", set(table.items()), "the rules", set(there.items()))

# Where the alerts send people.
runbooks = (DOCS / "runbooks/README.md").exists()
for url in sorted(set(re.findall(r"runbook_url: (\S+)", rules))):
    path, _, heading = url.removeprefix(HOME).partition("#")
    if not url.startswith(HOME) or not (ROOT / path).exists():
        # Until the folder is there at all.
        if runbooks or "runbooks/" not in path:
            problems.append(f"{url} leads nowhere")
    elif heading and heading not in {re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-") for line in re.findall(r"(?m)^#+ (.+)$", (ROOT / path).read_text())}:
        problems.append(f"{url}: there is no such heading")

examples = re.findall(r"```yaml\n(.*?)```", text, re.S)
(FOLDER / "prometheus.yml").write_text(next(it for it in examples if "scrape_configs" in it))
(FOLDER / "alertmanager.yml").write_text(next(it for it in examples if "receivers" in it))
print("\n".join(problems), end="\n" if problems else "")
print(f"{len(listed)} metrics, {len(there)} alerts, {len(problems)} problems")
sys.exit(1 if problems else 0)
