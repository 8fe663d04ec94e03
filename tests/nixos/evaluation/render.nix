# A host of NixOS as plain data, as evaluate.nix wants it: what the lab's render-units.nix does for its own.
{ lib }:
host:
let
  inherit (host) config;
in
{
  units = lib.mapAttrs (_: unit: unit.text) (lib.filterAttrs (name: _: lib.hasPrefix "hearth-backup" name) config.systemd.units);
  secrets = lib.mapAttrs (_: secret: { inherit (secret) mode owner path; }) (config.age.secrets or { });
  tmpfiles = lib.concatLists (
    lib.mapAttrsToList (
      name: paths:
      lib.optionals (lib.hasPrefix "10-hearth-backup" name) (
        lib.concatLists (
          lib.mapAttrsToList (
            path: entries:
            lib.mapAttrsToList (_: entry: "'${entry.type}' '${path}' '${entry.mode}' '${entry.user}' '${entry.group}' '${entry.age}' ${entry.argument}") entries
          ) paths
        )
      )
    ) config.systemd.tmpfiles.settings
  );
}
