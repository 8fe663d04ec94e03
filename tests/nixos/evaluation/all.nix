# Everything that is evaluated at once: the hosts of cases.nix, the page of options, and what the flake gives.
{
  lib,
  hostOf,
  render,
  pkgs,
}:
{
  hosts = import ./evaluate.nix { inherit lib hostOf render; };
  page = import ../../../nixos/options-page.nix {
    inherit lib;
    host = hostOf [ ../../../nixos/module.nix ];
  };
  flake =
    let
      flake = import ../../../flake.nix;
      outputs = flake.outputs {
        self = outputs // {
          outPath = ../../..;
        };
        nixpkgs = {
          inherit lib;
          legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (_: pkgs);
        };
        agenix.nixosModules.default = { };
      };
    in
    lib.mapAttrs (_: output: if lib.isAttrs output then lib.mapAttrs (_: value: if lib.isAttrs value then lib.attrNames value else [ ]) output else [ ]) (
      removeAttrs outputs [ "nixosModules" "overlays" ]
    )
    // {
      nixosModules = lib.attrNames outputs.nixosModules;
      overlays = lib.attrNames outputs.overlays;
      inputs = flake.inputs;
    };
}
