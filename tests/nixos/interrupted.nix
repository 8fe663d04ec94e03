# A run that is stopped, killed, or loses its power: what it stopped goes on, and the next run continues.
{
  name = "hearth-backup-interrupted";

  nodes.machine = {
    imports = [ ./common/host.nix ];
    services.hearth-backup.jobs = {
      state = {
        paths = [ "/var/lib/app" ];
        quiesce.services = [ "app.service" ];
        # Slow enough to be interrupted in its middle.
        limits.readRate = "4MiB";
      };
      awake = {
        repositories = [ "disk" ];
        schedule = null;
        retries.count = 0;
        paths = [ "/var/lib/app" ];
        inhibitsSleep = true;
        limits.readRate = "4MiB";
      };
    };
    systemd.services.app = {
      wantedBy = [ "multi-user.target" ];
      script = "exec sleep infinity";
      serviceConfig.StateDirectory = "app";
    };
  };

  testScript = builtins.readFile ./common/prelude.py + builtins.readFile ./interrupted.py;
}
