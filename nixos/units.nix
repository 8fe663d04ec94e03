# systemd's units.
#
#   hearth-backup-JOB.timer --> hearth-backup-JOB.service --ends--> hearth-backup-notify-JOB@UNIT.service
#                               --begins--> hearth-backup-notify-start-JOB.service
#   hearth-backup-mirror-NAME.timer --> .service --ends--> hearth-backup-notify-mirror-NAME@UNIT.service, or those of the jobs of what it copies
#   hearth-backup-{forget,prune,check}-REPOSITORY.timer --> the same with .service --ends--> hearth-backup-notify-maintain-REPOSITORY@UNIT.service, or those of its jobs
#                               --begins--> hearth-backup-notify-start-maintain-REPOSITORY@UNIT.service
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  own = import ./lib.nix { inherit lib; };
  confine = import ./hardening.nix { inherit lib; };
  parts = import ./parts.nix { inherit config lib pkgs utils; };
  inherit (parts) afterNetwork beginning beginningOf common credentialsOf notifications quietly timer together;
  inherit (import ./host-parts.nix { inherit config lib pkgs utils; })
    command
    directories
    file
    isRemote
    listeners
    notifiers
    settle
    sshFor
    writableOf
    ;
  cfg = config.services.hearth-backup;
  jobs = lib.filterAttrs (_: job: job.enable) cfg.jobs;
  # Of what is misspelt the assertions speak.
  mirrors = lib.filterAttrs (_: mirror: mirror.enable && cfg.repositories ? ${mirror.from} && cfg.repositories ? ${mirror.to}) cfg.mirrors;
  inherit (lib) optional optionals;

  repositoriesOf = job: lib.filterAttrs (name: _: lib.elem name job.repositories) cfg.repositories;
  # What it stores waits in /var/tmp until it is complete.
  takesWholeObjects = repository: own.isObjectStore repository.url || own.isAtHub repository.url;

  # Where a path is read: through the innermost place that is read from elsewhere.
  readAt =
    path:
    let
      places = lib.filter (place: own.isWithin place path) (lib.attrNames cfg.readFrom);
      innermost = lib.foldl' (best: place: if best == null || lib.stringLength place > lib.stringLength best then place else best) null places;
    in
    if innermost == null then path else cfg.readFrom.${innermost} + lib.removePrefix (lib.removeSuffix "/" innermost) path;

  # --- what a job needs ---------------------------------------------------------------

  needsOf =
    name: job:
    let
      found = cfg.resolved.${name};
      servers = serversOf job;
      hooks = lib.concatLists (lib.attrValues job.hooks);
      foreign = job.commands != { } || hooks != [ ] || job.quiesce.freeze ++ job.quiesce.thaw != [ ] || lib.any (server: server.through != [ ]) servers;
      snapshots = job.filesystemSnapshots != "off" || job.lvmVolumes != [ ];
      remote =
        lib.any isRemote (lib.attrValues (repositoriesOf job) ++ listeners)
        || lib.any (server: server.host != null && !lib.hasPrefix "/" server.host) servers;
    in
    {
      everything = true;
      inherit remote;
      override = lib.any (repository: repository.foreignOwner) (lib.attrValues (repositoriesOf job));
      network = remote || foreign || job.containers != null;
      identities =
        found.postgresql != [ ] || lib.any (server: (server.user or null) != null) servers || job.containers != null;
      ownership = job.postgresql != null && (job.postgresql.format == "directory" || job.postgresql.directoryFrom != null);
      mounts = snapshots;
      devices = job.devices != { };
      priorities = job.limits.nice != null || job.limits.io != null;
      temporary = lib.any (path: own.isWithin "/tmp" path || own.isWithin "/var/tmp" path) (found.paths ++ found.optionalPaths);
      processes = foreign;
    };

  # Tools that a job calls by name.
  tools =
    name: job:
    let
      found = cfg.resolved.${name};
      package = options: default: if options != null && options.package != null then options.package else default;
      snapshots = job.filesystemSnapshots != "off" || job.lvmVolumes != [ ];
    in
    job.path
    ++ optional (found.postgresql != [ ]) (package job.postgresql (own.packageOf config "postgresql" pkgs.postgresql))
    ++ optional (found.mariadb != [ ]) (package job.mariadb (own.packageOf config "mysql" pkgs.mariadb))
    ++ optional (found.mysql != [ ]) (package job.mysql (own.packageOf config "mysql" pkgs.mariadb))
    ++ optionals snapshots (
      [
        pkgs.btrfs-progs
        pkgs.lvm2
        pkgs.util-linux
      ]
      ++ optional (config.boot.zfs.enabled or false) (config.boot.zfs.package or pkgs.zfs)
    )
    ++ optional (usesEngine "podman" job) (config.virtualisation.podman.package or pkgs.podman)
    ++ optional (usesEngine "docker" job) (config.virtualisation.docker.package or pkgs.docker);

  serversOf =
    job:
    lib.filter (server: server != null) [
      job.postgresql
      job.mysql
      job.mariadb
    ];
  usesEngine =
    engine: job:
    (job.containers != null && job.containers.engine == engine)
    || lib.any (server: server.through != [ ] && lib.head server.through == engine) (serversOf job);

  # --- services -----------------------------------------------------------------------

  ofJobs = unit: jobs: together (lib.mapAttrsToList (notifications unit) jobs);

  backup =
    name: job:
    let
      found = cfg.resolved.${name};
      repositories = repositoriesOf job;
      ssh = sshFor (lib.attrValues repositories ++ listeners);
      needs = needsOf name job;
      network = afterNetwork needs.remote;
      servers =
        optionals (found.postgresql != [ ] && config.services.postgresql.enable or false) [
          "postgresql.service"
          # Its databases and roles are made after it.
          "postgresql.target"
        ]
        ++ optional (found.mysql != [ ] || found.mariadb != [ ]) "mysql.service";
      credentials = credentialsOf (
        entry: lib.elem (entry.repository or null) job.repositories || (entry.job or null) == name || entry.reports or false
      );
      awake = optional job.inhibitsSleep "hearth-backup-awake-${name}.service";
      fixed = paths: lib.remove "/" (map own.fixedPart paths);
      mountsOf = paths: map (own.word utils) (lib.unique (map readAt (fixed paths) ++ fixed paths));
    in
    {
      description = "Back up ${name} to ${own.enumerate job.repositories}";
      documentation = [ "man:hearth-backup(1)" ];
      after = network.after ++ servers ++ awake ++ map (other: "hearth-backup-${other}.service") job.after;
      wants = network.wants ++ awake ++ beginning name job;
      inherit (notifications "hearth-backup-${name}" name job) onFailure onSuccess;
      # A running backup is not stopped by a new configuration.
      restartIfChanged = false;
      unitConfig = {
        RequiresMountsFor = lib.unique ([ (own.word utils cfg.stateDir) ] ++ mountsOf found.paths);
        # A disk that is not plugged in keeps nothing from the other repositories.
        WantsMountsFor = map (own.word utils) (directories (lib.attrValues repositories)) ++ mountsOf found.optionalPaths;
      };
      path = tools name job ++ ssh.path;
      environment = ssh.environment // {
        HEARTH_CONFIG = "${file}";
        # Podman itself would write to its state, which is not for a confined unit; its service does.
        CONTAINER_HOST = lib.mkIf (usesEngine "podman" job && job.sandbox) "unix:///run/podman/podman.sock";
      };
      serviceConfig =
        common
        // {
          ExecStart = command (
            [
              "run"
              name
            ]
            # Not by systemd, whose limit of starts would count those by hand too.
            ++ optionals (job.retries.count > 0) [
              "--retries"
              (toString job.retries.count)
              "--retry-delay"
              job.retries.delay
            ]
          );
          ExecStopPost = settle "backup" name credentials;
          LoadCredential = credentials;
          TimeoutStartSec = job.limits.time;
        }
        // lib.filterAttrs (_: value: value != null) {
          MemoryMax = job.limits.memory;
          IOWeight = job.limits.ioWeight;
          CPUWeight = job.limits.cpuWeight;
        }
        // lib.optionalAttrs job.sandbox (confine {
          inherit needs;
          writable =
            writableOf (lib.attrValues repositories)
            # Where a pack waits until it is complete; else the unit has one of its own.
            ++ optional (needs.temporary && lib.any takesWholeObjects (lib.attrValues repositories)) "/var/tmp"
            ++ map (path: own.word utils "-${path}") job.readWritePaths;
          deviceNodes = lib.mapAttrsToList (_: device: own.word utils device.path) job.devices;
        });
    };

  # Beside the job, not around it: signals and the exit status are the job's own, and without logind it runs all the same.
  awake = name: job: {
    description = "Keep the host awake while ${name} is backed up";
    unitConfig.StopWhenUnneeded = true;
    serviceConfig = {
      ExecStart = "${config.systemd.package or pkgs.systemd}/bin/systemd-inhibit --mode=block --what=sleep --who=hearth-backup --why=backup ${pkgs.coreutils}/bin/sleep infinity";
    }
    // confine { needs = { }; };
  };

  allOf = make: lib.foldl' (all: units: all // units) { } make;

  # --- mirrors ------------------------------------------------------------------------

  mirror =
    name: mirror:
    let
      ends = map (end: cfg.repositories.${end}) [ mirror.from mirror.to ];
      remote = lib.any isRemote (ends ++ listeners);
      network = afterNetwork remote;
      # Whose key says which repository it must be; it needs none else.
      voucher = lib.findFirst (end: cfg.repositories.${end}.writerKey != null) null [ mirror.from mirror.to ];
      credentials = credentialsOf (
        entry:
        lib.elem (entry.repository or null) [ mirror.from mirror.to ] && (!(entry.writes or false) || entry.repository == voucher)
        || entry.reports or false
      );
      told = notifications "hearth-backup-mirror-${name}" "mirror-${name}" mirror;
      feeding = lib.filterAttrs (_: job: lib.any (repository: lib.elem mirror.from (own.reachedFrom mirrors repository)) job.repositories) jobs;
    in
    {
      description = "Copy the backups in ${mirror.from} to ${mirror.to}";
      documentation = [ "man:hearth-backup-mirror(1)" ];
      # What comes into the original at the same time is copied too.
      after =
        network.after
        ++ map (job: "hearth-backup-${job}.service") (lib.attrNames (jobsOf mirror.from))
        ++ mirrorsTo mirror.from;
      wants = network.wants ++ beginning "mirror-${name}" mirror;
      inherit (if told.onFailure != [ ] then told else ofJobs "hearth-backup-mirror-${name}" feeding) onFailure onSuccess;
      restartIfChanged = false;
      unitConfig.RequiresMountsFor = map (own.word utils) ([ cfg.stateDir ] ++ directories ends);
      inherit (sshFor (ends ++ listeners)) path environment;
      serviceConfig =
        quietly
        // {
          ExecStart = command [
            "mirror"
            name
          ];
          ExecStopPost = settle "mirror" name credentials;
          LoadCredential = credentials;
          TimeoutStartSec = mirror.limits.time;
        }
        // lib.filterAttrs (_: value: value != null) { MemoryMax = mirror.limits.memory; }
        // confine {
          needs = {
            network = remote;
            override = lib.any (end: end.foreignOwner) ends;
          };
          # Nothing is written to the original.
          writable = writableOf [ cfg.repositories.${mirror.to} ];
        };
    };

  # Units of the mirrors that bring something to a repository.
  mirrorsTo = repository: map (name: "hearth-backup-mirror-${name}.service") (lib.attrNames (lib.filterAttrs (_: mirror: mirror.to == repository) mirrors));

  # --- keeping house ------------------------------------------------------------------

  jobsOf = repository: lib.filterAttrs (_: job: lib.elem repository job.repositories) jobs;
  forgets = name: lib.any (job: job.retention != null) (lib.attrValues (jobsOf name));
  steps = {
    forget = "Forget old snapshots of";
    prune = "Give back the space of";
    check = "Check";
  };
  # A mirror without this host's key keeps house by itself.
  stepsOf = name: repository: lib.filter (step: repository.writerKey != null && repository.${step}.enable && (step != "forget" || forgets name)) (lib.attrNames steps);

  keeping = step: name: repository: let
    remote = lib.any isRemote ([ repository ] ++ listeners);
    credentials = credentialsOf (entry: (entry.repository or null) == name || entry.reports or false);
    told = notifications "hearth-backup-${step}-${name}" "maintain-${name}" repository;
  in {
    description = "${steps.${step}} the backups in ${name}";
    documentation = [ "man:hearth-backup-maintain(1)" ];
    # Not all at once, and not while this host's jobs and mirrors write to it, if they have the same times.
    after =
      (afterNetwork remote).after
      ++ map (job: "hearth-backup-${job}.service") (lib.attrNames (jobsOf name))
      ++ mirrorsTo name
      ++ optional (step == "prune") "hearth-backup-forget-${name}.service"
      ++ optional (step == "check") "hearth-backup-prune-${name}.service";
    wants = (afterNetwork remote).wants ++ beginningOf "hearth-backup-${step}-${name}" "maintain-${name}" repository;
    inherit (if told.onFailure != [ ] then told else ofJobs "hearth-backup-${step}-${name}" (jobsOf name)) onFailure onSuccess;
    restartIfChanged = false;
    unitConfig.RequiresMountsFor = map (own.word utils) ([ cfg.stateDir ] ++ directories [ repository ]);
    inherit (sshFor ([ repository ] ++ listeners)) path environment;
    serviceConfig =
      quietly
      // {
        ExecStart = command [
          "maintain"
          name
          "--only"
          step
        ];
        ExecStopPost = settle step name credentials;
        LoadCredential = credentials;
        TimeoutStartSec = "infinity";
        MemoryMax = "2G";
      }
      // confine {
        needs = {
          network = remote;
          override = repository.foreignOwner;
        };
        writable = writableOf [ repository ];
      };
  };

  maintenance =
    make:
    lib.listToAttrs (
      lib.concatLists (
        lib.mapAttrsToList (
          name: repository: map (step: lib.nameValuePair "hearth-backup-${step}-${name}" (make step name repository)) (stepsOf name repository)
        ) cfg.repositories
      )
    );
in
{
  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."hearth-backup/config.json".source = file;

    systemd.services =
      lib.mapAttrs' (name: job: lib.nameValuePair "hearth-backup-${name}" (backup name job)) jobs
      // lib.mapAttrs' (name: job: lib.nameValuePair "hearth-backup-awake-${name}" (awake name job)) (lib.filterAttrs (_: job: job.inhibitsSleep) jobs)
      // allOf (lib.mapAttrsToList (name: job: notifiers name [ name ] "hearth-backup-${name}" job) jobs)
      // lib.mapAttrs' (name: mirror': lib.nameValuePair "hearth-backup-mirror-${name}" (mirror name mirror')) mirrors
      // allOf (
        lib.mapAttrsToList (name: mirror': notifiers "mirror-${name}" [ name "--mirror" ] "hearth-backup-mirror-${name}" mirror') mirrors
        ++ lib.mapAttrsToList (name: repository: notifiers "maintain-${name}" [ name "--maintain" ] null repository) (
          lib.filterAttrs (name: repository: stepsOf name repository != [ ]) cfg.repositories
        )
      )
      // maintenance keeping;
    systemd.timers =
      lib.mapAttrs' (
        name: job:
        lib.nameValuePair "hearth-backup-${name}" (timer {
          inherit (job)
            schedule
            randomizedDelay
            persistent
            wakeSystem
            ;
        })
      ) jobs
      // lib.mapAttrs' (
        name: mirror': lib.nameValuePair "hearth-backup-mirror-${name}" (timer { inherit (mirror') schedule randomizedDelay persistent; })
      ) mirrors
      // maintenance (step: _: repository: timer { inherit (repository.${step}) schedule randomizedDelay; });
  };
}
