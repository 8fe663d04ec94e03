start_all()
for machine in [hub, friend, one, two]:
    machine.wait_for_unit("multi-user.target")
hub.copy_from_host(mirror_key, "/root/friend.id")
hub.succeed("chmod 600 /root/friend.id")
friend.wait_for_open_port(22)

DISK = "--repo /mnt/usb/one --key /root/one.restore --trust-new-repository"
THERE = "--repo /var/lib/hearth-backup-hub/repositories/one --key /root/one.restore --trust-new-repository"

with subtest("two hosts have saved"):
    for host, name in [(one, "one"), (two, "two")]:
        let_in(hub, host, name, tokens)
        back_up(host)

with subtest("the hub copies all of it to a disk, and one repository to a friend"):
    hub.succeed("systemctl start hearth-backup-hub-mirror-disk.service")
    hub.succeed("systemctl start hearth-backup-hub-mirror-friend.service")
    hub.succeed("test -d /mnt/usb/one -a -d /mnt/usb/two")
    friend.succeed("test -d /var/lib/hearth-backup-hub/repositories/one")
    friend.fail("test -d /var/lib/hearth-backup-hub/repositories/two")
    hub.fail("test -e /var/lib/hearth-backup-hub/told")

with subtest("only what is new is copied the next time"):
    one.succeed("echo more >> /var/lib/app/notes")
    back_up(one)
    for mirror in ["disk", "friend"]:
        hub.succeed(f"systemctl start hearth-backup-hub-mirror-{mirror}.service")
    assert len(snapshots(hub, "one", DISK)) == 2

with subtest("what was saved comes back from each"):
    restored_equals(hub, DISK, one)
    give(friend, "/root/one.restore", hub.succeed("cat /root/one.restore"))
    assert len(snapshots(friend, "one", THERE)) == 2
    restored_equals(friend, THERE, one)
    for machine, place in [(hub, DISK), (friend, THERE)]:
        machine.succeed(f"hearth-backup check --read-packs {place}")

with subtest("by ssh the hub's key does what its line says, and nothing else"):
    hub.succeed("install -m 600 /dev/null /root/friend.hosts; ssh-keyscan friend > /root/friend.hosts 2>/dev/null")
    ssh = "ssh -i /root/friend.id -o UserKnownHostsFile=/root/friend.hosts -o BatchMode=yes"
    hub.fail(f"{ssh} hearth-backup-hub@friend touch /tmp/by-ssh </dev/null")
    hub.fail(f"{ssh} -N -L 9999:127.0.0.1:22 -o ExitOnForwardFailure=yes hearth-backup-hub@friend true & sleep 2; ssh-keyscan -T 2 -p 9999 127.0.0.1 2>/dev/null | grep .; status=$?; kill %1; exit $status")
    friend.fail("test -e /tmp/by-ssh")
    hub.fail(f"hearth-backup snapshots --repo ssh://hearth-backup-hub@friend/two --identity /root/friend.id --ssh '{ssh}' --key /root/one.restore --trust-new-repository")

with subtest("all of them have units that are confined, and a schedule where one is wanted"):
    timers = hub.succeed("systemctl list-timers --all --no-legend")
    assert "hearth-backup-hub-mirror-friend.timer" in timers and "mirror-disk" not in timers, timers
    for mirror in ["disk", "friend"]:
        exposure = exposure_of(hub, f"hearth-backup-hub-mirror-{mirror}.service")
        print(mirror, exposure)
        assert exposure <= 1.5, f"{mirror}: {exposure}"

with subtest("a disk that is not plugged in is told, nothing is written in its place, and the friend gets his copy"):
    hub.succeed("mv /mnt/usb /mnt/unplugged && install -d -o hearth-backup-hub -m 700 /mnt/usb")
    back_up(one)
    hub.fail("systemctl start hearth-backup-hub-mirror-disk.service")
    hub.succeed("systemctl start hearth-backup-hub-mirror-friend.service")
    hub.wait_until_succeeds("grep -F hearth-backup-hub-mirror-disk /var/lib/hearth-backup-hub/told", timeout=60)
    told = hub.succeed("cat /var/lib/hearth-backup-hub/told")
    print(told)
    assert "its disk may not be mounted" in told, told
    hub.succeed("rmdir /mnt/usb && mv /mnt/unplugged /mnt/usb && systemctl start hearth-backup-hub-mirror-disk.service")
    for machine, place in [(hub, DISK), (friend, THERE)]:
        assert len(snapshots(machine, "one", place)) == 3
