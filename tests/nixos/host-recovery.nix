# A host burns down. An empty machine gets its repository, its files, its databases, and goes on with its history.
{
  name = "hearth-backup-host-recovery";

  nodes =
    let
      app =
        { pkgs, ... }:
        {
          imports = [ ./common/host.nix ];
          # The same host, by name, on two machines.
          services.hearth-backup = {
            host = "q";
            jobs.state = {
              paths = [
                "/var/lib/app"
                "/etc/machine-notes"
              ];
              postgresql.databases = "all";
            };
          };
          services.postgresql = {
            enable = true;
            ensureUsers = [ { name = "app"; } ];
          };
          users.users.app = {
            isSystemUser = true;
            group = "app";
          };
          users.groups.app = { };
        };
    in
    {
      old = {
        imports = [ app ];
        networking.firewall.allowedTCPPorts = [ 8000 ];
      };
      new = {
        imports = [ app ];
      };
    };

  testScript = builtins.readFile ./common/prelude.py + builtins.readFile ./host-recovery.py;
}
