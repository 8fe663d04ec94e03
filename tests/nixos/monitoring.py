start_all()
for machine in [hub, one, two, vault]:
    machine.wait_for_unit("multi-user.target")
one.wait_for_unit("postgresql.service")
one.wait_until_succeeds("runuser -u postgres -- psql -tAc 'SELECT 1' shop", timeout=60)
hub.wait_for_open_port(9090)


def sql(text):
    one.succeed(f'runuser -u postgres -- psql -v ON_ERROR_STOP=1 -c "{text}" shop')


def told():
    """Looks, and what people were told then: the headings."""
    hub.succeed("rm -f /var/lib/hearth-backup-hub/told; systemctl start hearth-backup-hub-watch.service")
    lines = hub.succeed("cat /var/lib/hearth-backup-hub/told 2>/dev/null || true").splitlines()
    print("told:", *lines, sep="\n  ")
    return [line for line in lines if line.split(":")[0] in ["failure", "warning", "recovery"]]


def alerts():
    """Alerts of Prometheus, also those that wait for a while before they ring, after it has looked again."""
    hub.sleep(4)
    found = _json.loads(hub.succeed("curl -fsS http://127.0.0.1:9090/api/v1/alerts"))["data"]["alerts"]
    names = {alert["labels"]["alertname"] for alert in found}
    # Of what is not the subject here: two copies of the hosts' data, and the room on the disk of whoever runs the test.
    return names - {"HearthBackupCopiesNotEnough", "HearthBackupDiskNearlyFull", "HearthBackupDiskFull", "HearthBackupDiskFillingUp"}


def only(word, alert, known):
    """One thing has become wrong since the last look: people were told of it and of nothing else, and so were alerts."""
    heard = told()
    assert len(heard) == 1 and word in heard[0], heard
    now = alerts()
    assert now == known | {alert}, (now, known)
    return now


with subtest("all is well: hosts have saved, the hub has a mirror, restores work, and nobody is told of anything"):
    sql("CREATE TABLE orders AS SELECT n AS id, 'order ' || n AS text FROM generate_series(1, 1000) n")
    one.succeed(
        "mkdir -p /var/lib/photos && for n in $(seq 40); do head -c 200000 /dev/urandom > /var/lib/photos/$n; done",
        "mkdir /var/lib/ledger && seq 1000 > /var/lib/ledger/today",
    )
    for host, name in [(one, "one"), (two, "two")]:
        let_in(hub, host, name, tokens)
        host.succeed("systemctl start hearth-backup-state.service")
    for job in ["photos", "ledger", "shop"]:
        one.succeed(f"systemctl start hearth-backup-{job}.service")
    give(vault, "/root/vault.token", tokens["friend"])
    give(vault, "/root/one.restore", hub.succeed("cat /root/one.restore"))
    hub.succeed("systemctl start hearth-backup-hub-maintain.service hearth-backup-hub-mirror-disk.service")
    for unit in ["maintain", "mirror-disk"]:
        hub.wait_until_succeeds(f"grep -F 'hearth-backup-hub-{unit}.service' /var/lib/hearth-backup-hub/told", timeout=60)
    hub.succeed("test $(grep -c '^start: hub: hub begins' /var/lib/hearth-backup-hub/told) = 2")
    vault.succeed("systemctl start hearth-backup-drill-shop.service hearth-backup-drill-files.service")
    give(hub, "/root/reader.token", tokens["reader-one"])
    hub.succeed("systemctl start hearth-backup-drill-disk.service")
    # Nobody has tried a restore of two yet, and there is time for that.
    assert told() == []
    known = alerts()
    assert known <= {"HearthBackupNeverDrilled"}, known
    assert "hearth_backup_last_run_success" in one.succeed("cat /var/lib/metrics/hearth-backup.prom")

with subtest("a drill is confined, and leaves nothing behind"):
    exposure = exposure_of(vault, "hearth-backup-drill-shop.service")
    print("drill", exposure)
    assert exposure <= 5.0, exposure
    assert vault.succeed("find /var/lib/hearth-backup/drills/scratch -mindepth 1") == ""

with subtest("a job fails"):
    one.succeed("rm /var/lib/ledger/today")
    one.fail("systemctl start hearth-backup-ledger.service")
    known = only("job ledger of one", "HearthBackupFailed", known)

with subtest("a snapshot shrinks"):
    one.succeed("cd /var/lib/photos && rm $(seq 5 40)", "systemctl start hearth-backup-photos.service")
    known = only("the newest snapshot in hub: the source shrank", "HearthBackupSnapshotShrunk", known)

with subtest("a mirror rots: a few bits are not what they were"):
    hub.succeed(
        "pack=$(find /mnt/usb/two -type f -size +500k | sort | head -n 1); test -n \"$pack\"; chmod u+w $pack; "
        "printf '\\377\\377\\377\\377' | dd of=$pack bs=1 seek=300000 conv=notrunc status=none"
    )
    hub.fail("systemctl start hearth-backup-hub-mirror-disk.service")
    # The run tells of itself; that it found damage is told by who looks.
    hub.wait_until_succeeds("grep -F 'warning: hub: hearth-backup-hub-mirror-disk finished with warnings' /var/lib/hearth-backup-hub/told", timeout=60)
    known = only("repository two: mirror disk", "HearthBackupMirrorFailed", known)

with subtest("a dump can be made, and cannot be loaded: a check asks a table that is not there yet"):
    sql("CREATE TABLE zone (most int); INSERT INTO zone VALUES (5000)")
    sql("CREATE FUNCTION fits(int) RETURNS bool LANGUAGE sql AS 'SELECT \\$1 <= (SELECT max(most) FROM zone)'")
    sql("ALTER TABLE orders ADD CONSTRAINT fits CHECK (fits(id))")
    one.succeed("systemctl start hearth-backup-shop.service")
    # The backup itself is well.
    assert told() == [] and alerts() == known
    vault.fail("systemctl start hearth-backup-drill-shop.service")
    known = only("drill shop of vault", "HearthBackupDrillFailed", known)

with subtest("a host falls silent: three hours have gone by since its last report, as the hub's files say"):
    hub.succeed(
        """python3 - <<'END'
import datetime, glob, json
def earlier(text):
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) - datetime.timedelta(hours=3)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
files = glob.glob("/var/lib/hearth-backup-hub/reports/two/backup-state/*.json")
assert len(files) == 1, files
kept = json.load(open(files[0]))
kept["received"] = earlier(kept["received"])
for key in ["started", "ended", "next"]:
    kept["report"][key] = earlier(kept["report"][key])
open(files[0], "w").write(json.dumps(kept))
END""",
        "systemctl restart hearth-backup-hub.service",
    )
    known = only("job state of two: no run was reported", "HearthBackupStale", known)

with subtest("what is told once is not told again, and what is mended is over"):
    assert told() == []
    one.succeed("seq 1000 > /var/lib/ledger/today; systemctl reset-failed", "systemctl start hearth-backup-ledger.service")
    two.succeed("systemctl start hearth-backup-state.service")
    heard = told()
    assert len(heard) == 1 and "2 problems are over" in heard[0] and heard[0].startswith("recovery"), heard
    assert alerts() == known - {"HearthBackupFailed", "HearthBackupStale"}

with subtest("a run that is killed says so at once"):
    one.succeed("rm /var/lib/ledger/today && mkfifo /var/lib/ledger/today")
    one.succeed("systemctl start --no-block hearth-backup-ledger.service")
    one.wait_until_succeeds("pgrep -x cat", timeout=60)
    one.succeed("systemctl kill --signal=KILL --kill-whom=main hearth-backup-ledger.service")
    one.wait_until_succeeds("systemctl is-failed hearth-backup-ledger.service", timeout=60)
    heard = told()
    assert len(heard) == 1 and "the last run ended with killed" in heard[0], heard
