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

with subtest("its repositories come back from the copy by the steps of the runbook, once for each host"):
    for host, name in [(one, "one"), (two, "two")]:
        # systemd's limit of starts is for people who are slower.
        host.execute("systemctl reset-failed hearth-backup-state.service")
        listed = hub.succeed(f"hearth-backup --json stats --repo /mnt/usb/{name} --trust-new-repository")
        follow(
            {"hub": hub, "nas": host},
            HUB_LOST,
            {
                "DATA": "/tank/hub",
                "NAME": name,
                "MIRROR": f"/mnt/usb/{name}#{_json.loads(listed)['repository']}",
                "HEARTH_CREDENTIALS_FILE": None,
                "JOB": "state",
            },
        )
        assert [snapshot["id"] for snapshot in snapshots(hub, name)][:2] == before[name]
    hub.require_unit_state("hearth-backup-hub-maintain.timer", "active")
    assert hub.succeed("find /tank/hub ! -user hearth-backup-hub") == ""

with subtest("who had saved more than the copy has was told so, once, and what was lost is saved again"):
    unit_says(one, "hearth-backup-state", "this host's last snapshot is no longer in the repository")

with subtest("the hosts go on"):
    for host, name, count in [(one, "one", 5), (two, "two", 4)]:
        host.execute("systemctl reset-failed hearth-backup-state.service")
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
