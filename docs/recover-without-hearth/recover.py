#!/usr/bin/env python3
"""Lists and restores hearth-backup snapshots without hearth-backup, from a repository in a directory.

  recover.py REPOSITORY KEY                              list the snapshots
  recover.py REPOSITORY KEY SNAPSHOT TARGET [PATH...]    restore one into TARGET, a new directory; or only PATHs of it

KEY is what opens the repository: an age identity file, an SSH private key, a plugin's identity file, or `-` for a
passphrase. SNAPSHOT is the beginning of an id, or `latest`. Needs Python 3.8 on Linux and the programs `age` and `zstd`.
It verifies no signature and no chunk id: it trusts whoever kept the repository. Exit status: 0 complete, 3 incomplete.
"""
import concurrent.futures, contextlib, functools, io, json, os, pathlib, stat, struct, subprocess, sys
from base64 import urlsafe_b64decode

TYPES = {"file": stat.S_IFREG, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "chardev": stat.S_IFCHR, "blockdev": stat.S_IFBLK}
problems = []

@contextlib.contextmanager
def tolerate(where):   # what is damaged costs itself only
    try:
        yield
    except Exception as error:
        problems.append(where)
        print(f"{os.fsdecode(where)}: {error}", file=sys.stderr)

def run(command, data, **more):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, **more).stdout

def raw(value):   # text, or bytes that are not UTF-8
    return urlsafe_b64decode(value["b64"] + "===") if isinstance(value, dict) else value.encode()

def u32(file):
    return struct.unpack("<I", file.read(4))[0]
def contents(file):   # of a pack: class, then id and sealed length of each block
    file.read(1)
    return [(file.read(32), u32(file)) for _ in range(u32(file))]

def split(data, magic):   # magic, length of the clear part, clear part, sealed part
    if data[:8] != magic:
        raise ValueError(f"it does not begin with {magic.decode()}: it is damaged, or of a newer format")
    end = 12 + u32(io.BytesIO(data[8:]))
    return data[12:end], data[end:]

class Repository:
    def __init__(self, top, key):
        self.top, self.places, self.chunks = pathlib.Path(top), {}, {}
        self.identity = os.memfd_create("identity")   # the content keys stay in memory
        newest = max((path for path in (self.top / "repo").iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
        for entry in json.loads(split(newest.read_bytes(), b"hbstmt01")[0][64:])["keys"]:
            with tolerate(f"key for {entry['recipient']}"):
                sealed = (self.top / "keys" / entry["id"]).read_bytes()
                os.write(self.identity, run(["age", "-d"] + ["-i", key] * (key != "-"), sealed))
                problems.clear()
                return
        sys.exit(f"{key} does not open this repository")

    def open(self, sealed):
        return run(["zstd", "-dc"], run(["age", "-d", "-i", f"/dev/fd/{self.identity}"], sealed, pass_fds=[self.identity]))

    def snapshots(self):   # id, clear envelope and payload of each
        for path in (self.top / "snapshots").iterdir():
            with tolerate(path):
                clear, sealed = split(path.read_bytes(), b"hbsnap01")
                yield path.name, json.loads(clear[64:]), json.loads(self.open(sealed))

    def add_pack(self, path, blocks):   # notes where blocks lie, if the pack is there
        offset = 8
        if path.exists() and path.stat().st_size == 25 + sum(36 + length for _, length in blocks):
            for block, length in blocks:
                self.places.setdefault(block, []).append((path, offset, length))
                offset += length

    def load(self, refs):   # learns which chunks the snapshot's blocks hold, and where these blocks lie
        refs = io.BytesIO(run(["zstd", "-dc"], (self.top / "refs" / refs).read_bytes()[8:]))
        for _ in range(u32(refs)):
            index, count = self.top / "index" / refs.read(32).hex(), u32(refs)
            needed = int.from_bytes(refs.read((count + 7) // 8), "little")   # a bitmap, lowest bit first
            with tolerate(index):
                clear, sealed = split(index.read_bytes(), b"hbindx01")
                clear, lists = io.BytesIO(clear), io.BytesIO(self.open(sealed))
                for _ in range(u32(clear)):
                    pack, blocks = clear.read(32).hex(), contents(clear)
                    self.add_pack(self.top / "packs" / pack[:2] / pack, blocks)
                    for block, _ in blocks:
                        count = len(lists.read(4 * u32(lists))) // 4   # lengths of chunks, then 20 bytes of each id
                        for rank, prefix in enumerate([lists.read(20) for _ in range(count)] * (needed & 1)):
                            self.chunks.setdefault(prefix, []).append((block, rank))
                        needed >>= 1
        if any(block not in self.places for places in self.chunks.values() for block, _ in places):
            for pack in (self.top / "packs").glob("*/*"):   # prune moved it: every pack lists its own blocks
                with tolerate(pack), pack.open("rb") as file:
                    file.seek(-12, 2)
                    file.seek(-12 - u32(file), 2)
                    self.add_pack(pack, contents(file))

    @functools.lru_cache(maxsize=64)
    def block(self, block):   # the chunks in it
        for path, offset, length in self.places.get(block, []):
            with tolerate(f"block {block.hex()[:8]} in {path}"), path.open("rb") as file:
                file.seek(offset)
                plain = io.BytesIO(self.open(file.read(length)))
                return [plain.read(size) for size in [u32(plain) for _ in range(u32(plain))]]
        raise ValueError(f"no pack holds block {block.hex()[:8]} whole")

    def find(self, chunk):   # the blocks that claim to hold it, and its rank in each
        return self.chunks.get(raw({"b64": chunk})[:20]) or [(b"", 0)]
    def chunk(self, chunk, length):
        for block, rank in self.find(chunk):
            with tolerate(f"chunk {chunk}"):
                found = self.block(block)[rank]
                if len(found) == length:
                    return found
        raise ValueError(f"chunk {chunk} is lost")

    def elements(self, items, depth=6):   # chunks and holes, through list nodes
        for item in items:
            nested = isinstance(item, dict) and "list" in item and depth
            yield from self.elements(json.loads(self.chunk(*item["list"])), depth - 1) if nested else [item]

    def walk(self, root, wanted):   # paths and entries, directories before what is in them
        stack = [(b"", root)]
        while stack:
            path, pages = stack.pop()
            with tolerate(path or b"/"):
                for page in self.elements(pages):
                    with tolerate(path or b"/"):   # a lost page costs only what it lists
                        for entry in json.loads(self.chunk(*page)):
                            name, here = raw(entry["name"]), path + b"/" + raw(entry["name"])
                            if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
                                raise ValueError(f"{name} is no name")
                            if any((here + b"/").startswith(want) or want.startswith(here + b"/") for want in wanted):
                                yield here, entry
                                stack += [(here, entry["content"])] if entry["type"] == "dir" else []

def set_metadata(path, entry):
    mtime, root = entry["mtime"][0] * 10**9 + entry["mtime"][1], os.geteuid() == 0
    mode = entry["mode"] if root or entry["uid"] == os.geteuid() else entry["mode"] & 0o1777
    xattrs = sorted(([raw(part) for part in xattr] for xattr in entry.get("xattrs", [])), key=lambda xattr: xattr[0] < b"t")
    steps = [(os.lchown, entry["uid"], entry["gid"])] * root   # first, as it clears setuid bits and capabilities
    steps += [(functools.partial(os.setxattr, follow_symlinks=False), *xattr) for xattr in xattrs]   # access lists last
    steps += [(os.chmod, mode)] * (entry["type"] != "symlink")
    for step, *arguments in steps + [(functools.partial(os.utime, ns=(mtime, mtime), follow_symlinks=False),)]:
        with tolerate(path):
            step(path, *arguments)

def restore(repository, root, target, wanted):
    os.mkdir(target, 0o700)
    made, links, later, kept, wants = {target}, {}, [], [], {}
    for path, entry in repository.walk(root, wanted):
        here, kind, link = target + path, entry["type"], str(entry.get("link", path))
        with tolerate(here):
            if os.path.dirname(here) not in made:   # so nothing is ever written through a symbolic link
                raise ValueError("its directory could not be made")
            if links.setdefault(link, here) != here:
                later.append((links[link], here))
            elif kind == "dir":
                os.mkdir(here, 0o700)
                made.add(here)
            elif kind == "symlink":
                os.symlink(raw(entry["target"]), here)
            else:
                os.mknod(here, 0o600 | TYPES[kind], os.makedev(*entry.get("device", (0, 0))))
            kept += [(here, {**entry, "content": None})] * (links[link] == here)   # never of a further name
            if kind == "file" and links[link] == here:
                os.truncate(here, entry["size"])
                offset = 0
                for item in repository.elements(entry["content"]):
                    if isinstance(item, list):
                        wants.setdefault(repository.find(item[0])[0][0], []).append((here, offset, item))
                    offset += item[1] if isinstance(item, list) else item["hole"]
    blocks = sorted(wants, key=lambda block: repository.places.get(block, [(pathlib.Path(), 0)])[0][:2])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for some in (blocks[start:start + 32] for start in range(0, len(blocks), 32)):   # each block is opened once
            concurrent.futures.wait([pool.submit(repository.block, block) for block in some])
            for here, offset, item in (want for block in some for want in wants[block]):
                with tolerate(here), open(here, "r+b", 0) as file:
                    os.pwrite(file.fileno(), repository.chunk(*item), offset)
    for first, second in later:
        with tolerate(second):
            os.link(first, second, follow_symlinks=False)
    for here, entry in reversed(kept):
        set_metadata(here, entry)

def main(top, key, wanted=None, target=None, *paths):
    repository = Repository(top, key)
    for name, envelope, payload in sorted(repository.snapshots(), key=lambda found: found[1]["finished"], reverse=True):
        committed = (repository.top / "commits" / name).exists()
        if target is None:
            labels = [payload["host"], payload["job"] or "-", b" ".join(map(raw, payload["paths"])).decode(errors="replace")]
            print(name[:12], envelope["finished"][:19], *labels, *payload["tags"], "" if committed else "(incomplete)")
        elif name.startswith(wanted) or wanted == "latest" and committed:
            repository.load(envelope["refs"])
            wanted = [b"/" + os.fsencode(path).strip(b"/") + b"/" for path in paths if path.strip("/")] or [b"/"]
            restore(repository, payload["root"], os.fsencode(os.path.abspath(target)), wanted)
            return print(f"restored snapshot {name[:12]}, with {len(problems)} problems")
    if target is not None:
        sys.exit(f"there is no snapshot {wanted}")

main(*sys.argv[1:]) if len(sys.argv) == 3 or len(sys.argv) > 4 else sys.exit(__doc__.strip())
sys.exit(3 if problems else 0)
