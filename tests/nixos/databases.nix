# A service with PostgreSQL and one with SQLite, lost and brought back.
{
  name = "hearth-backup-databases";

  nodes.machine =
    { pkgs, ... }:
    {
      imports = [ ./common/host.nix ];
      services.postgresql = {
        enable = true;
        ensureDatabases = [ "outline" ];
        ensureUsers = [
          {
            name = "outline";
            ensureDBOwnership = true;
          }
        ];
      };
      services.mysql = {
        enable = true;
        package = pkgs.mariadb;
        ensureDatabases = [ "shop" ];
      };
      users.users.outline = {
        isSystemUser = true;
        group = "outline";
      };
      users.groups.outline = { };
      services.hearth-backup.jobs.state = {
        autoDiscover = true;
        quiesce.services = [ "counter.service" ];
      };
      # Several tables at once, by way of a scratch directory that belongs to the server's user.
      services.hearth-backup.jobs.parallel = {
        repositories = [ "disk" ];
        schedule = null;
        retries.count = 0;
        postgresql = {
          databases = [ "outline" ];
          format = "directory";
          parallel = 2;
        };
      };
      # Writes to a SQLite database all the time, in a log.
      systemd.services.vault = {
        wantedBy = [ "multi-user.target" ];
        serviceConfig = {
          StateDirectory = "vault";
          DynamicUser = true;
          ExecStart = "${pkgs.python3}/bin/python3 ${./databases-vault.py}";
          Restart = "always";
        };
      };
      systemd.services.counter = {
        wantedBy = [ "multi-user.target" ];
        script = "while sleep 0.2; do date > /var/lib/counter/now; done";
        serviceConfig.StateDirectory = "counter";
      };
    };

  testScript = builtins.readFile ./common/prelude.py + builtins.readFile ./databases.py;
}
