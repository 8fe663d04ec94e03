# A hub's disk dies. A new one gets the repositories from a mirror, and the hosts go on as if nothing had been.
{
  name = "hearth-backup-hub-lost";

  nodes = {
    hub = {
      imports = [ ./common/hub.nix ];
      services.hearth-backup.hub = {
        dataDir = "/tank/hub";
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
  ''
  + builtins.readFile ./common/hub.py
  + builtins.readFile ./hub-lost.py;
}
