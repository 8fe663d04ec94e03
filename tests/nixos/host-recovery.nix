# A host burns down. An empty machine gets its repository, and by the steps of docs/runbooks/whole-host.md its files, its databases, and goes on
# with its history.
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
          # Stands for what uses the files and the database.
          systemd.services.app = {
            wantedBy = [ "multi-user.target" ];
            script = "exec sleep infinity";
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

  testScript = ''
    WHOLE_HOST = ${builtins.toJSON (builtins.readFile ../../docs/runbooks/whole-host.md)}
  ''
  + builtins.readFile ./common/prelude.py
  + builtins.readFile ./common/runbook.py
  + builtins.readFile ./host-recovery.py;
}
