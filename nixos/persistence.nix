# Where the tool keeps its own state.
{
  config,
  options,
  lib,
  ...
}:
let
  cfg = config.services.hearth-backup;
  # Found by itself, the root is read from `environment.persistence`, which then cannot depend on it.
  isGiven = options.services.hearth-backup.persistRoot.highestPrio < (lib.mkOptionDefault { }).priority;
  keepsHub = cfg.hub.enable && cfg.hub.dataDir == "${toString cfg.persistRoot}/var/lib/hearth-backup-hub";
  directory = directory: owner: {
    inherit directory;
    user = owner;
    group = owner;
    mode = "0700";
  };
in
{
  config = {
    systemd.tmpfiles.settings."10-hearth-backup" = lib.mkIf cfg.enable {
      ${cfg.stateDir}.d = {
        mode = "0700";
        user = "root";
        group = "root";
      };
    };
  }
  // lib.optionalAttrs (options.environment or { } ? persistence) {
    environment.persistence = lib.mkIf (isGiven && cfg.persistRoot != null && (cfg.enable || keepsHub)) {
      ${cfg.persistRoot}.directories =
        lib.optional cfg.enable (directory "/var/lib/hearth-backup" "root")
        ++ lib.optional keepsHub (directory "/var/lib/hearth-backup-hub" "hearth-backup-hub");
    };
  };
}
