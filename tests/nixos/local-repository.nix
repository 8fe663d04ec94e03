# One host, one disk, and back: the units, their confinement, and what becomes of failures.
{
  name = "hearth-backup-local-repository";

  nodes.machine =
    { lib, pkgs, ... }:
    {
      imports = [ ./common/host.nix ];
      services.hearth-backup = {
        repositories.usb = {
          url = "/srv/usb/q";
          writerKey.file = "/root/usb/q-writer.key";
          copy = {
            media = "usb";
            offsite = true;
          };
        };
        jobs.state = {
          paths = [ "/var/lib/app" "/home" ];
          optionalPaths = [ "/var/lib/absent" ];
          exclude = [ "*.log" ];
          schedule = "*:0/1";
          randomizedDelay = "0";
          retention.daily = 7;
        };
        # One of its sources fails; the others are saved all the same.
        jobs.partly = {
          repositories = [ "disk" ];
          schedule = null;
          paths = [ "/var/lib/app" ];
          commands."bad.txt".command = [ "${pkgs.coreutils}/bin/false" ];
          commands."good.txt".command = [ "${pkgs.coreutils}/bin/echo" "good" ];
          notify.command = [ "${pkgs.coreutils}/bin/tee" "/run/notified/partly" ];
          notify.units = [ "told.service" ];
        };
        jobs.two = {
          repositories = [ "usb" "disk" ];
          schedule = null;
          paths = [ "/var/lib/app" ];
          retries.count = 0;
          notify = {
            on = [ "start" "success" "warning" "failure" "recovery" ];
            command = [ "${pkgs.runtimeShell}" "-c" "echo $HEARTH_EVENT $HEARTH_RESULT >> /run/notified/two; ${pkgs.coreutils}/bin/cat > /run/notified/text" ];
          };
        };
        # What a hook may do in the confinement of a unit.
        jobs.nosy = {
          repositories = [ "disk" ];
          schedule = null;
          retries.count = 0;
          paths = [ "/var/lib/app" ];
          hooks.before = [
            {
              command = [
                "${pkgs.runtimeShell}"
                "-c"
                ''
                  set -x
                  touch /var/lib/app/by-hook && exit 1
                  touch /etc/by-hook && exit 1
                  chown 1 /var/lib/hearth-backup && exit 1
                  mount -t tmpfs none /mnt && exit 1
                  true
                ''
              ];
            }
          ];
        };
      };
      systemd.services.told = {
        script = "touch /run/told";
        serviceConfig.Type = "oneshot";
      };
      systemd.services."hearth-backup-notify-partly@".serviceConfig.ReadWritePaths = [ "/run/notified" ];
      systemd.services."hearth-backup-notify-two@".serviceConfig.ReadWritePaths = [ "/run/notified" ];
      systemd.services."hearth-backup-notify-start-two".serviceConfig.ReadWritePaths = [ "/run/notified" ];
      systemd.tmpfiles.rules = [ "d /run/notified 0700 root root -" ];
      systemd.timers.hearth-backup-state.timerConfig.AccuracySec = "1s";
      users.users.alice = {
        isNormalUser = true;
      };
    };

  testScript = builtins.readFile ./common/prelude.py + builtins.readFile ./local-repository.py;
}
