start_all()
for machine in [hub, one, two]:
    machine.wait_for_unit("multi-user.target")

with subtest("the hub answers, and what answers has no network of its own"):
    hub.wait_for_unit("hearth-backup-hub.service")
    one.wait_until_succeeds("curl -sf http://hub:8420/health", timeout=60)
    assert hub.succeed("stat -c '%U %a' /var/lib/hearth-backup-hub") == "hearth-backup-hub 700\n"
    hub.fail("nsenter --net --target $(systemctl show -P MainPID hearth-backup-hub.service) curl -s --max-time 3 http://127.0.0.1:8420/health")
    for unit in ["hearth-backup-hub.service", "hearth-backup-hub-maintain.service"]:
        exposure = exposure_of(hub, unit)
        print(unit, exposure)
        assert exposure <= 1.5, f"{unit}: {exposure}"

with subtest("hosts are let in by what stands in the hub's configuration, and save"):
    for host, name in [(one, "one"), (two, "two")]:
        let_in(hub, host, name, tokens)
        back_up(host)
        back_up(host)
        assert len(snapshots(hub, name)) == 2
    listed = hub.succeed("hearth-backup-hub token list")
    assert "admin-one" in listed and "two" in listed, listed
    # By a hash in a file, which reaches the service as a credential.
    asked = "curl -s -o /dev/null -w '%{http_code}' http://hub:8420/v1/one -H 'Authorization: Bearer "
    assert one.succeed(f"{asked}{tokens['viewer']}'") not in ["200", "401"]
    assert one.succeed(f"{asked}{tokens['friend']}'") == "401"

with subtest("a host sees its own repository only, and reads nothing of it"):
    one.fail("hearth-backup snapshots --repo http://hub:8420/two --allow-plain-http --token-file /root/hub.token --key /root/writer.key")
    one.fail("hearth-backup restore latest --repo http://hub:8420/one --allow-plain-http --token-file /root/hub.token --key /root/writer.key --target /tmp/back")
    give(one, "/root/wrong.token", tokens["two"])
    one.fail("hearth-backup snapshots --repo http://hub:8420/one --allow-plain-http --token-file /root/wrong.token --key /root/writer.key")

with subtest("another machine restores with a reader's token and the restore key"):
    give(two, "/root/reader.token", tokens["reader-one"])
    give(two, "/root/one.restore", hub.succeed("cat /root/one.restore"))
    reader = "--repo http://hub:8420/one --allow-plain-http --token-file /root/reader.token --key /root/one.restore --trust-new-repository"
    restored_equals(two, reader, one)
    two.succeed(f"hearth-backup check --read-data {reader}")

with subtest("a host checks what it stored, and leaves forgetting and pruning to the hub"):
    one.succeed("systemctl start hearth-backup-check-hub.service")
    one.fail("systemctl cat hearth-backup-prune-hub.service")
    one.fail("systemctl cat hearth-backup-forget-hub.service")

with subtest("who may look sees how all jobs fare, and a host does not"):
    one.succeed("systemctl start hearth-backup-check-hub.service")
    give(hub, "/root/viewer.token", tokens["viewer"])
    look = f"hearth-backup --json status --hub {HERE} --token-file /root/viewer.token"
    jobs = _json.loads(hub.succeed(look))["jobs"]
    print(jobs)
    assert {(job["host"], job["kind"], job["state"]) for job in jobs} == {("one", "backup", "ok"), ("two", "backup", "ok"), ("one", "check", "ok")}
    metrics = hub.succeed(f"curl -sf {HERE}/metrics -H \"Authorization: Bearer $(cat /root/viewer.token)\"")
    assert "hearth_backup" in metrics, metrics
    assert "two" not in one.succeed("curl -s http://hub:8420/status -H \"Authorization: Bearer $(cat /root/hub.token)\"")
    hub.fail(f"curl -sf {HERE}/status")

with subtest("a run is asked for at the hub, and the host's agent may start that job and nothing else"):
    one.succeed("systemctl restart hearth-backup-agent.service")
    unit_says(one, "hearth-backup-agent", "connected to http://hub:8420")
    assert exposure_of(one, "hearth-backup-agent.service") <= 1.5
    assert one.succeed("ps -o user= $(systemctl show -P MainPID hearth-backup-agent.service)").startswith("hearth")
    trigger = f"hearth-backup backup-trigger --wait --hub {HERE} --token-file /root/admin-one.token one"
    before = len(snapshots(hub, "one"))
    if one.execute("systemctl cat polkit.service")[0] == 0:
        hub.succeed(f"{trigger} state")
        assert len(snapshots(hub, "one")) == before + 1
    else:
        # Without polkit nobody lets it start anything: it has no other right.
        assert "Permission denied" in hub.fail(f"{trigger} state 2>&1")
        assert len(snapshots(hub, "one")) == before
    assert "does not name it" in hub.fail(f"{trigger} other 2>&1")

with subtest("what does not fit into a quota is refused, and what is there stays"):
    two.succeed("head -c 30000000 /dev/urandom > /var/lib/app/much")
    two.fail("systemctl start hearth-backup-state.service")
    unit_says(two, "hearth-backup-state", "quota")
    # Told by the exit status too, for monitors.
    assert '"failing"' in hub.fail(look)
    two.succeed("rm /var/lib/app/much")
    back_up(two)
    hub.succeed(look)
    restored_equals(hub, as_admin("two"), two)

with subtest("somebody is let in and out again without a change of the configuration"):
    hub.succeed("hearth-backup-hub token add guest --role reader --repository one > /root/guest.token")
    assert hub.succeed("stat -c %U /var/lib/hearth-backup-hub/tokens.json") == "hearth-backup-hub\n"
    guest = "--repo http://127.0.0.1:8420/one --token-file /root/guest.token --key /root/one.restore"
    assert len(snapshots(hub, "one", guest)) == len(snapshots(hub, "one"))
    hub.succeed("hearth-backup-hub token revoke guest")
    hub.fail(f"hearth-backup snapshots {guest}")

with subtest("the hub keeps house by itself"):
    hub.succeed("systemctl start hearth-backup-hub-maintain.service")
    hub.fail("test -e /run/told")
    # Of a day the first and the last stay.
    assert len(snapshots(hub, "one")) == 2
    hub.succeed(f"hearth-backup check --read-packs {as_admin('one')}")

with subtest("a hub that dies is there again, and one that is started anew loses no connection"):
    hub.succeed("systemctl kill -s KILL hearth-backup-hub.service")
    hub.wait_until_succeeds("curl -sf http://127.0.0.1:8420/health", timeout=60)
    hub.succeed("systemctl stop hearth-backup-hub.service")
    one.succeed("curl -sf --max-time 60 http://hub:8420/health")
    back_up(one)

with subtest("hub and hosts go on after a power cut"):
    hub.crash()
    one.fail("systemctl start hearth-backup-state.service")
    hub.start()
    hub.wait_for_unit("hearth-backup-hub.service")
    back_up(one)
    restored_equals(hub, as_admin("one"), one)

with subtest("no secret is in the store or in the log"):
    for name in ["one", "admin-one", "viewer"]:
        secret = tokens[name].rsplit("_", 1)[1]
        hub.fail(f"grep -rF -- {secret!r} /etc/hearth-backup /etc/systemd/system")
        hub.fail(f"journalctl -o cat | grep -F -- {secret!r}")
