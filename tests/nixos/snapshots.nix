# A confined unit reads from a Btrfs snapshot that it makes: what is written meanwhile is not in the backup, and nothing stays behind.
{
  name = "hearth-backup-snapshots";

  nodes.machine =
    { pkgs, ... }:
    {
      imports = [ ./common/host.nix ];
      environment.systemPackages = [ pkgs.btrfs-progs ];
      virtualisation.emptyDiskImages = [ 1024 ];
      services.hearth-backup.jobs.state = {
        paths = [ "/data/app" ];
        filesystemSnapshots.required = true;
        quiesce.services = [ "writer.service" ];
        commands."status.txt".command = [ "${pkgs.coreutils}/bin/cat" "/data/app/generation" ];
        limits = {
          readRate = "4MiB";
          nice = 10;
          io = "idle";
        };
      };
      services.hearth-backup.jobs.device = {
        repositories = [ "disk" ];
        schedule = null;
        retries.count = 0;
        devices.disk.path = "/dev/vdb";
      };
      # Counts for as long as it runs.
      systemd.services.writer.script = "n=0; while sleep 0.1; do echo $((n = n + 1)) > /data/app/generation; done";
    };

  testScript = builtins.readFile ./common/prelude.py + builtins.readFile ./snapshots.py;
}
