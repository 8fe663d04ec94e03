machine.wait_for_unit("multi-user.target")
machine.copy_from_host(golden, "/root/golden")
machine.copy_from_host(listener, "/root/listener.py")
machine.succeed(
    "mkdir -p /srv/backup /var/lib/app && cp -r /root/golden/repository /srv/backup/q && chmod -R u+w /srv/backup/q",
    "cp /root/golden/restore.key /root/restore.key && echo new > /var/lib/app/file",
)

with subtest("the key is for root alone, and reaches the unit as a credential"):
    assert machine.succeed("stat -Lc '%U %a' /run/agenix/hearth-backup-disk-writer-key") == "root 400\n"
    back_up(machine)
    assert machine.succeed(f"hearth-backup dump latest /var/lib/app/file {RESTORE}") == "new\n"

with subtest("no secret is in the store, in an environment or in an argument"):
    key = machine.succeed("jq -r .signing_key /run/agenix/hearth-backup-disk-writer-key").strip()
    assert len(key) > 40
    machine.fail(f"grep -RF -- {key!r} /etc/hearth-backup /etc/systemd/system")
    machine.fail(f"systemctl show hearth-backup-state.service | grep -F -- {key!r}")

with subtest("the token too"):
    machine.succeed("systemd-run --unit=ntfy python3 /root/listener.py /run/told")
    machine.wait_for_open_port(8090)
    machine.succeed("mv /srv/backup/q /srv/backup/away")
    machine.fail("systemctl start hearth-backup-state.service")
    machine.wait_for_file("/run/told", timeout=60)
    told = machine.succeed("cat /run/told")
    print(told)
    assert "/backups" in told and "Bearer tk_only_for_tests" in told, told
    assert "state" in told, told
