# What is saved: the schedule, the place, the retention, and how much of the host a job may take. Sources are in sources.nix.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };
  hooks = description: own.listOf own.hook description { };

  job = types.submodule {
    imports = [ ./sources.nix ];
    options = {
      enable = own.flag true "Whether there is such a job.";
      repositories = own.listOf types.str "Names of the repositories that it goes to. Each succeeds or fails by itself; sources are read once." {
        example = [ "hub" "cloud" ];
      };
      schedule = own.schedule "daily" "When the job runs. `systemctl start hearth-backup-<job>` runs it at any time.";
      randomizedDelay = own.randomizedDelay "15min";
      persistent = own.flag true "Whether a time at which the host was off is made up for when it starts.";
      every = own.maybe types.str "How often it shall run, for a hub that watches over it; what the timer says if absent. A job without a timer that is started otherwise is never late without this." {
        example = "24h";
      };
      wakeSystem = own.flag false "Whether the timer wakes the host from sleep.";
      inhibitsSleep = own.flag false "Whether the host stays awake while the job runs.";
      after = own.listOf types.str "Jobs that this one waits for, if they run at the same time." { example = [ "databases" ]; };

      retention = own.retention "What is kept of this job's snapshots; everything if absent. `hearth-backup-forget-<repository>` sees to it.";

      tags = own.listOf types.str "Labels of the snapshots." { };
      compression = mkOption {
        type = types.ints.between 1 22;
        default = 3;
        description = "zstd level.";
      };
      skipIfUnchanged = own.flag false "Make no snapshot if nothing has changed.";
      window = mkOption {
        type = types.nullOr (
          types.submodule {
            options = {
              from = mkOption {
                type = own.timeOfDay;
                example = "22:00";
                description = "When it begins.";
              };
              to = mkOption {
                type = own.timeOfDay;
                example = "06:00";
                description = "When it ends; it may lie around midnight.";
              };
            };
          }
        );
        default = null;
        description = "The time of day in which the job may run. At its end a run stops, and the next one continues from what is stored.";
      };

      limits = {
        nice = own.maybe (types.ints.between 0 19) "How far others come first for the processor." { example = 10; };
        io = own.maybe (types.enum [ "idle" "bestEffort" ]) "When the job's reads and writes have their turn." { };
        threads = own.maybe types.ints.positive "How many processors it may use at once." { };
        readRate = own.maybe own.byteSize "How many bytes of the sources may be read in a second." { example = "50MiB"; };
        uploadRate = own.maybe own.byteSize "How many bytes may be written in a second, to all repositories together." { };
        memory = own.memory;
        ioWeight = mkOption {
          type = types.nullOr (types.ints.between 1 10000);
          default = 50;
          description = "The job's share of the disks when others want them too; others have 100 (`IOWeight`).";
        };
        cpuWeight = mkOption {
          type = types.nullOr (types.ints.between 1 10000);
          default = 50;
          description = "The job's share of the processors when others want them too; others have 100 (`CPUWeight`).";
        };
        time = own.time;
      };

      retries = {
        count = mkOption {
          type = types.ints.unsigned;
          default = 2;
          description = "How often a run that failed is tried again. One that saved all but a few files is not.";
        };
        delay = mkOption {
          type = types.str;
          default = "10min";
          description = "How long to wait before.";
        };
      };

      hooks = {
        before = hooks "Run before anything is read; if one fails, the job does not run.";
        afterSuccess = hooks "Run after all was saved.";
        afterFailure = hooks "Run after something was not.";
        always = hooks "Run at the end, whatever happened.";
      };

      notify = own.notify "what becomes of runs";

      sandbox = own.flag true ''
        Whether the units are confined to what the job's sources need. Hooks and commands run in the same confinement: they can write to
        `readWritePaths` only. What else they need can be set in `systemd.services."hearth-backup-<job>".serviceConfig`, which overrides
        the confinement, or turn it off.
      '';
      readWritePaths = own.listOf own.absolutePath "Where hooks and commands may write." { example = [ "/var/lib/app/dumps" ]; };
      path = own.listOf types.package "Packages whose programs hooks and commands call by name." { example = lib.literalExpression "[ pkgs.redis ]"; };
    };
  };
in
{
  options.services.hearth-backup.jobs = mkOption {
    type = types.attrsOf job;
    default = { };
    example = lib.literalExpression ''
      {
        state = {
          services = [ "outline" "forgejo" "vaultwarden" ];
          repositories = [ "hub" ];
          schedule = "daily";
          retention = { daily = 7; weekly = 4; monthly = 6; };
        };
      }
    '';
    description = "What is saved, by name. Each becomes `hearth-backup-<job>.service` and `.timer`.";
  };
}
