# What several tests of hubs do. `hub` is the hub, as hub.nix has it.
import json as _json

HUB = "http://hub:8420"
HERE = "http://127.0.0.1:8420"


def give(machine, path, text):
    machine.succeed(f"umask 077; printf %s '{text}' > {path}")


def repository_at_hub(hub, name, tokens):
    """The administrator makes it, here on the hub itself, and keeps what opens it; returns the writer key."""
    give(hub, f"/root/admin-{name}.token", tokens[f"admin-{name}"])
    hub.succeed(
        f"hearth-backup init --repo {HERE}/{name} --token-file /root/admin-{name}.token --writer-key /root/{name}.writer --restore-key /root/{name}.restore"
    )
    return hub.succeed(f"cat /root/{name}.writer && rm /root/{name}.writer")


def let_in(hub, host, name, tokens):
    """A host gets its token and its writer key, and has something to save."""
    give(host, "/root/writer.key", repository_at_hub(hub, name, tokens))
    give(host, "/root/hub.token", tokens[name])
    host.succeed(
        "mkdir -p /var/lib/app && head -c 3000000 /dev/urandom > /var/lib/app/blob",
        f"echo {name} > /var/lib/app/notes && chmod 600 /var/lib/app/notes",
    )


def back_up(host):
    host.succeed("systemctl start hearth-backup-state.service")


def as_admin(name, where=HERE):
    return f"--repo {where}/{name} --token-file /root/admin-{name}.token --key /root/{name}.restore"


def snapshots(hub, name, options=None):
    """The repository's snapshots, newest last, as who may read it sees them."""
    return _json.loads(hub.succeed(f"hearth-backup --json snapshots {options or as_admin(name)}"))["snapshots"]


def restored_equals(machine, options, host, snapshot="latest"):
    """Restores with the words given, and compares it with what is on the host."""
    machine.succeed("rm -rf /tmp/back", f"hearth-backup restore {snapshot} {options} --target /tmp/back")
    for file in ["blob", "notes"]:
        assert machine.succeed(f"sha256sum < /tmp/back/var/lib/app/{file}") == host.succeed(f"sha256sum < /var/lib/app/{file}"), file
    assert machine.succeed("stat -c %a /tmp/back/var/lib/app/notes") == "600\n"


def unit_says(machine, unit, text):
    machine.succeed(f"journalctl --sync; journalctl -u {unit} -o cat | grep -F -- {text!r}")


def exposure_of(machine, unit):
    return float(machine.succeed(f"systemd-analyze security {unit} --no-pager | grep -oP 'exposure level for .*: \\K[0-9.]+'"))
