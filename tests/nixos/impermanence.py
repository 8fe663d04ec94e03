machine.wait_for_unit("multi-user.target")
make_repository(machine)
machine.succeed("echo precious > /var/lib/app/file", "test -e /persist/system/var/lib/app/file")

with subtest("state is called by its own name"):
    back_up(machine)
    listing = machine.succeed(f"hearth-backup ls latest -R {RESTORE}")
    assert "/var/lib/app/file" in listing or "file" in listing, listing
    assert "persist" not in listing, listing
    machine.succeed("test -n \"$(ls /persist/system/var/lib/hearth-backup)\"")

with subtest("it is read where it lies, also while nothing is bound to its name"):
    machine.succeed("umount /var/lib/app")
    machine.succeed("echo later > /persist/system/var/lib/app/later")
    back_up(machine)
    assert machine.succeed(f"hearth-backup dump latest /var/lib/app/later {RESTORE}") == "later\n"
    report = snapshots(machine)
    assert len(report) == 2, report

with subtest("after a boot that empties the root, and the loss of the state, it comes back"):
    machine.succeed("rm -rf /var/lib/app/* && umount /persist; mkfs.ext4 -qF /dev/vdb")
    machine.shutdown()
    machine.start()
    machine.wait_for_unit("multi-user.target")
    assert machine.succeed("ls /var/lib/app | grep -v lost+found || true") == ""
    machine.succeed(f"hearth-backup restore latest --include /var/lib/app --in-place {RESTORE} --trust-new-repository")
    assert machine.succeed("cat /persist/system/var/lib/app/file /persist/system/var/lib/app/later") == "precious\nlater\n"

with subtest("the next run goes on where the last one stopped, though the host forgot all it knew"):
    back_up(machine)
    assert len(snapshots(machine)) == 3
