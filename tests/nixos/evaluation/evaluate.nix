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
  # What is only set under a condition has no value with the lab's stand-ins, where NixOS has a default.
  orElse =
    fallback: value:
    let
      found = builtins.tryEval value;
    in
    if found.success then found.value else fallback;
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
      hub = if cfg.hub.enable then cfg.hub.settings else { };
      polkit = host.config.security.polkit.extraConfig or "";
      nginx = lib.mapAttrs (_: virtual: { inherit (virtual.locations."/") proxyPass extraConfig; }) (
        if cfg.hub.enable && cfg.hub.nginx.virtualHost != null then host.config.services.nginx.virtualHosts else { }
      );
      prometheus =
        let
          given = host.config.services.prometheus;
        in
        {
          ruleFiles = map baseNameOf (orElse [ ] (given.ruleFiles or [ ]));
          scrapeConfigs = map (lib.filterAttrsRecursive (_: value: value != null)) (orElse [ ] (given.scrapeConfigs or [ ]));
          checkConfig = orElse true (given.checkConfig or true);
          credentials = lib.toList (host.config.systemd.services.prometheus.serviceConfig.LoadCredential or [ ]);
        };
      node = orElse [ ] (host.config.services.prometheus.exporters.node.extraFlags or [ ]);
      dashboards = map (provider: {
        inherit (provider) name;
        path = baseNameOf provider.options.path;
      }) (orElse [ ] (host.config.services.grafana.provision.dashboards.settings.providers or [ ]));
      authorized = lib.concatStringsSep "\n" (host.config.users.users.hearth-backup-hub.openssh.authorizedKeys.keys or [ ]);
      ports = host.config.networking.firewall.allowedTCPPorts;
      units = lib.filterAttrs (unit: _: lib.hasPrefix "hearth-backup" unit) rendered.units;
      secrets = rendered.secrets;
      tmpfiles = rendered.tmpfiles;
      persistence = lib.mapAttrs (_: root: map (entry: entry.directory) root.directories) (host.config.environment.persistence or { });
    };
in
lib.mapAttrs evaluate cases
