start_all()
for machine in [hub, one, two]:
    machine.wait_for_unit("multi-user.target")
hub.wait_for_unit("hearth-backup-hub.service")

with subtest("two hosts have saved, and all is well"):
    for host, name in [(one, "one"), (two, "two")]:
        let_in(hub, host, name, tokens)
        back_up(host)
    good = snapshots(hub, "one")[-1]["id"]
    blob = one.succeed("sha256sum < /var/lib/app/blob")
    notes = one.succeed("cat /var/lib/app/notes")

AT_HUB = "--repo http://hub:8420/one --allow-plain-http --token-file /root/hub.token"
one.copy_from_host(attack, "/root/attack.py")


def good_is_there():
    hub.succeed("rm -rf /tmp/good", f"hearth-backup restore {good} {as_admin('one')} --target /tmp/good")
    assert hub.succeed("sha256sum < /tmp/good/var/lib/app/blob") == blob
    assert hub.succeed("cat /tmp/good/var/lib/app/notes") == notes


with subtest("the attacker reads nothing, deletes nothing, overwrites nothing, and adds nothing that is not a backup"):
    tried = _json.loads(one.succeed("python3 /root/attack.py http://hub:8420/one /root/hub.token"))
    print(tried)
    assert tried["through"] == [] and tried["lost"] == [] and tried["new"] == 0, tried
    assert tried["tried"] >= 5, tried

with subtest("nor by the program itself"):
    for command in [
        f"restore {good} --key /root/writer.key --target /tmp/out",
        f"forget {good}",
        "prune --grace 0",
        f"pin {good}",
        "key add-writer evil --writer-key /root/evil.key --key /root/writer.key",
    ]:
        one.fail(f"hearth-backup {command} {AT_HUB} --trust-new-repository")
    one.fail("hearth-backup snapshots --repo http://hub:8420/two --allow-plain-http --token-file /root/hub.token --key /root/writer.key --trust-new-repository")
    good_is_there()

with subtest("a guessed token lets nobody in, and who guesses has to wait"):
    one.succeed("for i in $(seq 12); do curl -s -o /dev/null -w '%{http_code}\\n' -H 'Authorization: Bearer hbt_00000000_AAAA' http://hub:8420/v1/two; done | tail -1 | grep 429")
    unit_says(hub, "hearth-backup-hub", hub.succeed("getent ahostsv4 one").split()[0])
    # Those at other addresses do not.
    back_up(two)
    hub.succeed("systemctl restart hearth-backup-hub.service")

with subtest("the disk cannot be filled"):
    one.succeed("head -c 80000000 /dev/urandom > /var/lib/app/flood")
    one.fail(f"hearth-backup backup {AT_HUB} --key /root/writer.key --job state /var/lib/app")
    assert int(hub.succeed("du -sm /var/lib/hearth-backup-hub/repositories/one | cut -f1")) <= 62
    one.succeed("rm /var/lib/app/flood")

with subtest("a flood of worthless backups pushes no good one out"):
    one.succeed("head -c 3000000 /dev/zero > /var/lib/app/blob; echo ransom > /var/lib/app/notes")
    one.succeed(
        f"for i in $(seq 15); do echo $i >> /var/lib/app/notes; hearth-backup backup {AT_HUB} --key /root/writer.key --job state /var/lib/app || exit 1; done"
    )
    assert len(snapshots(hub, "one")) >= 16
    hub.succeed("systemctl start hearth-backup-hub-maintain.service")
    left = snapshots(hub, "one")
    print(len(left), "left")
    assert good in [snapshot["id"] for snapshot in left] and len(left) < 16, left
    good_is_there()

with subtest("the other host has noticed nothing"):
    back_up(two)
    restored_equals(hub, as_admin("two"), two)

with subtest("the administrator shuts the host out"):
    writer = _json.loads(hub.succeed(f"hearth-backup --json key writers --repo {HERE}/one --token-file /root/admin-one.token"))
    print(writer)
    hub.succeed(f"hearth-backup key close-writer {writer['writers'][0]['id']} {as_admin('one')}")
    one.fail("systemctl start hearth-backup-state.service")
    good_is_there()
