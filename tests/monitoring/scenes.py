"""Writes the unit tests of the alert rules, for `promtool test rules`: scenes.py RULES FOLDER

Each scene is a healthy cluster in which something is changed, and says which alerts are on at a moment, with all that they say. Of every
other alert of the rules it says that it is off. Each alert must be on in some scene. The time begins at 0, so what was before is negative.
"""

import json
import re
import sys
from pathlib import Path

HOUR, DAY = 3600, 86400
FAR = 400 * DAY
RUNBOOKS = "https://github.com/hearth-backup/hearth-backup/blob/main/docs/"

# Who shows Prometheus what: the labels that a target gives to its samples. `job` only where a sample has none of its own (honor_labels).
HUB = {"instance": "hub:443", "job": "hearth-backup"}
NODE = {"instance": "nas:9100", "job": "node"}


def job_series(overdue=30 * HOUR, success=-3 * HOUR, repositories=("hub", "cloud"), host="nas", job="state"):
    """What is said of a job that is well."""
    own, series = f'host="{host}",job="{job}"', {}
    for metric, value in {
        "last_run_timestamp_seconds": -3 * HOUR, "last_run_success": 1, "runs_failed_in_a_row": 0, "runs_warned_in_a_row": 0,
        "copies_enough": 1, "integrity_failures": 0, "overdue_timestamp_seconds": overdue,
    }.items():
        series[f"{metric}{{{own}}}"] = value
    for repository in repositories:
        there = f'{own},repository="{repository}"'
        series[f"last_success_timestamp_seconds{{{there}}}"] = success
        series[f"repository_success{{{there}}}"] = 1
        for kind in ("shrunk", "grown", "changed"):
            series[f'anomalies{{{there},kind="{kind}"}}'] = 0
    return series


def task_series(kind, name, host="nas"):
    own = f'host="{host}",kind="{kind}",name="{name}"'
    return {
        f"task_last_success_timestamp_seconds{{{own}}}": -3 * HOUR,
        f"task_last_run_timestamp_seconds{{{own}}}": -3 * HOUR,
        f"task_last_run_success{{{own}}}": 1,
        f"task_runs_failed_in_a_row{{{own}}}": 0,
        f"task_overdue_timestamp_seconds{{{own}}}": 30 * HOUR,
    }


def drill_series():
    own = 'host="vault",drill="weekly",repository="nas"'
    return {f"drill_success{{{own}}}": 1, f"drill_last_success_timestamp_seconds{{{own}}}": -5 * DAY}


def healthy():
    """The host nas, seen by its textfile and by the hub; the host web and the drill machine vault, by the hub alone."""
    on_nas = {
        'info{host="nas",version="1.0.0"}': 1, **job_series(), **task_series("mirror", "usb"), **task_series("check", "hub"), **task_series("maintain", "hub"),
        'repository_disk_free_bytes{host="nas",repository="disk"}': 400e9, 'repository_disk_size_bytes{host="nas",repository="disk"}': 1000e9,
        'repository_disk_free_bytes{host="nas",repository="other"}': 400e9, 'repository_disk_size_bytes{host="nas",repository="other"}': 1000e9,
    }
    return {
        "nas": dict(on_nas),
        "hub": {
            **{series: value for series, value in on_nas.items() if "disk" not in series and "info" not in series}, **job_series(host="web", job="db", repositories=("hub",)),
            **task_series("maintain", "hub/all", host="fort"), **task_series("mirror", "hub/friend", host="fort"),
            **task_series("drill", "weekly", host="vault"), **drill_series(),
            'hub_info{version="1.0.0"}': 1, 'clock_skew_seconds{host="nas"}': 0.2, 'clock_skew_seconds{host="web"}': -1.5,
            'hub_disk_free_bytes': 600e9, 'hub_disk_size_bytes': 1000e9,
            'repository_used_bytes{repository="nas"}': 100e9, 'repository_quota_bytes{repository="nas"}': 500e9,
            'repository_objects{repository="nas"}': 2000, 'repository_quota_objects{repository="nas"}': 1e6,
            'repository_snapshots{repository="nas"}': 20, 'repository_last_drill_timestamp_seconds{repository="nas"}': -5 * DAY,
            'repository_verify_timestamp_seconds{repository="nas"}': -5 * HOUR, 'repository_read_in_full_timestamp_seconds{repository="nas"}': -29 * DAY,
            'repository_prune_timestamp_seconds{repository="nas"}': -5 * HOUR, 'repository_verify_within_seconds{repository="nas"}': 30 * DAY, 'repository_upkeep_problems{repository="nas"}': 0,
            'mirror_success{repository="nas",mirror="friend"}': 1, 'mirror_last_success_timestamp_seconds{repository="nas",mirror="friend"}': -4 * HOUR,
            'mirror_last_drill_timestamp_seconds{repository="nas",mirror="friend"}': -5 * DAY,
        },
        "up": {"hub": 1, "nas": 1},
    }


SCENES = []


def scene(name, changes, at, alerts, step="5m", base=None):
    """`changes` are by view; None takes a series, or a whole view, away. `at` is when, in hours. `alerts` are (name, severity, labels, summary, description, runbook)."""
    views = base if base is not None else healthy()
    for view, series in changes.items():
        views[view] = {} if series is None else {**views.get(view, {}), **series}
    SCENES.append((name, views, at, step, alerts))


def both(series):
    """The same in either view of nas."""
    return {"nas": series, "hub": series}


STATE = {"host": "nas", "job": "state"}
RUN = 'host="nas",job="state"'

# --- jobs -------------------------------------------------------------------------------------------------------------------------------

scene("all is well", {}, at=2, alerts=[])

STALE = (
    "HearthBackupStale", "critical", STATE, "nas has not run its backup state",
    "The job state of nas should have run by now, and nothing was heard of a run for 1h 0m 0s longer than its schedule allows. The host is off, away, or its timer does not start. "
    "See whether it is up, then `systemctl list-timers --all 'hearth-backup*'` there.", "monitoring/host-silent.md",
)
scene("a job is overdue", both({f"overdue_timestamp_seconds{{{RUN}}}": HOUR}), at=2, alerts=[STALE])
scene("a job is due and within its grace", both({f"overdue_timestamp_seconds{{{RUN}}}": 2 * HOUR}), at=2, alerts=[])
scene("the hub has not heard of a run, the host's textfile has", {"hub": {f"overdue_timestamp_seconds{{{RUN}}}": HOUR}}, at=2, alerts=[])
scene("a job ran at last", both({f"overdue_timestamp_seconds{{{RUN}}}": f"{HOUR}x18 {30 * HOUR}x12"}), at=2, alerts=[])
alone = {"nas": job_series(overdue=4 * HOUR) | {'info{host="nas",version="1.0.0"}': 1}, "hub": {}, "up": {"nas": 1}, "drills": drill_series()}
gone = {series: f"{value}x6 stale" for series, value in alone["nas"].items()}
drilled = {f'drill_last_success_timestamp_seconds{{host="vault",drill="all",repository="{name}"}}': 0 for name in ("hub", "cloud")}
silence = job_series(host="web", job="db", repositories=("hub",))
scene("a host is gone with its textfile, and nothing is due yet", {"nas": gone, "hub": silence, "drills": drilled}, at=3, alerts=[], base=dict(alone))
scene("a host is gone with its textfile, and its job is overdue", {"nas": gone, "hub": silence, "drills": drilled}, at=5, alerts=[STALE], base=dict(alone))
more = {
    **alone["nas"], **job_series(job="manual", success=-8 * DAY + 4 * HOUR), **task_series("maintain", "hub"), **task_series("mirror", "usb"),
    'task_overdue_timestamp_seconds{host="nas",kind="maintain",name="hub"}': 4 * HOUR, 'task_overdue_timestamp_seconds{host="nas",kind="mirror",name="usb"}': 4 * HOUR,
    'overdue_timestamp_seconds{host="nas",job="manual"}': None,
}
taken_away = {series: value if value is None or series.startswith("info") else f"{value}x6 stale" for series, value in more.items()}
scene("jobs and tasks were taken away, and their host is there", {"nas": taken_away, "hub": silence, "drills": drilled}, at=5, alerts=[], base=dict(alone))

scene("a job is overdue for two minutes", both({f"overdue_timestamp_seconds{{{RUN}}}": 2 * HOUR - 120}), at=2, alerts=[])
OLD = (
    "HearthBackupOld", "warning", STATE, "The last backup state of nas is 8d 2h 0m 0s old",
    "The job state of nas has no schedule that is known, and last succeeded 8d 2h 0m 0s ago. Run it, or say how often it is meant to run (`every` in the job), and this goes by the schedule.",
    "monitoring/host-silent.md",
)
since = {f'last_success_timestamp_seconds{{{RUN},repository="{name}"}}': -8 * DAY for name in ("hub", "cloud")}
scene("a job without a schedule is old", both({**since, f"overdue_timestamp_seconds{{{RUN}}}": None}), at=2, alerts=[OLD])
nearly = {series: value + 2 * HOUR - 120 for series, value in since.items()}
scene("a job without a schedule is old since two minutes", both({**nearly, f"overdue_timestamp_seconds{{{RUN}}}": None}), at=2, alerts=[])
scene("a job that runs monthly is old, as it may be", both({**since, f"overdue_timestamp_seconds{{{RUN}}}": 20 * DAY}), at=2, alerts=[])
scene("a job without a schedule is young", both({f"overdue_timestamp_seconds{{{RUN}}}": None}), at=2, alerts=[])

failed = {f"last_run_success{{{RUN}}}": 0, f"runs_failed_in_a_row{{{RUN}}}": 1, **{f'repository_success{{{RUN},repository="{name}"}}': 0 for name in ("hub", "cloud")}}
FAILED = (
    "HearthBackupFailed", "warning", STATE, "The backup state of nas failed",
    "The last run of state on nas failed; the last success is less than two days old. See why: `journalctl -u 'hearth-backup?state.service'` there, or the page of the hub.", "monitoring/job-fails.md",
)


def failing(runs):
    return (
        "HearthBackupFailing", "critical", STATE, "The backup state of nas fails, and is getting old",
        f"Runs of state on nas that failed in a row: {runs}. What was written since the last success has no backup. See why: `journalctl -u 'hearth-backup?state.service'` there, or the page of the hub.",
        "monitoring/job-fails.md",
    )


scene("a job without a schedule is old and fails", both({**failed, **since, f"overdue_timestamp_seconds{{{RUN}}}": None}), at=2, alerts=[failing(1)])
scene("a run failed", both(failed), at=2, alerts=[FAILED])
scene("a run failed, and the job is overdue since", both({**failed, f"overdue_timestamp_seconds{{{RUN}}}": HOUR}), at=2, alerts=[FAILED])
scene("three runs failed", both({**failed, f"runs_failed_in_a_row{{{RUN}}}": 3}), at=2, alerts=[failing(3)])
scene("the run of a week failed", both({**failed, **{series: -7 * DAY for series in since}}), at=2, alerts=[failing(1)])
scene("the first run ever failed", both({**failed, **{series: None for series in since}}), at=2, alerts=[FAILED])
newer = {f"last_run_timestamp_seconds{{{RUN}}}": -HOUR}
scene("the host knows that the run after the failed one went well, the hub not yet", {"hub": failed, "nas": newer}, at=2, alerts=[])
scene("the host knows that the run after the good one failed, the hub not yet", {"nas": {**failed, **newer}}, at=2, alerts=[FAILED])

scene("a run failed in one repository", both({f'repository_success{{{RUN},repository="cloud"}}': 0}), at=2, alerts=[(
    "HearthBackupRepositoryFailing", "warning", {**STATE, "repository": "cloud"}, "The backup state of nas does not reach cloud",
    "The last run of state on nas succeeded elsewhere and failed in the repository cloud: there is one copy less than there should be. "
    "See why: `journalctl -u 'hearth-backup?state.service'` there, or the page of the hub.", "monitoring/job-fails.md",
)])
scene("three runs had warnings", both({f"runs_warned_in_a_row{{{RUN}}}": 3}), at=2, alerts=[(
    "HearthBackupWarnings", "warning", STATE, "The backup state of nas had warnings 3 times running",
    "The job state of nas is done each time, and something is missing from it each time: a file that cannot be read, a hook that fails. `hearth-backup status` on the host and the page of the hub "
    "show the warnings. Mend what they name, or leave it out of the job.", "monitoring/job-fails.md#warnings",
)])
scene("two runs had warnings", both({f"runs_warned_in_a_row{{{RUN}}}": 2}), at=2, alerts=[])


def anomaly(kind, *repositories):
    return both({f'anomalies{{{RUN},repository="{name}",kind="{kind}"}}': 1 for name in repositories})


CHANGED = (
    "HearthBackupSnapshotChanged", "critical", STATE, "Nearly every file of state on nas is new or changed",
    "The last snapshot of state on nas, in cloud, hub, has hardly a file that was there before. So it looks when somebody encrypts files for ransom; so it looks too when a directory was moved or restored. "
    "If nobody did that, take the host off the network, and touch nothing at the repository: the older snapshots are there.", "runbooks/ransomware.md",
)
scene("nearly every file changed", anomaly("changed", "hub", "cloud"), at=2, alerts=[CHANGED])
changed_and_grown = both({**anomaly("changed", "hub", "cloud")["hub"], **anomaly("grown", "hub", "cloud")["hub"]})
scene("nearly every file changed, and there are twice as many", changed_and_grown, at=2, alerts=[CHANGED])
changed_and_shrunk = both({**anomaly("changed", "hub", "cloud")["hub"], **anomaly("shrunk", "hub", "cloud")["hub"]})
scene("nearly every file changed, and there are half as many", changed_and_shrunk, at=2, alerts=[CHANGED])
scene("a snapshot shrank", anomaly("shrunk", "hub"), at=2, alerts=[(
    "HearthBackupSnapshotShrunk", "critical", STATE, "The snapshot of state on nas has shrunk to half or less",
    "The last snapshot of state on nas, in hub, has at most half of the bytes or files of the one before. Something was deleted, or a disk is not mounted. `hearth-backup diff` names what is gone. "
    "The older snapshots have it until retention lets them go: pin the last good one with `hearth-backup pin`.", "runbooks/one-service.md",
)])
scene("a snapshot grew", anomaly("grown", "cloud"), at=2, alerts=[(
    "HearthBackupSnapshotGrown", "warning", STATE, "The snapshot of state on nas has grown to twice its size or more",
    "The last snapshot of state on nas, in cloud, has at least twice the bytes or files of the one before. A cache or a log may have come into the job: `hearth-backup diff` names what is new. "
    "Leave out what needs no backup.", "runbooks/out-of-space.md",
)])
scene("SQLite says that two databases are damaged", both({f"integrity_failures{{{RUN}}}": 2}), at=2, alerts=[(
    "HearthBackupIntegrityFailed", "critical", STATE, "SQLite databases of state on nas are damaged: 2",
    "SQLite itself says so of 2 of the copies that the last run of state on nas made. The live database is damaged: every backup from now on is of a damaged one. The run's log names it. "
    "Stop its service and restore the newest copy that was whole.", "runbooks/sqlite-service.md",
)])
later = {f"{metric}{{{labels}}}": FAR for labels in (RUN, 'host="web",job="db"') for metric in ["overdue_timestamp_seconds"]}
tasks_later = {f'task_overdue_timestamp_seconds{{host="nas",kind="{kind}",name="{name}"}}': FAR for kind, name in (("mirror", "usb"), ("check", "hub"), ("maintain", "hub"))}
tasks_later.update({f'task_overdue_timestamp_seconds{{host="fort",kind="{kind}",name="{name}"}}': FAR for kind, name in (("maintain", "hub/all"), ("mirror", "hub/friend"))})
tasks_later['task_last_success_timestamp_seconds{host="nas",kind="mirror",name="usb"}'] = FAR
vault_later = {'task_overdue_timestamp_seconds{host="vault",kind="drill",name="weekly"}': FAR}
calm = {
    "nas": {**{series: value for series, value in later.items() if "nas" in series}, **{series: value for series, value in tasks_later.items() if "nas" in series}},
    "hub": {
        **later, **tasks_later, **vault_later, 'mirror_last_success_timestamp_seconds{repository="nas",mirror="friend"}': FAR,
        'repository_verify_timestamp_seconds{repository="nas"}': FAR, 'repository_read_in_full_timestamp_seconds{repository="nas"}': FAR,
    },
}


def long(name, changes, at, alerts):
    """A scene of days, in which nothing else becomes due."""
    scene(name, {view: {**calm.get(view, {}), **(changes.get(view) or {})} for view in {*calm, *changes}}, at, alerts, step="1h")


scene("too few copies, an hour long", both({f"copies_enough{{{RUN}}}": 0}), at=1, alerts=[])
long("the host does not know of the hub's mirror", {"nas": {f"copies_enough{{{RUN}}}": 0}}, at=26, alerts=[])
long("too few copies, for more than a day", both({f"copies_enough{{{RUN}}}": 0}), at=26, alerts=[(
    "HearthBackupCopiesNotEnough", "warning", STATE, "state of nas has too few copies",
    "What state of nas saves is not in three copies, on two kinds of media, one of them elsewhere (3-2-1). The page of the hub says what is missing. Add a repository or a mirror, or say of those that "
    "there are what they are (`copy.media`, `copy.offsite`).", "monitoring/job-fails.md#too-few-copies",
)])

NEVER = {'state{host="nas",job="photos",state="never"}': 1}
long("a job has not run once, for eight days", {"nas": NEVER}, at=8 * 24 + 2, alerts=[(
    "HearthBackupNeverRan", "warning", {"host": "nas", "job": "photos"}, "nas has never run its backup photos",
    "The configuration of nas has the job photos, and no run of it was ever heard of. Its timer is not enabled, or its time has not come yet. "
    "See `systemctl list-timers --all 'hearth-backup*'` there, and start it once by hand.", "monitoring/host-silent.md",
)])
long("a job has not run once, for a week", {"nas": NEVER}, at=7 * 24, alerts=[])
long("the host forgot of a job that the hub knows that it ran", {"nas": NEVER, "hub": job_series(job="photos", overdue=FAR, repositories=("hub",))}, at=8 * 24 + 2, alerts=[])

# --- everything that is no backup -------------------------------------------------------------------------------------------------------


def task(metric, kind, name, value, host="nas"):
    return {f'task_{metric}{{host="{host}",kind="{kind}",name="{name}"}}': value}


CHECK_FAILED = (
    "HearthBackupCheckFailed", "critical", {"host": "nas", "name": "hub"}, "The check hub on nas failed",
    "The last check of hub on nas found damage, or could not be done. Its log says which: `journalctl -u 'hearth-backup*'` there, or the page of the hub. If it is damage, delete nothing, and repair from a mirror.",
    "runbooks/damaged-repository.md",
)
scene("a check failed", both(task("runs_failed_in_a_row", "check", "hub", 1)), at=2, alerts=[CHECK_FAILED])
scene("housekeeping on a host failed, and is overdue since", both({**task("runs_failed_in_a_row", "maintain", "hub", 2), **task("overdue_timestamp_seconds", "maintain", "hub", HOUR)}), at=2, alerts=[(
    "HearthBackupTaskFailed", "warning", {"host": "nas", "kind": "maintain", "name": "hub"}, "maintain of hub on nas failed",
    "Runs of maintain of hub on nas that failed in a row, or found damage: 2. Backups go on; old ones are not thinned out or looked at meanwhile. The log says why: `journalctl -u 'hearth-backup*'` there, or the page of the hub.",
    "monitoring/job-fails.md",
)])
TASK_LATE = (
    "HearthBackupTaskLate", "warning", {"host": "nas", "kind": "maintain", "name": "hub"}, "maintain of hub on nas has not run",
    "maintain of hub on nas should have run by now, and nothing was heard of a run for 1h 0m 0s longer than its schedule allows. See whether the host is up, then `systemctl list-timers 'hearth-backup*'` there.",
    "monitoring/host-silent.md",
)
own_failed = {**task("runs_failed_in_a_row", "maintain", "hub/all", 1, host="fort"), **task("runs_failed_in_a_row", "mirror", "hub/friend", 1, host="fort")}
scene("the hub's housekeeping was killed", {"hub": task("runs_failed_in_a_row", "maintain", "hub/all", 1, host="fort")}, at=2, alerts=[(
    "HearthBackupTaskFailed", "warning", {"host": "fort", "kind": "maintain", "name": "hub/all"}, "maintain of hub/all on fort failed",
    "Runs of maintain of hub/all on fort that failed in a row, or found damage: 1. Backups go on; old ones are not thinned out or looked at meanwhile. The log says why: `journalctl -u 'hearth-backup*'` there, or the page of the hub.",
    "monitoring/job-fails.md",
)])
house_late, friend_late = task("overdue_timestamp_seconds", "maintain", "hub/all", HOUR, host="fort"), task("overdue_timestamp_seconds", "mirror", "hub/friend", HOUR, host="fort")
own_old = task("last_success_timestamp_seconds", "mirror", "hub/friend", -9 * DAY, host="fort")
scene("housekeeping on a host is overdue for two minutes", both(task("overdue_timestamp_seconds", "maintain", "hub", 2 * HOUR - 120)), at=2, alerts=[])
scene("housekeeping on a host is overdue", both(task("overdue_timestamp_seconds", "maintain", "hub", HOUR)), at=2, alerts=[TASK_LATE])
kept_house = {**alone, "nas": {**alone["nas"], **task("overdue_timestamp_seconds", "maintain", "hub", 4 * HOUR)}}
all_gone = {series: f"{value}x6 stale" for series, value in kept_house["nas"].items()}
scene("a host is gone, and with it its housekeeping", {"nas": all_gone, "hub": silence, "drills": drilled}, at=5, alerts=[STALE, TASK_LATE], base=kept_house)

USB = {"host": "nas", "name": "usb", "mirror": "usb"}
USB_BEHIND = (
    "HearthBackupHostMirrorBehind", "critical", USB, "The mirror usb of nas is behind",
    "The host nas has not brought the mirror usb up to date in time: if the repository is lost, what came since is lost. See whether the host is up, then `systemctl list-timers 'hearth-backup*'` there.",
    "monitoring/job-fails.md#mirrors",
)
# The last run, whoever knows of it.
def known_later(kind, name, ended=-HOUR, host="nas"):
    return task("last_run_timestamp_seconds", kind, name, ended, host)


troubled = {**task("runs_failed_in_a_row", "check", "hub", 1), **task("runs_failed_in_a_row", "maintain", "hub", 2), **task("runs_failed_in_a_row", "mirror", "usb", 1)}
gone_well = {**known_later("check", "hub"), **known_later("maintain", "hub"), **known_later("mirror", "usb")}
scene("the host knows that tasks went well after they failed, the hub not yet", {"hub": troubled, "nas": gone_well}, at=2, alerts=[])
scene("the host knows that a task failed after it went well, the hub not yet", {"nas": {**task("runs_failed_in_a_row", "check", "hub", 1), **gone_well}}, at=2, alerts=[CHECK_FAILED])
scene("a task failed, and then nothing was heard of it", {
    "hub": {**troubled, **task("overdue_timestamp_seconds", "maintain", "hub", HOUR), **task("overdue_timestamp_seconds", "mirror", "usb", HOUR)},
    "nas": {**gone_well, **task("overdue_timestamp_seconds", "maintain", "hub", HOUR), **task("overdue_timestamp_seconds", "mirror", "usb", HOUR)},
}, at=2, alerts=[TASK_LATE, USB_BEHIND])

# --- mirrors ----------------------------------------------------------------------------------------------------------------------------

FRIEND = {"repository": "nas", "mirror": "friend"}
to_friend = 'repository="nas",mirror="friend"'
MIRROR_FAILED = (
    "HearthBackupMirrorFailed", "warning", FRIEND, "The mirror friend of nas has trouble",
    "The hub's last run of the mirror friend of the repository nas failed, or found something in the mirror that is not as it should be, such as damage. The page of the hub says what. "
    "If it is damage, `hearth-backup repair` heals it from the hub's repository.", "runbooks/damaged-repository.md",
)
scene("a mirror of the hub has rotted", {"hub": {f"mirror_success{{{to_friend}}}": 0, **own_failed}}, at=2, alerts=[MIRROR_FAILED])


def mirror_behind(since):
    return (
        "HearthBackupMirrorBehind", "critical", FRIEND, f"The mirror friend of nas is {since} behind",
        f"The hub last brought the mirror friend of the repository nas up to date {since} ago: if the hub burns down, what came since is lost. `hearth-backup hub maintain --only mirror --mirror friend` on the hub "
        "tries again and says what is wrong.", "monitoring/job-fails.md#mirrors",
    )


BEHIND = mirror_behind("4d 2h 0m 0s")
behind = {f"mirror_last_success_timestamp_seconds{{{to_friend}}}": -4 * DAY}
scene("a mirror of the hub is behind", {"hub": {**behind, **friend_late, **own_old}}, at=2, alerts=[BEHIND])
scene("a mirror of the hub is overdue", {"hub": friend_late}, at=2, alerts=[mirror_behind("6h 0m 0s")])
scene("a mirror of the hub is overdue for two minutes", {"hub": task("overdue_timestamp_seconds", "mirror", "hub/friend", 2 * HOUR - 120, host="fort")}, at=2, alerts=[])
scene("a mirror of the hub is overdue by its timer, and was made by hand since", {"hub": {**friend_late, f"mirror_last_success_timestamp_seconds{{{to_friend}}}": -HOUR}}, at=2, alerts=[])
scene("a mirror of the hub fails, and is overdue since", {"hub": {**friend_late, f"mirror_success{{{to_friend}}}": 0, **own_failed}}, at=2, alerts=[MIRROR_FAILED])


def apart(kind, name, last, due, host="fort"):
    return {**task("last_run_timestamp_seconds", kind, name, last, host), **task("last_success_timestamp_seconds", kind, name, last, host), **task("overdue_timestamp_seconds", kind, name, due, host)}


weekly_friend = {**apart("mirror", "hub/friend", -6 * DAY, 2 * DAY), f"mirror_last_success_timestamp_seconds{{{to_friend}}}": -6 * DAY}
scene("a mirror of the hub is made weekly", {"hub": weekly_friend}, at=2, alerts=[])
missed = {**weekly_friend, f"mirror_success{{{to_friend}}}": 0, **task("runs_failed_in_a_row", "mirror", "hub/friend", 1, host="fort")}
scene("a mirror that is made weekly failed", {"hub": {**missed, f"mirror_last_success_timestamp_seconds{{{to_friend}}}": -13 * DAY}}, at=2, alerts=[MIRROR_FAILED])
scene("a mirror that is made weekly failed twice", {"hub": {**missed, f"mirror_last_success_timestamp_seconds{{{to_friend}}}": -20 * DAY}}, at=2, alerts=[mirror_behind("20d 2h 0m 0s")])
no_timer = {series: None for series in task_series("mirror", "hub/friend", host="fort")}
weekly_house = {**apart("maintain", "hub/all", -6 * DAY, 2 * DAY), **{f'repository_{step}_timestamp_seconds{{repository="nas"}}': -6 * DAY for step in ("prune", "verify")}}
with_house = {**no_timer, **weekly_house, f"mirror_last_success_timestamp_seconds{{{to_friend}}}": -6 * DAY}
scene("the hub keeps house weekly, mirrors among it", {"hub": with_house}, at=2, alerts=[])
nobody_knows = {**no_timer, **{series: None for series in task("overdue_timestamp_seconds", "maintain", "hub/all", 0, host="fort")}}
scene("a mirror of the hub is behind, and nobody knows when it is due", {"hub": {**nobody_knows, **behind}}, at=2, alerts=[BEHIND])
scene("a mirror of the hub is two days old, and nobody knows when it is due", {"hub": {**nobody_knows, f"mirror_last_success_timestamp_seconds{{{to_friend}}}": -2 * DAY}}, at=2, alerts=[])
scene("a mirror of the hub has failed for days", {"hub": {**behind, f"mirror_success{{{to_friend}}}": 0}}, at=2, alerts=[BEHIND])
never_mirrored = {f"mirror_last_success_timestamp_seconds{{{to_friend}}}": None}
long("a mirror of the hub is new", {"hub": never_mirrored}, at=24, alerts=[])
long("a mirror of the hub was never made", {"hub": never_mirrored}, at=50, alerts=[(
    "HearthBackupMirrorNeverMade", "critical", FRIEND, "The mirror friend of nas was never made",
    "The hub's configuration has the mirror friend of the repository nas, and it was never brought up to date. `hearth-backup hub maintain --only mirror --mirror friend` on the hub makes it and says what is wrong.",
    "monitoring/job-fails.md#mirrors",
)])
scene("a mirror of a host fails, and is overdue since", both({**task("runs_failed_in_a_row", "mirror", "usb", 1), **task("overdue_timestamp_seconds", "mirror", "usb", HOUR)}), at=2, alerts=[(
    "HearthBackupHostMirrorFailed", "warning", USB, "The mirror usb of nas has trouble",
    "Runs of the mirror usb on nas that failed in a row, or found something in the mirror that is not as it should be, such as damage: 1. The log says what: `journalctl -u 'hearth-backup*'` there. "
    "If it is damage, `hearth-backup repair` heals it from the repository.", "runbooks/damaged-repository.md",
)])
scene("a mirror of a host is overdue for two minutes", both(task("overdue_timestamp_seconds", "mirror", "usb", 2 * HOUR - 120)), at=2, alerts=[])
scene("a mirror of a host is overdue", both(task("overdue_timestamp_seconds", "mirror", "usb", HOUR)), at=2, alerts=[USB_BEHIND])
scene("a mirror of a host has failed for nine days", both({**task("runs_failed_in_a_row", "mirror", "usb", 9), **task("last_success_timestamp_seconds", "mirror", "usb", -9 * DAY)}), at=2, alerts=[USB_BEHIND])
monthly = apart("mirror", "usb", -25 * DAY, 6 * DAY, host="nas")
scene("a mirror of a host is made monthly", both(monthly), at=2, alerts=[])
scene("a mirror of a host that is made monthly has failed for two months", both({
    **monthly, **task("runs_failed_in_a_row", "mirror", "usb", 2), **task("last_success_timestamp_seconds", "mirror", "usb", -66 * DAY),
}), at=2, alerts=[USB_BEHIND])
unscheduled = {series: None for series in task("overdue_timestamp_seconds", "mirror", "usb", 0)}
scene("a mirror of a host is a week old, and nobody knows when it is due", both({**unscheduled, **task("last_success_timestamp_seconds", "mirror", "usb", -7 * DAY)}), at=2, alerts=[])
scene("a mirror of a host is nine days old, and nobody knows when it is due", both({**unscheduled, **task("last_success_timestamp_seconds", "mirror", "usb", -9 * DAY)}), at=2, alerts=[USB_BEHIND])

# --- drills -----------------------------------------------------------------------------------------------------------------------------

weekly = 'host="vault",drill="weekly",repository="nas"'
drill_failed = task("runs_failed_in_a_row", "drill", "weekly", 1, host="vault")
DRILL_FAILED = (
    "HearthBackupDrillFailed", "critical", {"host": "vault", "drill": "weekly", "repository": "nas"}, "The drill weekly could not restore from nas",
    "The last run of the drill weekly on vault failed for the repository nas: what it tried to restore did not come back, was not as it should be, or could not be tried. Take it that a restore would fail now. "
    "The drill's report says what was wrong: `hearth-backup status` there, or the page of the hub.", "runbooks/damaged-repository.md",
)
scene("a drill could not restore", {"hub": {f"drill_success{{{weekly}}}": 0, **drill_failed}}, at=2, alerts=[DRILL_FAILED])
NOT_DONE = (
    "HearthBackupDrillNotDone", "critical", {"host": "vault", "drill": "weekly"}, "The drill weekly of vault failed",
    "Runs of the drill weekly on vault that failed in a row, before anything was restored: 1. Nobody knows whether a restore works now. The log says why: `journalctl -u 'hearth-backup*'` there, or the page of the hub.",
    "monitoring/job-fails.md#drills",
)
scene("a drill failed before it knew its repository", {"hub": drill_failed}, at=2, alerts=[NOT_DONE])
well = {**task_series("drill", "weekly", host="vault"), **known_later("drill", "weekly", host="vault"), **drill_series()}
scene("the machine that drills knows that the drill after the failed one went well, the hub not yet", {"hub": {f"drill_success{{{weekly}}}": 0, **drill_failed}, "drills": well}, at=2, alerts=[])
scene("the machine that drills knows that one after a drill that came to nothing went well, the hub not yet", {"hub": drill_failed, "drills": well}, at=2, alerts=[])
scene("the machine that drills knows that one failed, the hub not yet", {"drills": {**well, **drill_failed, f"drill_success{{{weekly}}}": 0}}, at=2, alerts=[DRILL_FAILED])
scene("the machine that drills knows that one came to nothing, the hub not yet", {"drills": {**well, **drill_failed}}, at=2, alerts=[NOT_DONE])


def place(repository, mirror):
    of = f"the mirror {mirror} of " if mirror else ""
    return f"{of}{repository}", f"{of}the repository {repository}", {"repository": repository} | ({"mirror": mirror} if mirror else {})


def no_drill(repository, mirror=None):
    short, long, labels = place(repository, mirror)
    return (
        "HearthBackupNoDrill", "warning", labels, f"No restore from {short} was tried for 36d 2h 0m 0s",
        f"The last drill that restored from {long} was 36d 2h 0m 0s ago. What was not restored is hoped for. Run one on the machine with the restore key, and give it a schedule.",
        "monitoring/job-fails.md#drills",
    )


def never_drilled(repository, mirror=None):
    short, long, labels = place(repository, mirror)
    how = f', with `mirror = "{mirror}"`' if mirror else ""
    return (
        "HearthBackupNeverDrilled", "warning", labels, f"No restore from {short} was ever tried",
        f"No drill ever restored from {long}. What was not restored is hoped for. Set up a drill on a machine with the restore key{how}.", "monitoring/job-fails.md#drills",
    )


scene("the last drill is five weeks old", {"hub": {'repository_last_drill_timestamp_seconds{repository="nas"}': -36 * DAY}}, at=2, alerts=[no_drill("nas")])
scene("one drill is old, and another tried the same repository since", {"hub": {f"drill_last_success_timestamp_seconds{{{weekly}}}": -36 * DAY}}, at=2, alerts=[])
scene("a mirror was last drilled five weeks ago, the repository since", {"hub": {f"mirror_last_drill_timestamp_seconds{{{to_friend}}}": -36 * DAY}}, at=2, alerts=[no_drill("nas", "friend")])
undrilled = {'repository_last_drill_timestamp_seconds{repository="nas"}': None}
long("a repository is new", {"hub": undrilled}, at=71, alerts=[])
long("a repository never had a drill", {"hub": undrilled}, at=74, alerts=[never_drilled("nas")])
long("an empty repository never had a drill", {"hub": {**undrilled, 'repository_snapshots{repository="nas"}': 0}}, at=74, alerts=[])
never_there = {f"mirror_last_drill_timestamp_seconds{{{to_friend}}}": None}
long("a mirror is new", {"hub": never_there}, at=71, alerts=[])
long("a mirror never had a drill", {"hub": never_there}, at=74, alerts=[never_drilled("nas", "friend")])
long("a mirror of an empty repository never had a drill", {"hub": {**never_there, 'repository_snapshots{repository="nas"}': 0}}, at=74, alerts=[])
seen = {**alone, "nas": {**alone["nas"], f"overdue_timestamp_seconds{{{RUN}}}": FAR}}
old_drills = {series: value - 36 * DAY for series, value in drilled.items() if "hub" in series}
scene("there is no hub, one repository was last drilled five weeks ago, and another never", {"drills": {**old_drills}}, at=74, step="1h", alerts=[
    (*no_drill("hub")[:3], no_drill("hub")[3].replace("36d 2h", "39d 2h"), no_drill("hub")[4].replace("36d 2h", "39d 2h"), no_drill("hub")[5]), never_drilled("cloud"),
], base={**seen, "drills": {}})

# --- the hub ----------------------------------------------------------------------------------------------------------------------------

HUB_DOWN = (
    "HearthBackupHubDown", "critical", {"instance": "hub:443", "job": "hearth-backup"}, "The hub hub:443 does not answer",
    "Prometheus gets no metrics from the hub hub:443. Hosts can probably bring no backups there, and nothing that only the hub knows is watched. See whether the machine is up, then "
    "`systemctl status hearth-backup-hub.service` there. If it answers others, look at the token of Prometheus.", "runbooks/hub-lost.md",
)
manual = {series: value for series, value in job_series(success=-8 * DAY + HOUR, host="web", job="manual", repositories=("hub",)).items() if "overdue" not in series}
before = healthy()["hub"] | manual | {f'overdue_timestamp_seconds{{host="web",job="db"}}': HOUR}
vanished = {series: f"{value}x6 stale" for series, value in before.items()}
scene("the hub is gone, and with it all that it knows of hosts", {"hub": vanished, "up": {"hub": "1x6 0x600"}}, at=2, alerts=[HUB_DOWN])
overdue_at_nas = {
    f"overdue_timestamp_seconds{{{RUN}}}": HOUR, 'last_success_timestamp_seconds{host="nas",job="manual",repository="hub"}': -8 * DAY,
    **task("overdue_timestamp_seconds", "maintain", "hub", HOUR), **task("overdue_timestamp_seconds", "mirror", "usb", HOUR),
}
scene("the hub is gone, and what a host itself says is overdue", {
    "hub": {series: f"{value}x6 stale" for series, value in (healthy()["hub"] | overdue_at_nas).items()}, "up": {"hub": "1x6 0x600"},
    "nas": overdue_at_nas,
}, at=2, alerts=[HUB_DOWN, STALE, (OLD[0], OLD[1], {"host": "nas", "job": "manual"}, *(text.replace("state", "manual") for text in OLD[3:5]), OLD[5]), TASK_LATE, USB_BEHIND])
scene("the hub is gone for five minutes", {"hub": vanished, "up": {"hub": "1x6 0x600"}}, at=2 / 3, alerts=[])
long("the hub is gone for days, and what is due elsewhere is seen all the same", {
    "hub": {series: f"{value}x1 stale" for series, value in before.items()}, "nas": {f"runs_failed_in_a_row{{{RUN}}}": 1}, "up": {"hub": "1x1 0x600"},
}, at=40, alerts=[HUB_DOWN, FAILED])
# While it runs, a job without a schedule is due at some time.
forgotten = {
    f"overdue_timestamp_seconds{{{RUN}}}": f"{HOUR}x3 stale", 'overdue_timestamp_seconds{host="web",job="manual"}': f"{HOUR}x3 stale",
    **{series: f"{value}x3 stale" for series, value in task("overdue_timestamp_seconds", "maintain", "web", HOUR, host="web").items()},
}
scene("the hub knows no longer that anything is due", {"hub": forgotten}, at=2, alerts=[])
long("the hub is there, and its disk is not", {"hub": {series: f"{value}x1 stale" for series, value in before.items() if "hub_info" not in series}, "drills": drilled}, at=24, alerts=[
    ("HearthBackupStale", "critical", {"host": "web", "job": "db"}, "web has not run its backup db", STALE[4].replace("state", "db").replace("nas", "web").replace("1h 0m 0s", "23h 0m 0s"), STALE[5]),
    ("HearthBackupOld", "warning", {"host": "web", "job": "manual"}, *(text.replace("state", "manual").replace("nas", "web").replace("8d 2h", "8d 23h") for text in OLD[3:5]), OLD[5]),
    ("HearthBackupRepositoryUnreadable", "critical", {"repository": "nas"}, "The hub cannot read the repository nas any more",
     "The hub showed the repository nas in the last week and does not now: its directory is gone, or cannot be read. The page of the hub and the log of hearth-backup-hub.service say why. If somebody took it away on "
     "purpose, this ends after a week.", "runbooks/damaged-repository.md"),
])
scene("the hub's page is there, and is no longer its own", {"hub": vanished}, at=2, alerts=[HUB_DOWN])
scene("the hub was never seen", {"hub": {series: None for series in before}, "up": {"hub": 0}}, at=2, alerts=[HUB_DOWN])
long("the hub is a target no more", {"hub": {series: f"{value}x1 stale" for series, value in before.items()}, "up": {"hub": "1x1 stale"}, "drills": drilled}, at=24, alerts=[
    ("HearthBackupStale", "critical", {"host": "web", "job": "db"}, "web has not run its backup db", STALE[4].replace("state", "db").replace("nas", "web").replace("1h 0m 0s", "23h 0m 0s"), STALE[5]),
    ("HearthBackupOld", "warning", {"host": "web", "job": "manual"}, *(text.replace("state", "manual").replace("nas", "web").replace("8d 2h", "8d 23h") for text in OLD[3:5]), OLD[5]),
])

DAMAGE = (
    "HearthBackupDamageFound", "critical", {"repository": "nas"}, "The hub's housekeeping found something wrong in nas",
    "1 of forget, prune and verify in the repository nas did not end well: packs are damaged or missing, or a forget was refused because it would have taken too much. The page of the hub says which. "
    "If it is damage, delete nothing, and repair from a mirror.", "runbooks/damaged-repository.md",
)
unread = {series: f"{value:.17g}x6 stale" for series, value in healthy()["hub"].items() if series.startswith(("repository_", "mirror_")) and "disk" not in series}
scene("the hub cannot read a repository any more", {"hub": unread}, at=2, alerts=[(
    "HearthBackupRepositoryUnreadable", "critical", {"repository": "nas"}, "The hub cannot read the repository nas any more",
    "The hub showed the repository nas in the last week and does not now: its directory is gone, or cannot be read. The page of the hub and the log of hearth-backup-hub.service say why. "
    "If somebody took it away on purpose, this ends after a week.", "runbooks/damaged-repository.md",
)])
problem = {'repository_upkeep_problems{repository="nas"}': 1}
scene("the hub found damage", {"hub": {**problem, **own_failed}}, at=2, alerts=[DAMAGE])
not_kept = {'repository_verify_timestamp_seconds{repository="nas"}': -4 * DAY}
scene("verification has failed for days", {"hub": {**problem, **not_kept, 'repository_read_in_full_timestamp_seconds{repository="nas"}': -60 * DAY}}, at=2, alerts=[DAMAGE])
LATE = (
    "HearthBackupUpkeepLate", "warning", {"repository": "nas"}, "The hub has not kept house in nas for 4d 2h 0m 0s",
    "Housekeeping in the repository nas was last done 4d 2h 0m 0s ago, longer than its schedule allows. Nothing is verified, thinned out or mirrored meanwhile. "
    "See `systemctl status hearth-backup-hub-maintain.timer` on the hub.", "monitoring/job-fails.md#the-hubs-housekeeping",
)
scene("the hub keeps house no more, so that not all was read in time", {"hub": {**not_kept, **house_late, 'repository_read_in_full_timestamp_seconds{repository="nas"}': -60 * DAY}}, at=2, alerts=[LATE])
no_verify = {'repository_verify_within_seconds{repository="nas"}': None, 'repository_read_in_full_timestamp_seconds{repository="nas"}': None}
scene("the hub shall not verify any more", {"hub": {**not_kept, **no_verify}}, at=2, alerts=[])
scene("the hub shall not verify, and keeps house no more", {"hub": {**no_verify, **not_kept, 'repository_prune_timestamp_seconds{repository="nas"}': -4 * DAY}}, at=2, alerts=[LATE])
scene("housekeeping of the hub is overdue", {"hub": house_late}, at=2, alerts=[(*LATE[:3], *(text.replace("4d 2h", "7h") for text in LATE[3:5]), LATE[5])])
scene("housekeeping of the hub is overdue for two minutes", {"hub": task("overdue_timestamp_seconds", "maintain", "hub/all", 2 * HOUR - 120, host="fort")}, at=2, alerts=[])
scene("the hub keeps house weekly", {"hub": weekly_house}, at=2, alerts=[])
scene("the hub that keeps house weekly was interrupted twice", {
    "hub": {**weekly_house, **{f'repository_{step}_timestamp_seconds{{repository="nas"}}': -20 * DAY for step in ("prune", "verify")}},
}, at=2, alerts=[(*LATE[:3], *(text.replace("4d 2h", "20d 2h") for text in LATE[3:5]), LATE[5])])
nobody_knows_when = {series: None for series in task("overdue_timestamp_seconds", "maintain", "hub/all", 0, host="fort")}
scene("the hub has not kept house for four days, and nobody knows when it should", {"hub": {**not_kept, **nobody_knows_when}}, at=2, alerts=[LATE])
scene("the hub has not kept house for two days, and nobody knows when it should", {
    "hub": {**nobody_knows_when, **{f'repository_{step}_timestamp_seconds{{repository="nas"}}': -2 * DAY for step in ("prune", "verify")}},
}, at=2, alerts=[])
never_kept = {'repository_prune_timestamp_seconds{repository="nas"}': None, 'repository_verify_timestamp_seconds{repository="nas"}': None, 'repository_read_in_full_timestamp_seconds{repository="nas"}': None}
long("the hub has not kept house yet", {"hub": never_kept}, at=71, alerts=[])
long("the hub never kept house", {"hub": never_kept}, at=74, alerts=[(
    "HearthBackupUpkeepNever", "warning", {"repository": "nas"}, "The hub has never kept house in nas",
    "There are snapshots in the repository nas, and housekeeping never ran there. Nothing is verified, thinned out or mirrored. A timer should run `hearth-backup hub maintain` daily on the hub.",
    "monitoring/job-fails.md#the-hubs-housekeeping",
)])
scene("not all was read in time", {"hub": {'repository_read_in_full_timestamp_seconds{repository="nas"}': -34 * DAY}}, at=2, alerts=[(
    "HearthBackupVerifyOverdue", "warning", {"repository": "nas"}, "Not every byte of nas was read in time",
    "Parts of the repository nas were not read for 4d 2h 0m 0s longer than the hub means to take (`verifyWithin`): damage there would not have been noticed. "
    "`hearth-backup hub maintain --only verify --verify-all --repository nas` on the hub reads everything now.", "monitoring/job-fails.md#the-hubs-housekeeping",
)])
scene("a hub that keeps house weekly reads all within its time and a week", {"hub": {**weekly_house, 'repository_read_in_full_timestamp_seconds{repository="nas"}': -37 * DAY}}, at=2, alerts=[])
scene("the oldest pack was read as long ago as is meant", {"hub": {'repository_read_in_full_timestamp_seconds{repository="nas"}': -31 * DAY}}, at=2, alerts=[])
SKEW = (
    "HearthBackupClockSkew", "warning", {"host": "web"}, "The clock of web is off by 10m 0s",
    "When the newest report of web came, its clock and the hub's were 10m 0s apart. Times of its snapshots are wrong, and alerts that go by its schedule come too early or too late. See `timedatectl` on both.",
    "monitoring/job-fails.md#clocks",
)
scene("a killed run is told of late", {"hub": {'clock_skew_seconds{host="web"}': "0x14 -30000x20"}}, at=2, alerts=[])
scene("a clock is slow", {"hub": {'clock_skew_seconds{host="web"}': -600}}, at=2, alerts=[SKEW])
scene("a clock is fast", {"hub": {'clock_skew_seconds{host="web"}': 600}}, at=2, alerts=[SKEW])

# --- room -------------------------------------------------------------------------------------------------------------------------------


def nearly_full(share):
    return (
        "HearthBackupQuotaNearlyFull", "warning", {"repository": "nas"}, f"nas has used {share} of its quota",
        f"The repository nas has used {share} of the bytes or objects that it may have. When nothing is left, the hub refuses backups. Raise the quota, keep fewer snapshots, or find what grew.", "runbooks/out-of-space.md",
    )


scene("a quota is nearly used", {"hub": {'repository_used_bytes{repository="nas"}': 450e9}}, at=2, alerts=[nearly_full("90%")])
scene("a quota of objects is nearly used", {"hub": {'repository_objects{repository="nas"}': 810_000}}, at=2, alerts=[nearly_full("81%")])
scene("there is no quota", {"hub": {'repository_quota_bytes{repository="nas"}': None, 'repository_used_bytes{repository="nas"}': 900e12}}, at=2, alerts=[])
scene("a quota is used up", {"hub": {'repository_used_bytes{repository="nas"}': 490e9, 'repository_objects{repository="nas"}': 810_000}}, at=2, alerts=[(
    "HearthBackupQuotaFull", "critical", {"repository": "nas"}, "nas has used 98% of its quota",
    "The repository nas has used 98% of the bytes or objects that it may have: the next backup may be refused. Raise the quota now, then see what grew.", "runbooks/out-of-space.md",
)])


def disk_low(name, labels, share):
    return (
        "HearthBackupDiskNearlyFull", "warning", labels, f"The disk with the repositories of {name} has {share} left",
        f"The disk with the repositories of {name} is nearly full{', by what its last backup saw' if labels else ''}. When nothing is left, backups fail, and so may whatever else is on that disk. Keep fewer snapshots and prune, or make room.", "runbooks/out-of-space.md",
    )


def disk_full(name, labels, share):
    return (
        "HearthBackupDiskFull", "critical", labels, f"The disk with the repositories of {name} has {share} left",
        f"The disk with the repositories of {name} is full but for {share}{', by what its last backup saw' if labels else ''}: backups fail now or soon. Do not delete files of a repository by hand: make room beside it, or forget and prune.", "runbooks/out-of-space.md",
    )


def disk_of_nas(free):
    return {"nas": {f'repository_disk_free_bytes{{host="nas",repository="{name}"}}': free for name in ("disk", "other")}}


scene("the hub's disk is nearly full", {"hub": {"hub_disk_free_bytes": 90e9}}, at=2, alerts=[disk_low("the hub", {}, "9%")])
scene("the hub's disk is full", {"hub": {"hub_disk_free_bytes": 20e9}}, at=2, alerts=[disk_full("the hub", {}, "2%")])
scene("a host's disk with two repositories is nearly full", disk_of_nas(90e9), at=2, alerts=[disk_low("nas", {"host": "nas"}, "9%")])
scene("a host's disk with two repositories is full", disk_of_nas(20e9), at=2, alerts=[disk_full("nas", {"host": "nas"}, "2%")])


def filling(name, labels):
    return (
        "HearthBackupDiskFillingUp", "warning", labels, f"The disk with the repositories of {name} will be full within a week",
        f"If the disk with the repositories of {name} goes on to fill as it did in the last seven days, nothing is left in seven more. See what grew, keep fewer snapshots, or make room.", "runbooks/out-of-space.md",
    )


# 2 GB an hour: 200 GB are left after a week and a half.
draining = "700000000000-2000000000x250"
long("a disk of the hub fills up", {"hub": {"hub_disk_free_bytes": draining}}, at=250, alerts=[filling("the hub", {})])
long("a disk of a host fills up", disk_of_nas(draining), at=250, alerts=[filling("nas", {"host": "nas"})])
long("a disk fills up slowly", {"hub": {"hub_disk_free_bytes": "340000000000-100000000x250"}}, at=250, alerts=[])
long("a disk took a first backup and has filled no more since", {"hub": {"hub_disk_free_bytes": "700000000000-80000000000x5 300000000000x250"}}, at=250, alerts=[])
long("a disk has filled fast for a day, and nobody knows of a week", {"hub": {"hub_disk_free_bytes": "340000000000-5000000000x30"}}, at=30, alerts=[])

# --- whether the rules can work ---------------------------------------------------------------------------------------------------------

scene("there is nothing", {"nas": None, "hub": None, "up": {"hub": "1x600", "nas": 1}}, at=2, alerts=[(
    "HearthBackupNoMetrics", "warning", {}, "Prometheus knows of no backup at all",
    "Not one host or hub shows Prometheus a run of a backup: nothing that goes wrong would be noticed. See whether the targets are configured and up, and whether a backup ever ran.",
    "monitoring/host-silent.md#nothing-at-all",
)], base={"up": {}})
taken = {'last_run_timestamp_seconds{host="mail",exported_job="state",job="node"}': 0}
scene("a target's labels are not honoured", {"nas": taken}, at=2, alerts=[(
    "HearthBackupLabelsTaken", "warning", {"instance": "nas:9100"}, "Prometheus scrapes nas:9100 without honor_labels",
    "The target nas:9100 shows backups, and Prometheus puts its own label `job` over theirs: all jobs of a host look like one. Set `honor_labels: true` in its scrape configuration.", "monitoring.md#prometheus",
)])


# --- what promtool reads ----------------------------------------------------------------------------------------------------------------


def minutes(span):
    return int(span[:-1]) * {"m": 1, "h": 60}[span[-1]]


def input_series(views, at, step):
    samples = int(at * 60 / minutes(step)) + 2
    targets = {"hub": HUB, "nas": NODE, "drills": {"instance": "vault:9100", "job": "node"}}
    for view, series in views.items():
        for name, value in series.items():
            if value is None:
                continue
            if view == "up":
                name, labels = "up", dict(targets[name])
            else:
                metric, _, text = name.partition("{")
                labels = {**targets[view], **dict(re.findall(r'(\w+)="([^"]*)"', text))}
                name = f"hearth_backup_{metric}"
            text = ",".join(f'{label}="{it}"' for label, it in sorted(labels.items()))
            values = value if isinstance(value, str) else f"{value:.17g}x{samples}"
            yield {"series": f"{name}{{{text}}}", "values": values}


def unit_tests(rules):
    names = re.findall(r"(?m)^\s*- alert: (\w+)$", rules)
    tests, rung = [], set()
    for name, views, at, step, alerts in SCENES:
        expected = {alert: [] for alert in names}
        for alert, severity, labels, summary, description, runbook in alerts:
            annotations = {"summary": summary, "description": description, "runbook_url": RUNBOOKS + runbook}
            expected[alert].append({"exp_labels": {"severity": severity, **labels}, "exp_annotations": annotations})
            rung.add(alert)
        when = f"{round(at * 60)}m"
        tests.append({
            "name": name, "interval": step, "input_series": list(input_series(views, at, step)),
            "alert_rule_test": [{"eval_time": when, "alertname": alert, "exp_alerts": it} for alert, it in expected.items()],
        })
    silent = sorted(set(names) - rung)
    if silent:
        sys.exit(f"no scene has these alerts on: {', '.join(silent)}")
    return tests


def main():
    rules, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    tests = unit_tests(rules.read_text())
    # Each step has a file of its own: rules are evaluated as often as there are samples.
    for step in sorted({test["interval"] for test in tests}):
        these = [test for test in tests if test["interval"] == step]
        (folder / f"scenes-{step}.json").write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": step, "tests": these}))
    print(f"{len(tests)} scenes")


main()
