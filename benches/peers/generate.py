#!/usr/bin/env python3
"""Make the benchmark data, the same bytes every time for the same inputs.

Every workload is one folder below the data folder, with a manifest beside it
(`<name>.json`) that states what went in, how many files and bytes came out,
and one digest over all names and contents. A folder whose manifest matches the
wanted specification is used again as it is.

    generate.py --data DIR [--quick] [--source DIR]... WORKLOAD...

Randomness comes only from SHAKE-128 and from `random.Random(seed).random()` and
`.getrandbits()`, whose sequences Python keeps stable between versions.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import struct
import sys
import tarfile
from pathlib import Path

#: Raise this when a generator changes what it writes: old folders are rebuilt.
VERSION = 3

#: No file bigger than this is copied into a workload.
LARGEST = 64 << 20

#: Sizes at full scale. `--quick` divides counts and bytes by QUICK_DIVISOR.
QUICK_DIVISOR = 20
SPECS = {
    "small": {"files": 42_685, "bytes": 590_000_000, "second_version_percent": 28},
    "random": {"files": 24, "bytes": 1_600_000_000},
    "dump": {"bytes": 690_000_000, "changed_percent": 1, "places": 200},
    "many": {
        "source_files": 75_000,
        "source_bytes": 900_000_000,
        "variant_files": 75_000,
        "binary_files": 10_945,
        "binary_bytes": 1_600_000_000,
    },
    "retention": {"bytes": 256 << 20},
}
#: Numbers in SPECS that --quick leaves alone.
UNSCALED = {("small", "second_version_percent"), ("random", "files"), ("dump", "changed_percent"), ("dump", "places")}

#: Where real text is looked for when no kernel source package is installed.
TEXT_TREES = [
    "~/.cargo/registry/src",
    "~/.rustup/toolchains",
    "/usr/include",
    "/usr/lib/python3",
    "/usr/share/doc",
    "/usr/share/perl",
]
TEXT_SUFFIXES = {
    ".c", ".cc", ".cpp", ".css", ".go", ".h", ".hpp", ".html", ".java", ".js",
    ".json", ".md", ".pl", ".pm", ".py", ".rs", ".rst", ".sh", ".toml", ".ts",
    ".txt", ".xml", ".yaml", ".yml",
}
#: Where real binaries are looked for (any file with a NUL in its first 8 KiB).
BINARY_TREES = ["/usr/bin", "/usr/lib", "/usr/libexec", "/usr/sbin", "/usr/share", "~/.rustup/toolchains"]
#: Subsystems of a kernel tree taken first, so that small files of `arch/` and
#: device-tree bindings do not push the mean file size down.
KERNEL_FIRST = ["drivers", "fs", "include", "kernel", "lib", "mm", "net", "sound"]


def specification(workload: str, quick: bool) -> dict:
    """The sizes of one workload, scaled down for --quick."""
    spec = dict(SPECS[workload])
    if quick:
        for key, value in spec.items():
            if (workload, key) not in UNSCALED:
                spec[key] = value // QUICK_DIVISOR
    return spec


def workload_folder(data: Path, workload: str, quick: bool) -> Path:
    """Where a workload lives below the data folder."""
    return data / (f"quick-{workload}" if quick else workload)


# --- deterministic bytes and text -------------------------------------------


def random_bytes(label: str, count: int) -> bytes:
    """`count` incompressible bytes that depend on `label` only."""
    return hashlib.shake_128(label.encode()).digest(count)


def write_random(path: Path, label: str, count: int) -> None:
    """Write `count` incompressible bytes in 4 MiB pieces."""
    piece = 4 << 20
    with open(path, "wb") as out:
        for index in range(0, count, piece):
            out.write(random_bytes(f"{label} {index}", min(piece, count - index)))


def pick(rng: random.Random, items: list):
    """One item, every item as likely."""
    return items[int(rng.random() * len(items))]


def pick_early(rng: random.Random, items: list):
    """One item, early ones far more likely (a rough Zipf law)."""
    return items[int(len(items) ** rng.random()) - 1]


def make_words(seed: str, count: int) -> list:
    """Pronounceable made-up words, short ones first."""
    rng = random.Random(seed)
    onsets = "b c d f g h j k l m n p r s t v w st tr pl ch sh br gr".split()
    vowels = "a e i o u ai ea ou io".split()
    codas = ["", "", "", "n", "r", "s", "t", "l", "nd", "st"]
    words = set()
    while len(words) < count:
        syllables = 1 + int(rng.random() * 3)
        words.add("".join(pick(rng, onsets) + pick(rng, vowels) + pick(rng, codas) for _ in range(syllables)))
    return sorted(words, key=lambda word: (len(word), word))


WORDS = make_words("words", 6000)


def synthetic_source(seed: str, size: int) -> bytes:
    """Text that looks like C to a compressor; used where real source is short."""
    rng = random.Random(seed)
    local = [pick(rng, WORDS) for _ in range(60)]
    templates = [
        "\tif ({0}->{1} == {2})\n\t\treturn -{3};\n",
        "static int {0}_{1}(struct {0} *{2}, int {3})\n{{\n",
        "\t{0}->{1} = {2}_{3}({0}, {n});\n",
        "}}\n\n/* {0} the {1} before the {2} is {3} */\n",
        "#define {0}_{1}\t0x{n:08x}\n",
        "\tfor (i = 0; i < {0}->{1}; i++)\n\t\t{2}({3}[i]);\n",
        "\tdev_err({0}->dev, \"{1} {2} failed: %d\\n\", {3});\n",
    ]
    parts, length = [], 0
    while length < size:
        names = [pick_early(rng, local) for _ in range(4)]
        part = pick(rng, templates).format(*names, n=rng.getrandbits(12))
        parts.append(part)
        length += len(part)
    return "".join(parts).encode()[:size]


def synthetic_binary(seed: str, size: int) -> bytes:
    """Records, string tables and noise; used where real binaries are short."""
    rng = random.Random(seed)
    parts, length, counter = [], 0, rng.getrandbits(24)
    while length < size:
        kind = rng.random()
        if kind < 0.5:
            part = b"".join(struct.pack("<IIHH", counter + 24 * i, i * 8, rng.getrandbits(6), 1) for i in range(200))
            counter += 4800
        elif kind < 0.8:
            part = b"\0".join(pick_early(rng, WORDS).encode() for _ in range(300))
        else:
            part = random_bytes(f"{seed} {length}", 2000)
        parts.append(part)
        length += len(part)
    return b"".join(parts)[:size]


# --- real files to draw from --------------------------------------------------


class Pool:
    """Candidate files in a fixed order: (name in the workload, real path, size)."""

    def __init__(self):
        self.files = []
        self.origins = []

    def add(self, origin: str, files: list) -> None:
        """Append `files`, remembering how many came from `origin`."""
        if files:
            self.files += files
            self.origins.append(f"{origin}: {len(files)} files")

    def select(self, count: int, total: int) -> list:
        """`count` files, in pool order, that sum to about `total` bytes.

        Too big a sum is lowered by leaving out files above a cap, too small a
        one is raised by leaving out files below a floor, either found by
        bisection. With too few files all of them are taken.
        """
        everything = self._between(0, LARGEST, count)
        if len(everything) < count:
            return everything
        too_big = byte_sum(everything) > total
        low, high = 0, LARGEST
        while high - low > 64:
            middle = (low + high) // 2
            chosen = self._between(0, middle, count) if too_big else self._between(middle, LARGEST, count)
            if too_big:
                above = len(chosen) == count and byte_sum(chosen) > total
            else:
                above = len(chosen) < count or byte_sum(chosen) > total
            low, high = (low, middle) if above else (middle, high)
        return self._between(0, high, count) if too_big else self._between(low, LARGEST, count)

    def _between(self, floor: int, cap: int, count: int) -> list:
        chosen = []
        for entry in self.files:
            if floor <= entry[2] <= cap:
                chosen.append(entry)
                if len(chosen) == count:
                    break
        return chosen


def byte_sum(files: list) -> int:
    """How many bytes some pool files have."""
    return sum(size for _, _, size in files)


def shuffled(files: list) -> list:
    """Pool files in a fixed order that has nothing to do with their folders."""
    return sorted(files, key=lambda entry: hashlib.blake2b(entry[0].encode(errors="surrogateescape")).digest())


def walk_files(root: Path):
    """Regular files below `root` as (relative path, path, size), in path order."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            yield os.path.relpath(path, root), path, os.path.getsize(path)


def content_digest(path: str) -> bytes:
    """A digest of one file's content."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.digest()


def kernel_source(data: Path):
    """The unpacked kernel source package, or None when it is not installed."""
    archives = sorted(Path("/usr/src").glob("linux-source-*.tar.xz"))
    if not archives:
        return None
    folder = data / "corpus" / archives[-1].name.removesuffix(".tar.xz")
    if not folder.exists():
        print(f"unpacking {archives[-1].name}", file=sys.stderr)
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(archives[-1], "r|xz") as archive:
            for member in archive:
                if member.isfile():
                    archive.extract(member, partial, set_attrs=False)
        inner = [entry for entry in partial.iterdir() if entry.is_dir()]
        (inner[0] if len(inner) == 1 else partial).rename(folder)
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def kernel_files(folder: Path) -> list:
    """Files of a kernel tree, the big subsystems first."""
    files = list(walk_files(folder))
    first = set(KERNEL_FIRST)
    return sorted(files, key=lambda entry: (entry[0].split("/")[0] not in first, entry[0]))


def tree_files(roots: list, wanted, skip: set) -> list:
    """Files of several trees that `wanted` accepts, each content only once."""
    files = []
    for root in roots:
        folder = Path(root).expanduser()
        prefix = "-".join(part for part in Path(root.lstrip("~")).parts if part != "/").replace(".", "")
        for name, path, size in walk_files(folder):
            if not 0 < size <= LARGEST or not wanted(path):
                continue
            try:
                digest = content_digest(path)
            except OSError:
                continue
            if digest not in skip:
                skip.add(digest)
                files.append((f"{prefix}/{name}", path, size))
    return files


def is_text(path: str) -> bool:
    """Whether the file's name says it is source or documentation text."""
    return os.path.splitext(path)[1] in TEXT_SUFFIXES


def is_binary(path: str) -> bool:
    """Whether the file has a NUL byte near its start."""
    try:
        with open(path, "rb") as file:
            return b"\0" in file.read(8192)
    except OSError:
        return False


def source_pool(data: Path, given: list, count: int) -> Pool:
    """Source files: given folders, else the kernel package, topped up locally."""
    pool = Pool()
    for number, folder in enumerate(given):
        pool.add(f"given folder {number + 1}", list(walk_files(Path(folder).expanduser())))
    if not given and (kernel := kernel_source(data)):
        pool.add(f"package {kernel.name}", kernel_files(kernel))
    if len(pool.files) < count:
        pool.add("local source and documentation trees", tree_files(TEXT_TREES, is_text, set()))
    return pool


# --- writing ------------------------------------------------------------------


class Tree:
    """Writes files below a folder and keeps the digest of what was written."""

    def __init__(self, root: Path):
        self.root = root
        self.count = 0
        self.bytes = 0
        self._digest = hashlib.blake2b(digest_size=16)

    def write(self, name: str, content: bytes) -> None:
        """Write one file, with an old and repeatable modification time."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.record(name, len(content), hashlib.blake2b(content, digest_size=16).digest())

    def record(self, name: str, size: int, digest: bytes) -> None:
        """Count a file that is already in place and date it."""
        moment = 1_700_000_000 + int.from_bytes(digest[:3], "big")
        os.utime(self.root / name, (moment, moment))
        self._digest.update(f"{name}\0{size}\0".encode(errors="surrogateescape") + digest)
        self.count += 1
        self.bytes += size

    def manifest(self, origins: list) -> dict:
        """What was written."""
        return {"files": self.count, "bytes": self.bytes, "digest": self._digest.hexdigest(), "origins": origins}


def copy_selection(tree: Tree, prefix: str, chosen: list, change=None) -> None:
    """Copy chosen pool files below `prefix`, optionally changing each content."""
    for name, path, _ in chosen:
        content = Path(path).read_bytes()
        tree.write(f"{prefix}/{name}", change(name, content) if change else content)


def top_up(tree: Tree, prefix: str, make, missing: int, total: int) -> list:
    """Write `missing` synthetic files of about `total` bytes; say so."""
    if missing <= 0:
        return []
    rng = random.Random(prefix)
    mean = max(total, missing) / missing
    for index in range(missing):
        size = max(1, int(4 * mean * rng.random() * rng.random()))  # skewed; its mean is `mean`
        tree.write(f"{prefix}/synthetic-{index // 100:04}/file-{index:06}", make(f"{prefix} {index}", size))
    return [f"synthetic below {prefix}: {missing} files"]


def vary(name: str, content: bytes) -> bytes:
    """A variant of a source file that no whole-file or chunk match can join.

    Frequent short words get a per-file twin, so the text compresses as before
    and differs every few lines.
    """
    mark = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=4).hexdigest()
    letter = b"abcdefghijklmnopqrstuvwxyz"[int(mark, 16) % 26 :][:1]
    for word in (b"ret", b"dev", b"the", b"int", b"self", b"if "):
        content = content.replace(word, word.rstrip() + letter + word[len(word.rstrip()) :])
    return b"/* " + mark.encode() + b" */\n" + content


def edit(name: str, content: bytes) -> bytes:
    """The next version of a file: one in five has up to three lines changed."""
    rng = random.Random(name.encode(errors="surrogateescape"))
    if rng.random() < 0.8:
        return content
    lines = content.splitlines(keepends=True)
    for _ in range(min(3, len(lines))):
        lines[int(rng.random() * len(lines))] = f"/* {pick(rng, WORDS)} {rng.getrandbits(20)} */\n".encode()
    return b"".join(lines)


# --- the workloads ------------------------------------------------------------


def generate_small(folder: Path, spec: dict, data: Path, sources: list) -> dict:
    """Many small source files, some of them in two versions."""
    tree = Tree(folder)
    twice = spec["files"] * spec["second_version_percent"] // 100
    once, share = spec["files"] - twice, 1 - spec["second_version_percent"] / 100
    pool = source_pool(data, sources, once)
    chosen = pool.select(once, int(spec["bytes"] * share))
    copy_selection(tree, "src", chosen)
    missing = once - len(chosen)
    pool.origins += top_up(tree, "synthetic", synthetic_source, missing, int(spec["bytes"] * share) - tree.bytes)

    again = Pool()
    again.files = chosen
    twins = again.select(twice, spec["bytes"] - tree.bytes)
    copy_selection(tree, "src-next", twins, edit)
    pool.origins.append(f"second versions of some of them: {len(twins)} files")
    missing = twice - len(twins)
    pool.origins += top_up(tree, "synthetic-next", synthetic_source, missing, spec["bytes"] - tree.bytes)
    return tree.manifest(pool.origins)


def generate_random(folder: Path, spec: dict, _data: Path, _sources: list) -> dict:
    """A few big files that neither compress nor deduplicate."""
    tree = Tree(folder)
    rng = random.Random("random sizes")
    weights = [0.2 + rng.random() for _ in range(spec["files"])]
    folder.mkdir(parents=True)
    for index, weight in enumerate(weights):
        size = int(spec["bytes"] * weight / sum(weights))
        name = f"random-{index:02}.bin"
        write_random(folder / name, name, size)
        tree.record(name, size, content_digest(str(folder / name)))
    return tree.manifest(["SHAKE-128"])


class DumpRows:
    """Rows of a made-up shop database, as `pg_dump` writes them."""

    #: Method that makes a row, share of all rows, and head of the table.
    TABLES = [
        ("customer", 0.2, "customers (id, key, name, email, phone, street, city, created_at, updated_at, balance)"),
        ("order", 0.3, "orders (id, customer_id, key, status, total, currency, created_at, updated_at, note)"),
        ("event", 0.35, "events (id, at, session, address, agent, path, status, duration)"),
        ("message", 0.15, "messages (id, customer_id, at, subject, body)"),
    ]
    AGENTS = [
        f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
        for system in ("X11; Linux x86_64", "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7")
        for version in range(100, 121)
    ]

    def __init__(self, seed: str):
        self.rng = random.Random(seed)
        self.first = [word.capitalize() for word in WORDS[200:1400]]
        self.last = [word.capitalize() for word in WORDS[1400:5400]]

    def moment(self, base: int) -> str:
        """A timestamp within a year after `base` days."""
        r = self.rng.random
        return (
            f"2024-{1 + int(r() * 12):02}-{1 + (base + int(r() * 28)) % 28:02} "
            f"{int(r() * 24):02}:{int(r() * 60):02}:{int(r() * 60):02}.{self.rng.getrandbits(19):06}+00"
        )

    def uuid(self) -> str:
        """A random UUID."""
        text = f"{self.rng.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def text(self, low: int, high: int) -> str:
        """A sentence of `low` to `high` words."""
        count = low + int(self.rng.random() * (high - low))
        return " ".join(pick_early(self.rng, WORDS) for _ in range(count))

    def customer(self, index: int) -> str:
        """One row of customers."""
        rng = self.rng
        first, last = pick_early(rng, self.first), pick_early(rng, self.last)
        return (
            f"{index}\t{self.uuid()}\t{first} {last}"
            f"\t{first.lower()}.{last.lower()}{rng.getrandbits(7)}@{pick(rng, WORDS[:50])}.example"
            f"\t+49 {rng.getrandbits(10)} {rng.getrandbits(23)}"
            f"\t{pick_early(rng, self.last)} Street {rng.getrandbits(7)}\t{pick_early(rng, self.last)}"
            f"\t{self.moment(1)}\t{self.moment(2)}\t{rng.getrandbits(14)}.{rng.getrandbits(6):02}\n"
        )

    def order(self, index: int) -> str:
        """One row of orders."""
        rng = self.rng
        status = ("paid", "shipped", "delivered", "returned")[rng.getrandbits(2)]
        note = self.text(2, 9) if rng.random() < 0.3 else "\\N"
        return (
            f"{index}\t{rng.getrandbits(19)}\t{self.uuid()}\t{status}\t{rng.getrandbits(10)}.{rng.getrandbits(6):02}"
            f"\tEUR\t{self.moment(3)}\t{self.moment(4)}\t{note}\n"
        )

    def event(self, index: int) -> str:
        """One row of events."""
        rng = self.rng
        address = f"10.{rng.getrandbits(8)}.{rng.getrandbits(8)}.{rng.getrandbits(8)}"
        return (
            f"{index}\t{self.moment(5)}\t{rng.getrandbits(128):032x}\t{address}\t{pick_early(rng, self.AGENTS)}"
            f"\t/{pick_early(rng, WORDS)}/{pick_early(rng, WORDS)}/{rng.getrandbits(16)}\t200\t{rng.getrandbits(10)}\n"
        )

    def message(self, index: int) -> str:
        """One row of messages."""
        return f"{index}\t{self.rng.getrandbits(19)}\t{self.moment(6)}\t{self.text(3, 8)}\t{self.text(20, 110)}\n"


#: Mean bytes of a row over all tables, measured; only the total size depends on it.
MEAN_ROW = 208


def changed_runs(rows: int, percent: int, places: int) -> list:
    """Half-open row ranges: `places` runs that make up `percent` of `rows`."""
    length = max(1, rows * percent // 100 // places)
    slot = rows // places
    rng = random.Random("changed runs")
    starts = [slot * place + int(rng.random() * (slot - length)) for place in range(places)]
    return [(start, start + length) for start in starts]


def generate_dump(folder: Path, spec: dict, _data: Path, _sources: list) -> dict:
    """A database dump, and the same dump a day later."""
    rows = spec["bytes"] // MEAN_ROW
    runs = changed_runs(rows, spec["changed_percent"], spec["places"])
    today, tomorrow = DumpRows("dump day 1"), DumpRows("dump day 2")
    for day in ("day1", "day2"):
        (folder / day).mkdir(parents=True)
    number, run = 0, 0
    with open(folder / "day1/dump.sql", "w") as old, open(folder / "day2/dump.sql", "w") as new:
        for kind, share, head in DumpRows.TABLES:
            old_row, new_row = getattr(today, kind), getattr(tomorrow, kind)
            for out in (old, new):
                out.write(f"COPY public.{head} FROM stdin;\n")
            for index in range(1, int(rows * share) + 1):
                row = old_row(index)
                old.write(row)
                while run < len(runs) and number >= runs[run][1]:
                    run += 1
                changed = run < len(runs) and number >= runs[run][0]
                new.write(new_row(index) if changed else row)
                number += 1
            for out in (old, new):
                out.write("\\.\n\n")
    tree = Tree(folder)
    for name in ("day1/dump.sql", "day2/dump.sql"):
        tree.record(name, os.path.getsize(folder / name), content_digest(str(folder / name)))
    manifest = tree.manifest([f"{number} synthetic rows, {sum(b - a for a, b in runs)} changed in {len(runs)} places"])
    manifest.update(files=1, bytes=os.path.getsize(folder / "day1/dump.sql"))
    return manifest


def generate_many(folder: Path, spec: dict, data: Path, sources: list) -> dict:
    """A whole-system mix: source files, variants of them, and binaries."""
    tree = Tree(folder)
    pool = source_pool(data, sources, spec["source_files"])
    chosen = pool.select(spec["source_files"], spec["source_bytes"])
    copy_selection(tree, "src", chosen)
    missing = spec["source_files"] - len(chosen)
    pool.origins += top_up(tree, "synthetic", synthetic_source, missing, spec["source_bytes"] - tree.bytes)

    variants = chosen[: spec["variant_files"]]
    copy_selection(tree, "variant", variants, vary)
    pool.origins.append(f"variants of the source files: {len(variants)} files")
    missing = spec["variant_files"] - len(variants)
    pool.origins += top_up(tree, "synthetic-variant", synthetic_source, missing, missing * 12_000)

    binaries = Pool()
    binaries.add("local binaries", shuffled(tree_files(BINARY_TREES, is_binary, set())))
    chosen, before = binaries.select(spec["binary_files"], spec["binary_bytes"]), tree.bytes
    copy_selection(tree, "bin", chosen)
    missing = spec["binary_files"] - len(chosen)
    left = spec["binary_bytes"] - (tree.bytes - before)
    binaries.origins += top_up(tree, "synthetic-bin", synthetic_binary, missing, left)
    return tree.manifest(pool.origins + binaries.origins)


def generate_retention(folder: Path, spec: dict, _data: Path, _sources: list) -> dict:
    """The first day of the retention workload: one random file."""
    tree = Tree(folder)
    folder.mkdir(parents=True)
    write_random(folder / "disk.img", "retention", spec["bytes"])
    tree.record("disk.img", spec["bytes"], content_digest(str(folder / "disk.img")))
    return tree.manifest(["SHAKE-128"])


GENERATORS = {
    "small": generate_small,
    "random": generate_random,
    "dump": generate_dump,
    "many": generate_many,
    "retention": generate_retention,
}


def sources_mark(sources: list) -> str:
    """Stands for the given source folders in a manifest, which holds no paths."""
    return hashlib.blake2b("\0".join(sources).encode(), digest_size=8).hexdigest() if sources else "none"


def ensure(data: Path, workload: str, quick: bool, sources: list) -> dict:
    """Generate a workload unless its folder is there already; its manifest."""
    folder = workload_folder(data, workload, quick)
    spec = specification(workload, quick)
    wanted = {"version": VERSION, "spec": spec, "given_sources": sources_mark(sources)}
    record = folder.with_name(folder.name + ".json")
    if folder.exists() and record.exists():
        manifest = json.loads(record.read_text())
        if all(manifest.get(key) == value for key, value in wanted.items()):
            return manifest
    print(f"generating {folder.name}", file=sys.stderr)
    record.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    manifest = wanted | GENERATORS[workload](folder, spec, data, sources)
    record.write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description="Make the benchmark data.")
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the size")
    parser.add_argument("--source", action="append", default=[], help="take source files from this folder")
    parser.add_argument("workload", nargs="+", choices=sorted(GENERATORS))
    options = parser.parse_args()
    for workload in options.workload:
        ensure(options.data, workload, options.quick, options.source)


if __name__ == "__main__":
    main()
