"""A small cluster as its metrics tell of it at any moment of the last weeks: one run a night, and not all of them went well.

All metrics that the program has are here: docs/monitoring.md lists them, and tests/monitoring/run compares.
"""

HOUR, DAY = 3600, 86400
JOBS = {("nas", "state"): ("hub", "cloud"), ("nas", "photos"): ("hub",), ("web", "db"): ("hub",)}
# Nights, counted back from today, that did not go well.
FAILED = {("nas", "state"): {0, 9, 10}, ("web", "db"): {4}}
WARNED = {("web", "db"): {1, 2, 3}}
SIZE = {("nas", "state"): 8e9, ("nas", "photos"): 900e9, ("web", "db"): 40e9}
TASKS = [("fort", "maintain", "hub/all"), ("fort", "mirror", "hub/friend"), ("nas", "mirror", "usb"), ("nas", "check", "hub"), ("nas", "maintain", "hub"), ("nas", "forget", "cloud"), ("nas", "prune", "cloud"), ("vault", "drill", "weekly")]


def samples(now, today):
    """(view, metric, labels, value) of each sample at a moment; `today` is when the last night was."""
    yield from host_info()
    for (host, job), repositories in JOBS.items():
        for view in ("hub", host) if host == "nas" else ("hub",):
            for metric, labels, value in of_job(host, job, repositories, now, today):
                yield view, metric, labels, value
    night = last(now, today)
    for host, kind, name in TASKS:
        labels = {"host": host, "kind": kind, "name": name}
        ended = last(now, today, every=7) if kind == "drill" else night
        for metric, value in {
            "task_last_success_timestamp_seconds": ended, "task_last_run_timestamp_seconds": ended, "task_last_run_success": 1, "task_last_run_duration_seconds": 600, "task_runs_failed_in_a_row": 0, "task_late": 0,
            "task_overdue_timestamp_seconds": ended + (8 if kind == "drill" else 1.5) * DAY,
        }.items():
            yield "hub", metric, labels, value
    yield from of_drills(now, today)
    yield from of_hub(now, today)


def host_info():
    for host in ("nas", "web", "vault"):
        yield "hub", "clock_skew_seconds", {"host": host}, 0.3
    yield "nas", "info", {"host": "nas", "version": "1.0.0"}, 1
    yield "hub", "hub_info", {"version": "1.0.0"}, 1
    for metric, value in (("free", 1.4e12), ("size", 8e12)):
        yield "nas", f"repository_disk_{metric}_bytes", {"host": "nas", "repository": "disk"}, value


def last(now, today, every=1):
    """When the last night was, of every so many."""
    back = 0
    while today - back * DAY > now:
        back += every
    return today - back * DAY


def nights(then, today):
    return round((today - then) / DAY)


def of_job(host, job, repositories, now, today):
    night = last(now, today)
    failed, warned = FAILED.get((host, job), set()), WARNED.get((host, job), set())
    back = nights(night, today)
    in_a_row = lambda those: next(count for count in range(99) if back + count not in those)
    good = back + in_a_row(failed)
    own = {"host": host, "job": job}
    is_failed = back in failed
    size = SIZE[host, job] * 1.004 ** -good * (1 if job != "photos" or good else 2.1)
    state = "failing" if is_failed else "warnings" if back in warned else "ok"
    for metric, value in {
        "last_run_timestamp_seconds": night, "last_run_success": 0 if is_failed else 1, "last_run_duration_seconds": 300 + size / 4e8 + 60 * (back % 3),
        "last_run_warnings": 2 if back in warned else 0, "runs_failed_in_a_row": in_a_row(failed), "runs_warned_in_a_row": in_a_row(warned),
        "next_run_timestamp_seconds": night + DAY, "overdue_timestamp_seconds": night + 1.3 * DAY, "late": 0,
        "copies": 3 if job == "state" else 2, "copies_media": 2 if job == "state" else 1, "copies_offsite": 1 if job == "state" else 0, "copies_enough": 1 if job == "state" else 0,
        "sqlite_copies": 4 if job == "state" else 0, "integrity_failures": 0,
    }.items():
        yield metric, own, value
    for name in ("failing", "late", "never", "warnings", "running", "ok"):
        yield "state", {**own, "state": name}, int(name == state)
    added = size * (0.004 + 0.003 * (good % 5))
    for repository in repositories:
        there = {**own, "repository": repository}
        for metric, value in {
            "last_success_timestamp_seconds": today - good * DAY, "repository_success": 0 if is_failed else 1, "source_files": round(size / 2e5), "source_bytes": size, "read_bytes": added * 2,
            "added_bytes": added, "stored_bytes": added / 3,
        }.items():
            yield metric, there, value
        for kind in ("shrunk", "grown", "changed"):
            yield "anomalies", {**there, "kind": kind}, int(kind == "grown" and job == "photos" and good == 0)


def of_drills(now, today):
    ended = last(now, today, every=7)
    took = 500 + 40 * nights(ended, today)
    for repository in ("nas", "web"):
        labels = {"host": "vault", "drill": "weekly", "repository": repository}
        for metric, value in {
            "last_success_timestamp_seconds": ended, "success": 1, "restore_seconds": took, "restored_bytes": 30e9, "bytes_per_second": 30e9 / took, "recovery_seconds": took * 20, "snapshot_age_seconds": 8 * HOUR,
        }.items():
            yield "hub", f"drill_{metric}", labels, value


def of_hub(now, today):
    ended = last(now, today)
    weeks = (today - ended) / DAY
    yield "hub", "hub_disk_free_bytes", {}, 1.1e12 + 9e9 * weeks
    yield "hub", "hub_disk_size_bytes", {}, 4e12
    for repository, used in (("nas", 1.1e12), ("web", 60e9)):
        labels = {"repository": repository}
        for metric, value in {
            "used_bytes": used - 3e9 * weeks, "objects": used / 6e7, "quota_bytes": 1.3e12, "quota_objects": 1e6, "snapshots": 40, "snapshots_uncounted": 0, "newest_snapshot_timestamp_seconds": ended,
            "forget_timestamp_seconds": ended, "prune_timestamp_seconds": ended, "verify_timestamp_seconds": ended, "read_in_full_timestamp_seconds": ended - 29 * DAY, "verify_within_seconds": 30 * DAY,
            "upkeep_problems": 0, "last_drill_timestamp_seconds": last(now, today, every=7),
        }.items():
            yield "hub", f"repository_{metric}", labels, value
        for mirror in ("cloud", "friend"):
            there = {**labels, "mirror": mirror}
            bad = mirror == "friend" and nights(ended, today) in (5, 6)
            yield "hub", "mirror_last_success_timestamp_seconds", there, ended
            yield "hub", "mirror_success", there, 0 if bad else 1
            yield "hub", "mirror_last_drill_timestamp_seconds", there, last(now, today, every=14)


def page(view, now, today, stamp=None, extra=()):
    """The lines of a page, each series with its labels, sorted so that those of one metric stand together."""
    lines = []
    for where, metric, labels, value in samples(now, today):
        if where == view:
            text = ",".join(f'{name}="{it}"' for name, it in [*labels.items(), *extra])
            lines.append((f"hearth_backup_{metric}", f"hearth_backup_{metric}{{{text}}} {value:.17g}" + (f" {stamp}" if stamp is not None else "")))
    return sorted(lines)
