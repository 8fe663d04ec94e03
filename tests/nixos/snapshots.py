machine.wait_for_unit("multi-user.target")
make_repository(machine)
machine.succeed(
    "mkfs.btrfs -q /dev/vdb && mkdir -p /data && mount /dev/vdb /data && btrfs subvolume create /data/app",
    "head -c 60M /dev/urandom > /data/app/large && echo before > /data/app/word",
    "echo 0 > /data/app/generation && systemctl start writer.service",
)

with subtest("services stand still only until the snapshot is made"):
    machine.succeed("systemctl start --no-block hearth-backup-state.service")
    read = "awk '/^rchar/ { print $2 }' /proc/$(systemctl show --value --property=MainPID hearth-backup-state.service)/io"
    machine.wait_until_succeeds(f"test $({read}) -gt 10000000", timeout=60)
    machine.require_unit_state("writer.service")
    machine.succeed("echo after > /data/app/word")
    machine.wait_until_succeeds("test $(systemctl is-active hearth-backup-state.service) != activating", timeout=120)
    assert machine.get_unit_property("hearth-backup-state.service", "Result") == "success"

with subtest("the backup is of one moment"):
    assert machine.succeed(f"hearth-backup dump latest /data/app/word {RESTORE}") == "before\n"
    machine.succeed(f"hearth-backup dump latest /data/app/large {RESTORE} | cmp - /data/app/large")

with subtest("a device can be read, and no other one is there to be read"):
    machine.succeed("systemctl stop writer.service && umount /data")
    back_up(machine, "device")
    machine.succeed(f"hearth-backup dump latest /@devices/disk {RESTORE} --job device | cmp - /dev/vdb")
    assert machine.get_unit_property("hearth-backup-device.service", "DevicePolicy") == "closed"
    machine.succeed("mount /dev/vdb /data")

with subtest("nothing stays behind"):
    assert machine.succeed("btrfs subvolume list /data | wc -l") == "1\n"
    machine.fail("grep -F .hearth-backup /proc/self/mounts")
