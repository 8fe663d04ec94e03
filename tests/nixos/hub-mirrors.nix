# A hub brings what it keeps to a disk and to a friend's hub, which it reaches by ssh and nothing else. Restores come from each. The friend's keys in far-copies/ and
# the hub's in hub/ are nobody's.
{
  name = "hearth-backup-hub-mirrors";

  nodes = {
    hub =
      { lib, pkgs, ... }:
      {
        imports = [ ./common/hub.nix ];
        services.hearth-backup.hub = {
          mirrors.disk = {
            url = "/mnt/usb/{repository}";
            schedule = null;
            media = "usb";
            verify = 100;
          };
          mirrors.friend = {
            url = "ssh://hearth-backup-hub@friend/{repository}";
            repositories = [ "one" ];
            identity.file = "/root/friend.id";
            knownHosts = "friend ${lib.readFile ./far-copies/host_key.pub}";
            offsite = true;
            prune = true;
          };
          notify.command = [
            "${pkgs.coreutils}/bin/tee"
            "/var/lib/hearth-backup-hub/told"
          ];
        };
        # A disk that belongs to the hub.
        systemd.tmpfiles.rules = [ "d /mnt/usb 0700 hearth-backup-hub hearth-backup-hub -" ];
      };

    # Somebody else's machine: a hub without a port or a token, for the keys that may come.
    friend = {
      imports = [ ../../nixos/module.nix ];
      services.hearth-backup.hub = {
        enable = true;
        maintenance.schedule = null;
        hosts.one = {
          sshKeys = [ (builtins.readFile ./hub/mirror.pub) ];
          role = "maintainer";
          quota = "50MB";
        };
      };
      services.openssh.enable = true;
      environment.etc."ssh/ssh_host_ed25519_key" = {
        source = ./far-copies/host_key;
        mode = "0600";
      };
      virtualisation.memorySize = 1024;
    };

    one = {
      imports = [ ./common/at-hub.nix ];
    };
    two = {
      imports = [ ./common/at-hub.nix ];
    };
  };

  testScript = ''
    mirror_key = "${./hub/mirror}"
    tokens = ${builtins.toJSON (builtins.mapAttrs (_: known: known.token) (import ./hub/tokens.nix))}
  ''
  + builtins.readFile ./common/hub.py
  + builtins.readFile ./hub-mirrors.py;
}
