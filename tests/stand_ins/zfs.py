#!/usr/bin/env python3
"""Plays zfs (format of OpenZFS 2.2, `-H -p`): state.json holds {"datasets": {name: mount point}}. A snapshot is a copy under
`.zfs/snapshot` of the mount point."""
import json
import os
import shutil
import subprocess
import sys

words = sys.argv[1:]
home = os.environ["STAND_IN"]
with open(f"{home}/asked", "a") as asked:
    asked.write("zfs " + " ".join(words) + "\n")
with open(f"{home}/state.json") as file:
    datasets = json.load(file)["datasets"]


def folder(snapshot):
    dataset, name = snapshot.split("@")
    if dataset not in datasets:
        sys.exit(f"cannot open '{dataset}': dataset does not exist")
    return f"{datasets[dataset]}/.zfs/snapshot/{name}"


def kept(dataset):
    place = f"{datasets[dataset]}/.zfs/snapshot"
    return sorted(os.listdir(place)) if os.path.isdir(place) else []


if words[0] == "list" and words[words.index("-t") + 1] == "filesystem":
    print("".join(f"{name}\t{point}\n" for name, point in datasets.items()), end="")
elif words[0] == "list":
    print("".join(f"{name}@{one}\n" for name in words[words.index("-d") + 2:] for one in kept(name)), end="")
elif words[0] == "snapshot":
    for snapshot in words[1:]:
        target = folder(snapshot)
        os.makedirs(target)
        source = datasets[snapshot.split("@")[0]]
        for entry in os.listdir(source):
            if entry != ".zfs":
                subprocess.run(["cp", "--archive", "--one-file-system", f"{source}/{entry}", target], check=True)
elif words[0] == "destroy" and "@" in words[-1]:
    shutil.rmtree(folder(words[-1]))
else:
    sys.exit(f"unexpected: zfs {' '.join(words)}")
