# Steps that several tests have in common. `machine` is the host, unless a test names another one.
import json as _json

RESTORE = "--repo /srv/backup/q --key /root/restore.key"


def make_repository(host, repository="/srv/backup/q", keys="/root"):
    """A repository, as an administrator makes it once; the restore key lies on the host only because this is a test."""
    host.succeed(
        f"mkdir -p {repository} {keys} && rmdir {repository} && mkdir -p $(dirname {repository})",
        f"hearth-backup init --repo {repository} --writer-key {keys}/q-writer.key --restore-key {keys}/restore.key",
    )


def snapshots(host, options=RESTORE):
    """The repository's snapshots, newest last."""
    return _json.loads(host.succeed(f"hearth-backup --json snapshots {options}"))["snapshots"]


def back_up(host, job="state"):
    host.succeed(f"systemctl start hearth-backup-{job}.service")


def unit_says(host, unit, text):
    host.succeed(f"journalctl --sync; journalctl -u {unit} -o cat | grep -F -- {text!r}")
