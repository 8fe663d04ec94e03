# Everything that is evaluated at once: the hosts of cases.nix, the page of options, and what the flake gives.
{
  lib,
  hostOf,
  render,
  pkgs,
}:
let
  # Options that no host of cases.nix sets.
  unset =
    let
      modules = lib.concatMap (case: case.modules) (lib.attrValues (import ./cases.nix { inherit lib; }));
      plain = module: if lib.isFunction module then { } else if lib.isPath module then plain (import module) else module;
      bare = value: if value._type or "" == "override" then bare value.content else value;
      given = map (module: bare ((plain module).services.hearth-backup or { })) modules;
      sets =
        path: value:
        let
          name = lib.head path;
          content = bare value;
          below = lib.tail path;
        in
        if path == [ ] then
          true
        else if name == "<name>" then
          lib.isAttrs content && lib.any (sets below) (lib.attrValues content)
        else if name == "*" then
          lib.isList content && lib.any (sets below) content
        else
          lib.isAttrs content && content ? ${name} && sets below content.${name};
      options = lib.filter (option: !option.internal && !option.readOnly && lib.take 2 option.loc == [ "services" "hearth-backup" ]) (
        lib.optionAttrSetToDocList (hostOf [ ../../../nixos/module.nix ]).options.services.hearth-backup
      );
      ours = map (option: lib.drop 2 option.loc) options;
    in
    map lib.showOption (lib.filter (path: lib.head path != "coverage" && !lib.any (sets path) given) ours);
in
{
  inherit unset;
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
