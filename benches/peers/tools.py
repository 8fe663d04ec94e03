"""How each backup tool is called.

A `Tool` belongs to one installed program. Its methods return the commands for
one repository in a private `area` folder (repository, caches, keys, home), and
never run anything themselves.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from measure import Command
from places import Local

PASSWORD = "benchmark"


class Tool:
    """Common ground: where things are in an area, and the environment."""

    name = ""
    program = ""
    install = ""
    settings = ""
    version_arguments = ["--version"]

    def __init__(self, program: Path):
        self.path = str(program)
        self.place = Local()

    def repo(self, area: Path) -> str:
        """What this tool calls the repository of an area."""
        return self.place.location(self.name, area)

    def version(self) -> str:
        """The version number the program reports."""
        result = subprocess.run([self.path, *self.version_arguments], capture_output=True, text=True)
        match = re.search(r"\d+\.\d+(\.\d+)?(-[\w.]+)?", result.stdout + result.stderr)
        return match.group(0) if match else "unknown"

    def environment(self, area: Path) -> dict:
        """A clean environment whose caches and settings stay inside the area."""
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL", "TZ") if key in os.environ}
        return kept | {"HOME": str(area / "home"), "TMPDIR": str(area / "tmp")} | self.variables(area) | self.place.variables(self.name, area)

    def variables(self, area: Path) -> dict:
        """Environment variables of this tool."""
        return {}

    def command(self, area: Path, *arguments, cwd: Path | None = None) -> Command:
        """One call of the program."""
        return Command([self.path, *self.place.options(self.name, area), *arguments], self.environment(area), cwd)

    def start(self, area: Path) -> None:
        """Make the folders of an area, before `init`."""
        for name in ("home", "tmp", "cache", "logs"):
            (area / name).mkdir(parents=True)

    def init(self, area: Path) -> list:
        """Commands that make the repository; not measured."""
        raise NotImplementedError

    def backup(self, area: Path, source: Path, day: int) -> Command:
        """Back up the folder `source`, on a simulated day."""
        raise NotImplementedError

    def restore(self, area: Path, source: Path, target: Path, day: int) -> Command:
        """Restore the latest backup of `source`, that of `day`, below `target`."""
        raise NotImplementedError

    def expire(self, area: Path, keep: int, day: int) -> list:
        """Commands that keep the last `keep` backups and free the rest."""
        raise NotImplementedError

    def count(self, area: Path) -> int:
        """How many backups the repository has; not measured."""
        raise NotImplementedError

    def output(self, area: Path, *arguments) -> str:
        """What one call of the program says; not measured."""
        argv = [self.path, *map(str, arguments)]
        return subprocess.run(argv, env=self.environment(area), capture_output=True, text=True, check=True).stdout


class Hearth(Tool):
    """Our own program.

    `forget --keep-last` counts at most one snapshot an hour and keeps the first
    of an hour besides. Simulated days take seconds, so old ones go by id.
    """

    name = "hearth"
    program = "hearth-backup"
    install = "pass --hearth PATH, or run from a checkout with cargo installed"
    settings = "defaults; backup holds only the writer key; `forget ID`, then `prune --grace 0`"

    def variables(self, area):
        return {"HEARTH_CACHE": str(area / "cache")}

    def init(self, area):
        keys = ["--writer-key", area / "writer.key", "--restore-key", area / "restore.key"]
        return [self.command(area, "init", "--repo", self.repo(area), *keys)]

    def backup(self, area, source, day):
        key = ["--key", area / "writer.key", *self.place.writer()]
        return self.command(area, "backup", "--repo", self.repo(area), *key, source)

    def restore(self, area, source, target, day):
        key = ["--key", area / "restore.key"]
        return self.command(area, "restore", "latest", "--repo", self.repo(area), *key, "--target", target)

    def expire(self, area, keep, day):
        old = [snapshot["id"] for snapshot in self._snapshots(area)[:-keep]]
        forget = [self.command(area, "forget", "--repo", self.repo(area), *old)] if old else []
        return forget + [self.command(area, "prune", "--repo", self.repo(area), "--grace", "0")]

    def _snapshots(self, area: Path) -> list:
        """All snapshots, the oldest first."""
        key = ["--key", area / "restore.key"]
        listing = json.loads(self.output(area, "snapshots", "--repo", self.repo(area), *key, "--json"))
        return sorted(listing["snapshots"], key=lambda snapshot: snapshot["received"])

    def count(self, area):
        return len(self._snapshots(area))


class Restic(Tool):
    """restic."""

    name = program = "restic"
    install = "apt-get install restic"
    settings = "defaults (compression auto); `forget --keep-last N --prune`"
    version_arguments = ["version"]

    def variables(self, area):
        return {
            "RESTIC_REPOSITORY": self.repo(area),
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(area / "cache"),
        }

    def init(self, area):
        return [self.command(area, "init")]

    def backup(self, area, source, day):
        return self.command(area, "backup", source)

    def restore(self, area, source, target, day):
        return self.command(area, "restore", "latest", "--target", target)

    def expire(self, area, keep, day):
        return [self.command(area, "forget", "--keep-last", keep, "--prune")]

    def count(self, area):
        return len(json.loads(self.output(area, "snapshots", "--json")))


class ResticOverSftp(Restic):
    """restic to a machine that has sshd only, where others have a server of their own."""

    name = "restic-sftp"


class Rustic(Tool):
    """rustic.

    Its prune is two-phased: packs are marked and deleted by a later prune, by
    default 23 hours later. A simulated day takes seconds, so `--keep-delete`
    is shortened; a pack marked on one day still goes on the next one.
    """

    name = program = "rustic"
    install = "cargo install rustic-rs --locked"
    settings = "defaults; `forget --keep-last N --prune --keep-delete 0s`"

    def variables(self, area):
        return {
            "RUSTIC_REPOSITORY": self.repo(area),
            "RUSTIC_PASSWORD": PASSWORD,
            "RUSTIC_CACHE_DIR": str(area / "cache"),
            "RUSTIC_NO_PROGRESS": "true",
        }

    def init(self, area):
        return [self.command(area, "init")]

    def backup(self, area, source, day):
        return self.command(area, "backup", source)

    def restore(self, area, source, target, day):
        return self.command(area, "restore", f"latest:{source}", target)

    def expire(self, area, keep, day):
        return [self.command(area, "forget", "--keep-last", keep, "--prune", "--keep-delete", "0s")]

    def count(self, area):
        groups = json.loads(self.output(area, "snapshots", "--json"))
        return sum(len(group["snapshots"]) for group in groups)


class Borg(Tool):
    """BorgBackup 1.x."""

    name = program = "borg"
    install = "apt-get install borgbackup (or pip install borgbackup in a virtual environment)"
    settings = "`--encryption repokey`, `--compression zstd,3`; `prune --keep-last N`, then `compact`"

    def variables(self, area):
        return {
            "BORG_REPO": str(area / "repo"),
            "BORG_PASSPHRASE": PASSWORD,
            "BORG_BASE_DIR": str(area / "home"),
            "BORG_CACHE_DIR": str(area / "cache"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }

    def init(self, area):
        return [self.command(area, "init", "--encryption", "repokey")]

    def backup(self, area, source, day):
        # One archive a simulated day: prune ignores all but one a second.
        moment = f"2024-{1 + day // 28:02}-{1 + day % 28:02}T12:00:00"
        compression = ["--compression", "zstd,3"]
        return self.command(area, "create", *compression, "--timestamp", moment, f"::day-{day:03}", source)

    def restore(self, area, source, target, day):
        return self.command(area, "extract", f"::day-{day:03}", cwd=target)

    def expire(self, area, keep, day):
        return [
            self.command(area, "prune", "--keep-last", keep),
            self.command(area, "compact"),
        ]

    def count(self, area):
        return len(self.output(area, "list", "--short").splitlines())


class Bupstash(Tool):
    """bupstash; it has no retention policy, so the oldest item is removed by id."""

    name = program = "bupstash"
    install = "cargo install bupstash --locked (needs libsodium-dev and pkg-config)"
    settings = "defaults (zstd:3), backup holds only a put key, send log and query cache kept; `rm`, then `gc`"
    version_arguments = ["version"]

    def variables(self, area):
        return {
            "BUPSTASH_REPOSITORY": str(area / "repo"),
            "BUPSTASH_SEND_LOG": str(area / "cache/send-log"),
            "BUPSTASH_QUERY_CACHE": str(area / "cache/query-cache"),
        }

    def init(self, area):
        primary, put = area / "primary.key", area / "put.key"
        return [
            self.command(area, "init"),
            self.command(area, "new-key", "--output", primary),
            self.command(area, "new-sub-key", "--put", "--key", primary, "--output", put),
        ]

    def backup(self, area, source, day):
        return self.command(area, "put", "--key", area / "put.key", "--quiet", f"day={day:03}", "::", source)

    def restore(self, area, source, target, day):
        arguments = ["--key", area / "primary.key", "--quiet", "--into", target]
        return self.command(area, "restore", *arguments, f"day={day:03}")

    def expire(self, area, keep, day):
        gc = self.command(area, "gc", "--quiet")
        if day < keep:
            return [gc]
        return [self.command(area, "rm", "--key", area / "primary.key", "--quiet", f"day={day - keep:03}"), gc]

    def count(self, area):
        return len(self.output(area, "list", "--key", area / "primary.key", "--format", "jsonl1").splitlines())


ALL = [Hearth, Restic, ResticOverSftp, Rustic, Borg, Bupstash]


def find(tool: type, hearth: Path | None) -> Tool | None:
    """The installed tool, or None."""
    path = hearth if tool is Hearth else shutil.which(tool.program)
    return tool(Path(path)) if path else None
