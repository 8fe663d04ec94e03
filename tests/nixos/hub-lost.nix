# A hub's disk dies. A new one gets the repositories from a mirror, by the steps of docs/runbooks/hub-lost.md, and the hosts go on as if nothing had
# been.
{
  name = "hearth-backup-hub-lost";

  nodes = {
    hub = {
      imports = [ ./common/hub.nix ];
      services.hearth-backup.hub = {
        dataDir = "/tank/hub";
        # Its timer is stopped and started.
        maintenance.schedule = "*-01-01 00:00";
        mirrors.disk = {
          url = "/mnt/usb/{repository}";
          schedule = null;
        };
      };
      systemd.tmpfiles.rules = [ "d /mnt/usb 0700 hearth-backup-hub hearth-backup-hub -" ];
    };
    one = {
      imports = [ ./common/at-hub.nix ];
    };
    two = {
      imports = [ ./common/at-hub.nix ];
    };
  };

  testScript = ''
    tokens = ${builtins.toJSON (builtins.mapAttrs (_: known: known.token) (import ./hub/tokens.nix))}
    HUB_LOST = ${builtins.toJSON (builtins.readFile ../../docs/runbooks/hub-lost.md)}
  ''
  + builtins.readFile ./common/hub.py
  + builtins.readFile ./common/runbook.py
  + builtins.readFile ./hub-lost.py;
}
