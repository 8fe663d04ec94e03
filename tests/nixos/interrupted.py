machine.wait_for_unit("multi-user.target")
machine.wait_for_unit("app.service")
make_repository(machine)
machine.succeed("head -c 120M /dev/urandom > /var/lib/app/large; echo small > /var/lib/app/small")


def begin(job="state"):
    """A run that has read something and still has a lot to do."""
    unit = f"hearth-backup-{job}.service"
    machine.succeed(f"systemctl start --no-block {unit}")
    if job == "state":
        machine.wait_until_succeeds("test $(systemctl is-active app.service) = inactive", timeout=60)
    read = f"awk '/^rchar/ {{ print $2 }}' /proc/$(systemctl show --value --property=MainPID {unit})/io"
    machine.wait_until_succeeds(f"test $({read}) -gt 20000000", timeout=60)
    assert machine.succeed(f"systemctl is-active {unit} || true").strip() == "activating"


with subtest("a stop is followed within seconds, and what stood still goes on"):
    begin()
    machine.wait_until_succeeds("test -n \"$(find /srv/backup/q/packs -type f)\"", timeout=60)
    machine.succeed("timeout 60 systemctl stop hearth-backup-state.service")
    machine.require_unit_state("app.service")
    assert machine.succeed("systemctl is-failed hearth-backup-state.service || true").strip() != "failed"
    assert len(snapshots(machine)) == 0

with subtest("a run that keeps the machine awake is stopped as gracefully, and then the machine may sleep"):
    begin("awake")
    machine.wait_until_succeeds("systemd-inhibit --list --no-legend | grep 'hearth-backup .* sleep .* block'", timeout=30)
    machine.succeed("timeout 60 systemctl stop hearth-backup-awake.service")
    unit_says(machine, "hearth-backup-awake", "stopped on request")
    assert machine.succeed("systemctl is-failed hearth-backup-awake.service || true").strip() != "failed"
    machine.wait_until_fails("systemctl is-active hearth-backup-awake-awake.service", timeout=30)
    machine.fail("systemd-inhibit --list --no-legend | grep hearth-backup")

with subtest("a run that is killed leaves nothing standing still"):
    begin()
    machine.succeed("systemctl kill --kill-whom=main --signal=KILL hearth-backup-state.service")
    machine.wait_until_succeeds("systemctl is-failed hearth-backup-state.service", timeout=30)
    machine.wait_for_unit("app.service", timeout=30)

with subtest("a shutdown does not wait for a run, and a run does not hold up what comes after it"):
    begin()
    machine.shutdown()
    machine.start()
    machine.wait_for_unit("app.service")
    assert len(snapshots(machine)) == 0

with subtest("a run continues after the power was lost"):
    machine.succeed("sync")
    begin()
    machine.crash()
    machine.start()
    machine.wait_for_unit("multi-user.target")
    machine.succeed("hearth-backup check --repo /srv/backup/q --read-packs")
    back_up(machine)
    machine.require_unit_state("app.service")
    assert len(snapshots(machine)) == 1
    machine.succeed(f"hearth-backup dump latest /var/lib/app/large {RESTORE} | cmp - /var/lib/app/large")
    stored = int(machine.succeed("du -sm /srv/backup/q/packs | cut -f1"))
    assert stored < 160, f"{stored} MB: what was stored before was stored again"
