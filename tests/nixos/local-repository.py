machine.wait_for_unit("multi-user.target")
make_repository(machine)
machine.succeed(
    "mkdir -p /var/lib/app/sub /srv/usb /root/usb && echo first > /var/lib/app/file && echo noise > /var/lib/app/x.log",
    "echo secret > /home/alice/diary && chown alice: /home/alice/diary && chmod 600 /home/alice/diary",
)

with subtest("a manual run is the backup and nothing else"):
    back_up(machine)
    assert len(snapshots(machine)) == 1
    machine.fail("systemctl is-active hearth-backup-forget-disk.service hearth-backup-prune-disk.service")
    assert machine.get_unit_property("hearth-backup-state.service", "Result") == "success"

with subtest("lost files come back with their owners"):
    machine.succeed("rm -r /var/lib/app /home/alice/diary")
    machine.succeed(f"hearth-backup restore latest {RESTORE} --in-place --include /var/lib/app --include /home/alice/diary")
    assert machine.succeed("cat /var/lib/app/file") == "first\n"
    assert machine.succeed("stat -c '%U %a' /home/alice/diary") == "alice 600\n"
    machine.fail("test -e /var/lib/app/x.log")

with subtest("the host cannot read its own backups"):
    machine.fail("hearth-backup restore latest --repo /srv/backup/q --key /root/q-writer.key --target /tmp/out")

with subtest("the configuration is where the command line looks for it"):
    machine.succeed("hearth-backup config check")
    machine.succeed("hearth-backup config check --config /etc/hearth-backup/config.json")
    assert machine.succeed("stat -c '%U %a' /var/lib/hearth-backup") == "root 700\n"

with subtest("the timer runs the job"):
    machine.require_unit_state("hearth-backup-state.timer")
    machine.succeed("systemctl list-timers --all | grep hearth-backup-prune-disk.timer")
    machine.succeed("echo second > /var/lib/app/file")
    machine.wait_until_succeeds(f"test $(hearth-backup --json snapshots {RESTORE} | jq '.snapshots | length') -ge 2", timeout=130)
    machine.succeed("systemctl stop hearth-backup-state.timer")

with subtest("one source that fails does not keep the others from being saved, and somebody is told"):
    machine.fail("systemctl start hearth-backup-partly.service")
    assert machine.get_unit_property("hearth-backup-partly.service", "ExecMainStatus") == "3"
    assert machine.succeed(f"hearth-backup dump latest /@commands/good.txt {RESTORE} --job partly") == "good\n"
    machine.wait_for_file("/run/told")
    machine.wait_until_succeeds("grep -q partly /run/notified/partly", timeout=60)
    print(machine.succeed("cat /run/notified/partly"))
    machine.succeed("grep -q bad.txt /run/notified/partly")

with subtest("a repository that is not there does not keep the other from its snapshot"):
    make_repository(machine, "/srv/usb/q", "/root/usb")
    machine.succeed("mv /srv/usb/q /srv/usb/unplugged")
    before = len(snapshots(machine))
    machine.fail("systemctl start hearth-backup-two.service")
    assert len(snapshots(machine)) == before + 1
    # Who tells of the end is another unit, which nobody waits for.
    machine.wait_until_succeeds("grep -q '^warning' /run/notified/two", timeout=60)
    machine.succeed("mv /srv/usb/unplugged /srv/usb/q && systemctl start hearth-backup-two.service")
    assert len(snapshots(machine, "--repo /srv/usb/q --key /root/usb/restore.key")) == 1

with subtest("of each run it is told that it begins and what became of it, and of one that works again"):
    def heard(*lines):
        machine.wait_until_succeeds(f"test $(wc -l < /run/notified/two) -ge {len(lines)}", timeout=60)
        assert machine.succeed("cat /run/notified/two").splitlines() == list(lines), machine.succeed("cat /run/notified/two")
        machine.succeed("rm /run/notified/two")
        return machine.succeed("cat /run/notified/text")

    heard("start running", "warning incomplete", "start running", "success success")
    # It cannot be started at all, and so leaves no report.
    machine.succeed("mkdir -p /run/systemd/system/hearth-backup-two.service.d")
    machine.succeed("printf '[Service]\\nLoadCredential=x:/absent\\n' > /run/systemd/system/hearth-backup-two.service.d/broken.conf && systemctl daemon-reload")
    machine.fail("systemctl start hearth-backup-two.service")
    text = heard("start running", "failure failure")
    print(text)
    assert "could not be started by systemd (exit status 243)" in text and "says what keeps it from being started" in text, text
    machine.succeed("rm -r /run/systemd/system/hearth-backup-two.service.d && systemctl daemon-reload && systemctl start hearth-backup-two.service")
    text = heard("start running", "recovery success")
    print(text)
    assert " works again." in text and "It had failed since " in text and "Unit: hearth-backup-two.service\n" in text, text

with subtest("a unit is confined"):
    back_up(machine, "nosy")
    machine.fail("test -e /var/lib/app/by-hook -o -e /etc/by-hook")
    for unit in machine.succeed("systemctl list-unit-files 'hearth-backup-*.service' --no-legend | cut -d' ' -f1").split():
        exposure = float(machine.succeed(f"systemd-analyze security {unit} --no-pager | grep -oP 'exposure level for .*: \\K[0-9.]+'"))
        print(unit, exposure)
        assert exposure <= 2.5, f"{unit}: {exposure}"

with subtest("housekeeping"):
    for step in ["forget", "prune", "check"]:
        machine.succeed(f"systemctl start hearth-backup-{step}-disk.service")
    machine.succeed("f=$(find /srv/backup/q/packs -type f -size +1k | head -1); printf x | dd of=$f bs=1 seek=900 conv=notrunc status=none")
    machine.succeed("hearth-backup check --repo /srv/backup/q || true")
    machine.fail("hearth-backup check --repo /srv/backup/q --read-packs")
