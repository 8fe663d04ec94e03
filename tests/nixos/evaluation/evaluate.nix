# Evaluates the cases with a host's modules: `render` gives a host as plain data, as the lab's render-units.nix does.
#
# For a case that expects assertions only these are looked at: NixOS looks no further either.
{
  lib,
  render,
  hostOf,
}:
let
  cases = import ./cases.nix { inherit lib; };
  ours = lib.filter (lib.hasPrefix "services.hearth-backup.");
  evaluate =
    name: case:
    let
      host = hostOf (
        [
          ../../../nixos/module.nix
          {
            networking.hostName = "q";
            services.hearth-backup.enable = lib.mkDefault true;
          }
        ]
        ++ case.modules
      );
      cfg = host.config.services.hearth-backup;
      failed = ours (map (assertion: assertion.message) (lib.filter (assertion: !assertion.assertion) host.config.assertions));
      rendered = render host;
    in
    {
      inherit (case) expect;
      assertions = failed;
    }
    // lib.optionalAttrs (!case.expect ? assertions) {
      warnings = ours host.config.warnings;
      inherit (cfg) settings coverage stateDir persistRoot;
      units = lib.filterAttrs (unit: _: lib.hasPrefix "hearth-backup" unit) rendered.units;
      secrets = rendered.secrets;
      tmpfiles = rendered.tmpfiles;
      persistence = lib.mapAttrs (_: root: map (entry: entry.directory) root.directories) (host.config.environment.persistence or { });
    };
in
lib.mapAttrs evaluate cases
