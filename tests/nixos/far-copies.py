import re as _re

DIRECT = "--repo 's3://backups/direct?provider=garage&endpoint=http://bucket:3900' --credentials-file /root/bucket.credentials"
MIRROR = "--repo 's3://backups/mirror?provider=garage&endpoint=http://bucket:3900' --credentials-file /root/bucket.credentials"
FRIEND = "--repo sftp://q@friend/q/vault --identity /root/friend.id --ssh 'ssh -o UserKnownHostsFile=/root/friend.hosts'"


def give(machine, path, text):
    machine.succeed(f"umask 077; printf %s '{text}' > {path}")


start_all()
for machine in [bucket, friend, host, new]:
    machine.wait_for_unit("multi-user.target")

with subtest("a bucket and a key to it are made"):
    bucket.wait_until_succeeds("garage node id -q", timeout=60)
    node = bucket.succeed("garage node id -q").split("@")[0]
    bucket.wait_until_succeeds(f"garage layout assign -z here -c 1G {node}", timeout=60)
    bucket.succeed("garage layout apply --version 1")
    bucket.wait_until_succeeds("garage bucket create backups", timeout=60)
    key = bucket.succeed("garage key create host 2>&1")
    bucket.succeed("garage bucket allow --read --write backups --key host")
    identifier, secret = _re.findall(r"\bGK[0-9a-f]{24}\b", key)[0], _re.findall(r"\b[0-9a-f]{64}\b", key)[0]
    credentials = f"AWS_ACCESS_KEY_ID={identifier}\nAWS_SECRET_ACCESS_KEY={secret}\n"
    give(host, "/root/bucket.credentials", credentials)

with subtest("the friend lets the host in"):
    host.succeed("ssh-keygen -q -t ed25519 -N '' -f /root/friend.id")
    give(host, "/root/friend.hosts", friend_is + "\n")
    public = host.succeed("cat /root/friend.id.pub").strip()
    friend.wait_for_open_port(22)
    friend.succeed(
        "install -d -o q -g users -m 700 /home/q/.ssh",
        f"echo '{public}' > /home/q/.ssh/authorized_keys && chown q: /home/q/.ssh/authorized_keys",
    )

with subtest("three repositories are made by hand"):
    make_repository(host)
    for name, place in [("cloud", DIRECT), ("friend", FRIEND)]:
        host.succeed(f"hearth-backup init {place} --writer-key /root/{name}-writer.key --restore-key /root/{name}-restore.key")

with subtest("a run saves to all of them, and by the same units house is kept there"):
    host.succeed(
        "mkdir -p /var/lib/app && head -c 5000000 /dev/urandom > /var/lib/app/blob && echo notes > /var/lib/app/notes",
        "chown -R app: /var/lib/app && chmod 750 /var/lib/app",
    )
    digest = host.succeed("sha256sum < /var/lib/app/blob")
    back_up(host)
    for name in ["cloud", "friend"]:
        for step in ["forget", "prune", "check"]:
            host.succeed(f"systemctl start hearth-backup-{step}-{name}.service")

with subtest("the disk is mirrored into the bucket, and its next snapshot too"):
    host.succeed("systemctl start hearth-backup-mirror-far.service")
    unit_says(host, "hearth-backup-mirror-far", "Made a mirror of")
    host.succeed("echo more >> /var/lib/app/notes")
    back_up(host)
    host.succeed("systemctl start hearth-backup-mirror-far.service")
    unit_says(host, "hearth-backup-mirror-far", "Mirrored to")
    assert len(snapshots(host, f"{MIRROR} --key /root/restore.key")) == 2
    host.fail("test -e /run/told")

with subtest("all of them have timers"):
    timers = host.succeed("systemctl list-timers --all --no-legend")
    for name in ["mirror-far", "forget-cloud", "prune-friend", "check-disk"]:
        assert f"hearth-backup-{name}.timer" in timers, timers
    assert "hearth-backup-prune-copy" not in timers, timers

with subtest("units with a network are as confined as others"):
    for unit in ["state", "prune-friend", "check-cloud", "mirror-far"]:
        exposure = float(host.succeed(f"systemd-analyze security hearth-backup-{unit}.service --no-pager | grep -oP 'exposure level for .*: \\K[0-9.]+'"))
        print(unit, exposure)
        assert exposure <= 2.5, f"{unit}: {exposure}"

with subtest("a server that is not who it should be gets nothing, and nobody waits for it"):
    friend.succeed("systemctl stop sshd.service; ssh-keygen -q -t ed25519 -N '' -f /run/other_key")
    friend.succeed("install -m 600 /run/other_key /etc/ssh/ssh_host_ed25519_key && systemctl start sshd.service")
    friend.wait_for_open_port(22)
    before = len(snapshots(host, f"{DIRECT} --key /root/cloud-restore.key"))
    host.fail("systemctl start hearth-backup-state.service")
    unit_says(host, "hearth-backup-state", "Host key verification failed")
    assert len(snapshots(host, f"{DIRECT} --key /root/cloud-restore.key")) == before + 1

with subtest("what could not be mirrored is told"):
    bucket.succeed("systemctl stop garage.service")
    host.fail("systemctl start hearth-backup-mirror-far.service")
    host.wait_for_file("/run/told")
    bucket.succeed("systemctl start garage.service")
    bucket.wait_for_open_port(3900)

with subtest("the host burns; what opens the three places was kept elsewhere"):
    give(new, "/root/bucket.credentials", credentials)
    give(new, "/root/friend.hosts", "friend " + friend.succeed("cat /run/other_key.pub"))
    for file in ["friend.id", "restore.key", "cloud-restore.key", "friend-restore.key"]:
        give(new, f"/root/{file}", host.succeed(f"cat /root/{file}"))
    host.crash()

with subtest("a new host gets everything back from each"):
    for name, place, key in [
        ("cloud", DIRECT, "cloud-restore.key"),
        ("friend", FRIEND, "friend-restore.key"),
        ("mirror", MIRROR, "restore.key"),
    ]:
        new.succeed(f"hearth-backup restore latest {place} --key /root/{key} --target /back/{name} --trust-new-repository")
        root = f"/back/{name}/var/lib/app"
        assert new.succeed(f"sha256sum < {root}/blob") == digest, name
        assert new.succeed(f"cat {root}/notes") == "notes\nmore\n", name
        assert new.succeed(f"stat -c '%u %a' {root}") == "777 750\n", name
        new.succeed(f"hearth-backup check {place} --read-packs --trust-new-repository")
