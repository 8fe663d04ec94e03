# A host that saves to a hub is taken over: somebody has its key, its token and its root shell.
{
  name = "hearth-backup-hub-compromised-host";

  nodes = {
    hub = {
      imports = [ ./common/hub.nix ];
      services.hearth-backup.hub = {
        retention.default = {
          last = 1;
          daily = 7;
        };
        hosts.one.quota = "60MB";
      };
    };
    one = {
      imports = [ ./common/at-hub.nix ];
    };
    two = {
      imports = [ ./common/at-hub.nix ];
    };
  };

  testScript = ''
    attack = "${./hub/attack.py}"
    tokens = ${builtins.toJSON (builtins.mapAttrs (_: known: known.token) (import ./hub/tokens.nix))}
  ''
  + builtins.readFile ./common/hub.py
  + builtins.readFile ./hub-compromised-host.py;
}
