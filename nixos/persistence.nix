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
    environment.persistence = lib.mkIf (cfg.enable && isGiven && cfg.persistRoot != null) {
      ${cfg.persistRoot}.directories = [
        {
          directory = "/var/lib/hearth-backup";
          user = "root";
          group = "root";
          mode = "0700";
        }
      ];
    };
  };
}
