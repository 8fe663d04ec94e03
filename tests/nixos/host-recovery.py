start_all()
old.wait_for_unit("multi-user.target")
old.wait_for_unit("postgresql.service")
make_repository(old)
old.succeed(
    "mkdir -p /var/lib/app && head -c 3000000 /dev/urandom > /var/lib/app/blob && chown -R app: /var/lib/app && chmod 750 /var/lib/app",
    "setfacl -m u:postgres:r /var/lib/app/blob; echo notes > /etc/machine-notes",
)
old.wait_until_succeeds("runuser -u postgres -- createdb -O app app", timeout=60)
old.succeed("runuser -u app -- psql -c 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS n' app")
back_up(old)
digest = old.succeed("sha256sum < /var/lib/app/blob")

with subtest("the repository and the restore key reach the new machine; the disk of the old one was saved, say"):
    old.succeed("mkdir /root/served && tar -C / -cf /root/served/all.tar srv/backup root/restore.key root/q-writer.key")
    old.succeed("systemd-run --unit=serve python3 -m http.server 8000 --directory /root/served")
    old.wait_for_open_port(8000)
    new.wait_for_unit("multi-user.target")
    new.wait_until_succeeds("curl -sf http://old:8000/all.tar | tar -C / -xf -", timeout=60)
    old.crash()

with subtest("the steps of the runbook, from the files to the next snapshot; what is mounted at /mnt there is the root already"):
    new.wait_for_unit("postgresql.service")
    new.wait_for_unit("app.service")
    repository = _json.loads(new.succeed("hearth-backup --json stats --repo /srv/backup/q --trust-new-repository"))["repository"]
    follow(
        {"new": new},
        WHOLE_HOST,
        {
            "HEARTH_REPO": f"/srv/backup/q#{repository}",
            "HEARTH_TOKEN_FILE": None,
            "HEARTH_KEY": "/root/restore.key",
            "TARGET": "/",
            "HOST": "q",
            "SNAP": "latest",
            "SERVICES": "app.service",
            "DATABASES": "app",
        },
    )
    new.require_unit_state("app.service", "active")

with subtest("files came back with owners, modes and ACLs"):
    assert new.succeed("sha256sum < /var/lib/app/blob") == digest
    assert new.succeed("stat -c '%U %a' /var/lib/app") == "app 750\n"
    assert "user:postgres:r" in new.succeed("getfacl -p /var/lib/app/blob")
    assert new.succeed("cat /etc/machine-notes") == "notes\n"

with subtest("databases came back with their owners"):
    assert new.succeed("runuser -u app -- psql -tAc 'SELECT count(*) FROM t' app") == "1000\n"

with subtest("the new machine goes on with the history of the old one"):
    listed = snapshots(new)
    assert len(listed) == 2, listed
    assert {snapshot["host"] for snapshot in listed} == {"q"}, listed
    new.succeed("hearth-backup check --repo /srv/backup/q --read-packs")
