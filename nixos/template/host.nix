# Replace this by your host: what `nixos-generate-config` wrote, and your services.
{
  networking.hostName = "q";
  system.stateVersion = "26.05";
  boot.loader.systemd-boot.enable = true;
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  fileSystems."/mnt/backup" = {
    device = "/dev/disk/by-label/backup";
    fsType = "ext4";
    options = [ "nofail" ];
  };
  services.openssh.enable = true;
  services.vaultwarden.enable = true;
}
