# The agent: it keeps one connection to the hub, and starts this host's jobs when somebody asks for it there.
#
# It has a user of its own and no rights but one: polkit lets it start the services of the jobs that `reportTo.jobs` names. As root, however confined, it could ask systemd
# for anything, and so could whoever took it over.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  confine = import ./hardening.nix { inherit lib; };
  parts = import ./parts.nix { inherit config lib pkgs utils; };
  cfg = config.services.hearth-backup;
  user = "hearth-backup-agent";
  jobs = lib.attrNames (lib.filterAttrs (_: job: job.enable) cfg.jobs);
  startable = lib.filter (job: cfg.reportTo.jobs == null || lib.elem job cfg.reportTo.jobs) jobs;
  ssh = parts.sshFor (lib.attrValues cfg.repositories ++ [ cfg.reportTo ]) [ cfg.reportTo ];
  network = parts.afterNetwork true;
in
{
  config = lib.mkIf (cfg.enable && cfg.agent.enable && cfg.reportTo != null) {
    users.users.${user} = {
      isSystemUser = true;
      group = user;
      description = "Starts jobs of hearth-backup for the hub";
    };
    users.groups.${user} = { };

    security.polkit.enable = true;
    security.polkit.extraConfig = ''
      // ${user} starts backups, and nothing else.
      polkit.addRule(function(action, subject) {
        if (subject.user == "${user}" && action.id == "org.freedesktop.systemd1.manage-units"
            && action.lookup("verb") == "start"
            && ${builtins.toJSON (map (job: "hearth-backup-${job}.service") startable)}.indexOf(action.lookup("unit")) >= 0) {
          return polkit.Result.YES;
        }
      });
    '';

    systemd.services.hearth-backup-agent = {
      description = "Start backups when the hub asks for them";
      documentation = [ "man:hearth-backup-agent(1)" ];
      wantedBy = [ "multi-user.target" ];
      after = network.after ++ [ "dbus.socket" ];
      inherit (network) wants;
      inherit (ssh) path environment;
      serviceConfig = {
        Type = "notify";
        ExecStart = parts.commandWith (parts.fileOf "hearth-backup" cfg.settings) [ "agent" ];
        User = user;
        Group = user;
        Restart = "always";
        RestartSec = "10s";
        # A wrong configuration does not mend itself.
        RestartPreventExitStatus = 2;
        WatchdogSec = "2min";
        MemoryMax = "256M";
        WorkingDirectory = "/";
        LoadCredential = parts.credentialsOf (entry: entry.reports or false);
      }
      // confine {
        needs.network = true;
        owner = true;
      };
    };
  };
}
