machine.wait_for_unit("multi-user.target")
machine.copy_from_host(golden, "/root/golden")
machine.succeed(
    "mkdir -p /srv/backup /var/lib/app && cp -r /root/golden/repository /srv/backup/q && chmod -R u+w /srv/backup/q",
    "cp /root/golden/writer.key /root/q-writer.key && cp /root/golden/restore.key /root/restore.key && chmod 600 /root/*.key",
    "echo new > /var/lib/app/file",
)
earlier = snapshots(machine)
assert earlier, "the earlier release made snapshots"

with subtest("this release adds to it"):
    back_up(machine)
    assert len(snapshots(machine)) == len(earlier) + 1
    assert machine.succeed(f"hearth-backup dump latest /var/lib/app/file {RESTORE}") == "new\n"

with subtest("and keeps it in order, the earlier snapshots included"):
    for step in ["forget", "prune", "check"]:
        machine.succeed(f"systemctl start hearth-backup-{step}-disk.service")
    for snapshot in earlier:
        machine.succeed(f"hearth-backup restore {snapshot['id']} {RESTORE} --target /tmp/{snapshot['id']}")
    machine.succeed("hearth-backup check --repo /srv/backup/q --read-data --key /root/restore.key")
