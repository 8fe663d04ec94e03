# What a host of NixOS needs to be evaluated at all, and the options of impermanence that cases set.
{ lib, ... }:
{
  options.environment.persistence = lib.mkOption {
    type = lib.types.attrsOf (
      lib.types.submodule {
        options.directories = lib.mkOption {
          type = lib.types.listOf (lib.types.coercedTo lib.types.str (directory: { inherit directory; }) lib.types.attrs);
          default = [ ];
        };
      }
    );
    default = { };
  };
  config = {
    boot.isContainer = true;
    networking.useDHCP = false;
    networking.dhcpcd.enable = false;
    system.stateVersion = "26.05";
  };
}
