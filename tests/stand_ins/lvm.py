#!/usr/bin/env python3
"""Plays lvs, lvcreate and lvremove (format of LVM 2.03.16) with loop devices in the place of logical volumes: state.json holds
{"volumes": [{"vg", "lv", "device", "image", "attr", "origin", "pool", "filled"}]}. A snapshot is a copy of the image, taken
while the filesystem on it is frozen, as the kernel does it."""
import json
import os
import subprocess
import sys

program, words = os.path.basename(sys.argv[0]), sys.argv[1:]
home = os.environ["STAND_IN"]
with open(f"{home}/asked", "a") as asked:
    asked.write(" ".join([program] + words) + "\n")
with open(f"{home}/state.json") as file:
    state = json.load(file)


def save():
    with open(f"{home}/state.json", "w") as out:
        json.dump(state, out)


def find(full):
    found = [one for one in state["volumes"] if f"{one['vg']}/{one['lv']}" == full]
    return found[0] if found else sys.exit(f'  Failed to find logical volume "{full}"')


def row(one):
    numbers = os.stat(one["device"]).st_rdev
    return {
        "vg_name": one["vg"], "lv_name": one["lv"], "lv_path": one["device"], "lv_dm_path": "/dev/mapper/none",
        "lv_attr": one["attr"], "origin": one["origin"], "pool_lv": one["pool"], "lv_kernel_major": str(os.major(numbers)),
        "lv_kernel_minor": str(os.minor(numbers)), "snap_percent": one["filled"],
    }


def value(option):
    return words[words.index(option) + 1] if option in words else None


if program == "lvs":
    wanted = value("--options").split(",")
    chosen = [find(words[-1])] if "/" in words[-1] else state["volumes"]
    rows = [{field: row(one)[field] for field in wanted} for one in chosen]
    print(json.dumps({"report": [{"lv": rows}], "log": []}))
elif program == "lvcreate":
    origin, name = find(words[-1]), value("--name")
    assert "--snapshot" in words
    thin = bool(origin["pool"])
    if thin and value("--setactivationskip") != "n":
        sys.exit("  the snapshot would have no device")
    if not thin and not (value("--extents") or value("--size")):
        sys.exit("  Please specify either size or extents with snapshots.")
    image = f"{home}/{name}.img"
    with open("/proc/self/mountinfo") as table:
        mounts = [line.split()[4] for line in table if f" {origin['device']} " in line]
    # It is mounted once only: to freeze it twice would wait forever.
    for point in mounts[:1]:
        subprocess.run(["fsfreeze", "--freeze", point], check=True)
    try:
        subprocess.run(["cp", "--sparse=always", origin["image"], image], check=True)
    finally:
        for point in mounts[:1]:
            subprocess.run(["fsfreeze", "--unfreeze", point], check=True)
    device = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
    filled = "" if thin else state.get("filled", "1.25")
    attr = "Vwi-a-tz--" if thin else ("swi-I-s---" if filled == "100.00" else "swi-a-s---")
    state["volumes"].append({"vg": origin["vg"], "lv": name, "device": device, "image": image, "attr": attr, "origin": origin["lv"],
                             "pool": origin["pool"], "filled": filled})
    save()
elif program == "lvremove":
    one = find(words[-1])
    with open("/proc/self/mountinfo") as table:
        if any(f" {one['device']} " in line for line in table):
            sys.exit(f"  Logical volume {words[-1]} contains a filesystem in use.")
    subprocess.run(["losetup", "--detach", one["device"]], check=True)
    os.remove(one["image"])
    state["volumes"].remove(one)
    save()
