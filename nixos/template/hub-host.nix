# Replace this by the hub's own: what `nixos-generate-config` wrote.
{
  networking.hostName = "hub";
  system.stateVersion = "26.05";
  boot.loader.systemd-boot.enable = true;
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  fileSystems."/mnt/usb" = {
    device = "/dev/disk/by-label/usb";
    fsType = "ext4";
    options = [ "nofail" ];
  };
  services.openssh.enable = true;
}
