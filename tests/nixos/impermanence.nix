# A host whose root is empty after each boot: state is saved from the persist root, and comes back after that is lost.
{
  name = "hearth-backup-impermanence";

  nodes.machine = { pkgs, ... }: {
    imports = [ ./common/host.nix ];
    services.hearth-backup = {
      persistRoot = "/persist/system";
      jobs.state.paths = [ "/var/lib/app" ];
    };
    # What the impermanence module makes of it, and a disk for it.
    virtualisation.emptyDiskImages = [ 512 ];
    systemd.services.bind-app = {
      requiredBy = [ "multi-user.target" ];
      before = [ "multi-user.target" ];
      path = [
        pkgs.e2fsprogs
        pkgs.util-linux
      ];
      script = ''
        test -e /dev/vdb || exit 0
        blkid /dev/vdb || mkfs.ext4 -q /dev/vdb
        mkdir -p /persist /var/lib/app
        mountpoint -q /persist || mount /dev/vdb /persist
        mkdir -p /persist/system/var/lib/app /persist/system/var/lib/hearth-backup
        mountpoint -q /var/lib/app || mount --bind /persist/system/var/lib/app /var/lib/app
      '';
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
      };
    };
  };

  testScript = builtins.readFile ./common/prelude.py + builtins.readFile ./impermanence.py;
}
