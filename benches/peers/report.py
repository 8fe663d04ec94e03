"""Medians, Markdown tables and the JSON record."""

import os
import platform
import statistics
from datetime import UTC, datetime

OURS = "hearth"

#: Columns of each workload's table: (heading, step, field of the measurement).
BACKUP = [("wall", "wall"), ("CPU", "cpu"), ("RSS", "rss")]


def _columns(title: str, step: str, extra: list) -> list:
    return [(f"{title} {heading}", step, name) for heading, name in BACKUP + extra]


COLUMNS = {
    "small": _columns("backup", "backup", [("repository", "repository")]) + _columns("restore", "restore", []),
    "random": _columns("backup", "backup", [("repository", "repository")]) + _columns("restore", "restore", []),
    "dump": _columns("backup", "backup", [("repository", "repository")])
    + _columns("next day", "next day", [("added", "added")]),
    "many": _columns("backup", "backup", [("repository", "repository")])
    + _columns("unchanged", "unchanged", [("added", "added")]),
    "retention": [
        ("backups wall", "backups", "wall"),
        ("backups CPU", "backups", "cpu"),
        ("backups RSS", "backups", "rss"),
        ("prunes wall", "prunes", "wall"),
        ("prunes CPU", "prunes", "cpu"),
        ("prunes RSS", "prunes", "rss"),
        ("kept", "end", "kept"),
        ("stored", "end", "repository"),
        ("stored ÷ current", "end", "per_current"),
        ("stored ÷ ideal", "end", "per_ideal"),
    ],
}
COLUMNS["retention-1m"] = COLUMNS["retention"]
COLUMNS["cold"] = (
    _columns("backup", "backup", []) + _columns("unchanged", "unchanged", []) + _columns("restore", "restore", [])
)


def columns_of(workload: str, served: bool) -> list:
    """The columns of a workload; with a server also each step's requests and what they cost it."""
    columns = COLUMNS[workload]
    if not served:
        return columns
    result = []
    for heading, step, name in columns:
        if name == "repository":
            continue
        result.append((heading, step, name))
        if name == "rss":
            result.append((heading.replace("RSS", "requests"), step, "requests"))
            result.append((heading.replace("RSS", "server's CPU"), step, "server"))
    return result


def machine() -> dict:
    """What the numbers depend on, without names or paths of the machine."""
    model = "unknown"
    memory = 0
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as info:
        memory = int(info.readline().split()[1]) * 1024
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


#: Fields that suffer when something else uses the processors.
TIMES = {"wall", "user", "system", "cpu", "foreign", "server"}


def medians(runs: list) -> dict:
    """Step by step and field by field, the median over the repetitions.

    Times count only undisturbed repetitions; with none of them all count and
    the step stays marked as noisy.
    """
    result = {}
    for step in runs[0] if runs else []:
        every = [run[step] for run in runs if step in run]
        quiet = [values for values in every if not values.get("noisy")]
        fields = {}
        for name in every[0]:
            counted = quiet or every if name in TIMES else every
            values = [entry[name] for entry in counted if entry.get(name) is not None]
            fields[name] = statistics.median(values) if values else None
        fields["noisy"] = not quiet
        result[step] = fields
    return result


def show(name: str, value) -> str:
    """One number the way a reader wants it."""
    if value is None:
        return "–"
    if name in ("wall", "cpu", "server"):
        return f"{value:.2f} s"
    if name in ("rss", "repository", "added"):
        return f"{value / 1e6:,.1f} MB" if value < 10e6 else f"{value / 1e6:,.0f} MB"
    if name in ("kept", "requests"):
        return f"{value:.0f}"
    return f"{value:.2f}"


def ratio_row(columns: list, table: dict) -> list:
    """Ours divided by the best peer, column by column, naming that peer."""
    cells = []
    for _, step, name in columns:
        ours = table[OURS].get(step, {}).get(name) if name != "kept" else None
        peers = [(values[step][name], peer) for peer, values in table.items()
                 if peer != OURS and values.get(step, {}).get(name) is not None]
        if ours is None or not peers or min(peers)[0] <= 0:
            cells.append("–")
        else:
            best, peer = min(peers)
            cells.append(f"**{ours / best:.2f}** ({peer})")
    return cells


def table(workload: str, result: dict, versions: dict, served: bool = False) -> str:
    """The Markdown table of one workload."""
    columns = columns_of(workload, served)
    data = result["data"]
    lines = [
        f"### {workload}: {data['files']:,} files, {data['bytes'] / 1e6:,.0f} MB",
        "",
        "| tool | " + " | ".join(heading for heading, _, _ in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for tool, steps in result["median"].items():
        cells = []
        for _, step, name in columns:
            values = steps.get(step, {})
            mark = "\\*" if name in ("wall", "cpu") and values.get("noisy") else ""
            cells.append(show(name, values.get(name)) + mark)
        lines.append(f"| {tool} {versions[tool]} | " + " | ".join(cells) + " |")
    if OURS in result["median"] and len(result["median"]) > 1:
        lines.append(f"| **{OURS} ÷ best peer** | " + " | ".join(ratio_row(columns, result["median"])) + " |")
    lines.append("")
    for name, value in result["baseline"].items():
        lines.append(f"`{name}` over the same folder: {value['wall']:.2f} s wall, {value['cpu']:.2f} s CPU.  ")
    for tool, reason in result["failed"].items():
        lines.append(f"{tool} FAILED: {reason}  ")
    if any(step.get("noisy") for steps in result["median"].values() for step in steps.values()):
        lines.append("\\* the machine was busy with something else during every repetition.  ")
    return "\n".join(lines).rstrip() + "\n"
