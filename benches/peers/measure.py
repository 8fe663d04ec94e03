"""Run one process and measure it as a whole; measure folders; compare trees."""

import ctypes
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CORES = len(os.sched_getaffinity(0))
LAUNCHER = Path(__file__).with_name("child.py")


@dataclass
class Command:
    """One process to run: its arguments, whole environment and folder."""

    argv: list
    env: dict
    cwd: Path | None = None


@dataclass
class Measurement:
    """What one step cost. Steps of several processes add up (`then`)."""

    wall: float = 0.0
    user: float = 0.0
    system: float = 0.0
    #: Peak resident bytes of the largest single process.
    rss: int = 0
    #: Processor seconds the rest of the machine used meanwhile.
    foreign: float = 0.0
    #: Apparent bytes of the repository afterwards, and how many were added.
    repository: int | None = None
    added: int | None = None
    #: Requests that the server answered, where they can be counted.
    requests: int | None = None
    #: Processor seconds that the server used meanwhile, if there is one.
    server: float | None = None

    @property
    def cpu(self) -> float:
        """User and system seconds of the process and its children."""
        return self.user + self.system

    @property
    def noisy(self) -> bool:
        """Whether something else used more than a twentieth of the machine."""
        return self.foreign > 0.05 * self.wall * CORES + 0.1

    def then(self, other: "Measurement") -> "Measurement":
        """Both one after the other."""
        return Measurement(
            self.wall + other.wall,
            self.user + other.user,
            self.system + other.system,
            max(self.rss, other.rss),
            self.foreign + other.foreign,
        )

    def as_json(self) -> dict:
        """All numbers, the derived ones as well."""
        return asdict(self) | {"cpu": self.cpu, "noisy": self.noisy}


class StepFailed(Exception):
    """A measured process ended with an error."""


def become_subreaper() -> None:
    """Adopt orphaned grandchildren, so that helpers are counted as well."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def busy_seconds() -> float:
    """Processor seconds used on the whole machine since it started."""
    with open("/proc/stat") as stat:
        values = [int(value) for value in stat.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = values
    return (user + nice + system + irq + softirq) / TICKS


def run(command: Command, log: Path) -> Measurement:
    """Run a process to its end; its output goes to `log`.

    The kernel reports processor time of the process and all children it waited
    for, and the peak resident size of the largest of them. The latter cannot be
    lower than the launcher's own size at the time of the fork (see `rss_floor`).
    """
    read_end, write_end = os.pipe()
    launcher = [sys.executable, "-I", "-S", LAUNCHER, str(write_end)]
    busy = busy_seconds()
    with open(log, "ab") as output:
        subprocess.run(
            launcher + [str(part) for part in command.argv],
            env=command.env,
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[write_end],
        )
    os.close(write_end)
    with open(read_end) as report:
        fields = report.read().split() or ["127", "0", "0", "0", "0"]
    code, wall, user, system, peak = int(fields[0]), *map(float, fields[1:])
    for orphan in wait_for_orphans():
        user, system, peak = user + orphan.ru_utime, system + orphan.ru_stime, max(peak, orphan.ru_maxrss)
    if code != 0:
        tail = log.read_text(errors="replace").strip().splitlines()[-5:]
        raise StepFailed(f"{Path(command.argv[0]).name} exited with {code}: " + " | ".join(tail))
    foreign = max(0.0, busy_seconds() - busy - user - system)
    return Measurement(wall, user, system, int(peak) * 1024, foreign)


#: Children that stay: a server that all tools use.
SERVERS = set()


def wait_for_orphans() -> list:
    """Resource use of helpers whose parent did not wait for them."""
    usages = []
    while orphans := children() - SERVERS:
        _, _, usage = os.wait4(orphans.pop(), 0)
        usages.append(usage)
    return usages


def children() -> set:
    """The processes whose parent this one is."""
    return {int(child) for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}


def rss_floor(log: Path) -> int:
    """The resident size reported for a process that needs almost nothing."""
    return run(Command(["true"], dict(os.environ)), log).rss


def wait_until_quiet(limit: float) -> None:
    """Wait until the machine idles for two seconds, at most `limit` seconds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        before = busy_seconds()
        time.sleep(2)
        if busy_seconds() - before < 0.1 * 2:
            return


def tree_size(root: Path) -> int:
    """Sum of the apparent sizes of all regular files below `root`."""
    total, folders = 0, [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def warm(root: Path) -> None:
    """Read every byte once, so that the page cache holds what fits."""
    buffer = bytearray(1 << 20)
    for folder, _, names in os.walk(root):
        for name in names:
            with open(os.path.join(folder, name), "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass


def find_restored(source: Path, target: Path) -> Path:
    """Where below `target` a tool put `source`: tools keep more or less path."""
    wanted = set(os.listdir(source))
    relative = str(source.resolve()).lstrip("/")
    for candidate in (target / relative, target / source.name, target):
        if candidate.is_dir() and set(os.listdir(candidate)) == wanted:
            return candidate
    raise StepFailed("the restored folder was not found in the target")


def verify(source: Path, target: Path) -> None:
    """Compare the restored tree with the source, content by content."""
    restored = find_restored(source, target)
    result = subprocess.run(["diff", "-rq", source, restored], capture_output=True, text=True)
    if result.returncode != 0:
        raise StepFailed("restored data differ: " + " | ".join(result.stdout.splitlines()[:3]))
