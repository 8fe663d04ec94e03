# A repository that an earlier release made: read, added to, kept in order.
{
  name = "hearth-backup-upgrade";

  nodes.machine = {
    imports = [ ./common/host.nix ];
    services.hearth-backup.jobs.state = {
      paths = [ "/var/lib/app" ];
      retention.daily = 7;
    };
  };

  testScript =
    ''
      golden = "${../golden/format-1/0.1.0}"
    ''
    + builtins.readFile ./common/prelude.py
    + builtins.readFile ./upgrade.py;
}
