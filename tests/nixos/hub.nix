# A hub and two hosts that save to it. The tokens in hub/tokens.nix are known to it by their hashes, in its configuration.
{
  name = "hearth-backup-hub";

  nodes = {
    hub =
      { pkgs, ... }:
      {
        imports = [ ./common/hub.nix ];
        services.hearth-backup.hub = {
          hosts.two.quota = "20MB";
          retention.default.daily = 14;
          notify.units = [ "told.service" ];
        };
        systemd.services.told = {
          script = "touch /run/told";
          serviceConfig.Type = "oneshot";
        };
      };
    one = {
      imports = [ ./common/at-hub.nix ];
      services.hearth-backup = {
        agent.enable = true;
        reportTo.jobs = [ "state" ];
        jobs.other = {
          paths = [ "/etc/hostname" ];
          repositories = [ "hub" ];
          schedule = null;
        };
      };
    };
    two = {
      imports = [ ./common/at-hub.nix ];
    };
  };

  testScript = ''
    tokens = ${builtins.toJSON (builtins.mapAttrs (_: known: known.token) (import ./hub/tokens.nix))}
  ''
  + builtins.readFile ./common/hub.py
  + builtins.readFile ./hub.py;
}
