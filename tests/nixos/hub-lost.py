start_all()
for machine in [hub, one, two]:
    machine.wait_for_unit("multi-user.target")

with subtest("two hosts have saved, and the hub has copied it to another disk"):
    for host, name in [(one, "one"), (two, "two")]:
        let_in(hub, host, name, tokens)
        back_up(host)
        host.succeed("echo second >> /var/lib/app/notes")
        back_up(host)
    hub.succeed("systemctl start hearth-backup-hub-mirror-disk.service")
    before = {name: [snapshot["id"] for snapshot in snapshots(hub, name)] for name in ["one", "two"]}
    # What came after the last copy is lost with the disk.
    one.succeed("echo third >> /var/lib/app/notes")
    back_up(one)

with subtest("the hub's disk dies"):
    hub.succeed("systemctl stop hearth-backup-hub.service hearth-backup-hub.socket && rm -rf /tank/hub")
    one.fail("systemctl start hearth-backup-state.service")

with subtest("an empty hub lets its hosts in, for they stand in its configuration, and takes no backup that nobody could use"):
    hub.succeed("systemd-tmpfiles --create && systemctl start hearth-backup-hub.service")
    one.fail("systemctl start hearth-backup-state.service")
    unit_says(one, "hearth-backup-state", "holds no repository")

with subtest("its repositories come back from the copy"):
    hub.succeed("systemctl stop hearth-backup-hub.service hearth-backup-hub.socket")
    for name in ["one", "two"]:
        hub.succeed(
            f"cd / && runuser -u hearth-backup-hub -- hearth-backup mirror --from /mnt/usb/{name} --to /tank/hub/repositories/{name} "
            f"--state /tank/hub/state --trust-new-repository"
        )
    hub.succeed("systemctl start hearth-backup-hub.service")
    for name in ["one", "two"]:
        assert [snapshot["id"] for snapshot in snapshots(hub, name)] == before[name]

with subtest("who had saved more than the copy has is told so, once, and what was lost is saved again"):
    # systemd's limit of starts is for people who are slower.
    one.succeed("systemctl reset-failed hearth-backup-state.service")
    one.fail("systemctl start hearth-backup-state.service")
    assert one.get_unit_property("hearth-backup-state.service", "ExecMainStatus") == "3"
    unit_says(one, "hearth-backup-state", "this host's last snapshot is no longer in the repository")

with subtest("the hosts go on"):
    for host, name, count in [(one, "one", 4), (two, "two", 3)]:
        back_up(host)
        assert len(snapshots(hub, name)) == count
        restored_equals(hub, as_admin(name), host)
        hub.succeed(f"hearth-backup check --read-packs {as_admin(name)}")
        hub.succeed(f"rm -rf /tmp/first && hearth-backup restore {before[name][0]} {as_admin(name)} --target /tmp/first")
        assert hub.succeed("cat /tmp/first/var/lib/app/notes") == f"{name}\n"

with subtest("and so does the copy"):
    hub.succeed("systemctl start hearth-backup-hub-mirror-disk.service")
    for host, name in [(one, "one"), (two, "two")]:
        restored_equals(hub, f"--repo /mnt/usb/{name} --key /root/{name}.restore --trust-new-repository", host)
