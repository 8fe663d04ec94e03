# The engine's configuration file, as the options make it: one for the host, checked against the engine's schema in the tests.
{
  config,
  lib,
  ...
}:
let
  own = import ./lib.nix { inherit lib; };
  telling = import ./notify.nix { inherit lib; };
  cfg = config.services.hearth-backup;
  jobs = lib.filterAttrs (_: job: job.enable) cfg.jobs;
  mirrors = lib.filterAttrs (_: mirror: mirror.enable) cfg.mirrors;

  credential = name: "credential:${name}";
  orNull = condition: value: if condition then value else null;
  unlessEmpty = value: orNull (value != [ ] && value != { } && value != false) value;

  # --- repositories -------------------------------------------------------------------

  repository = name: repository: {
    inherit (repository) url copy connections limitUpload limitDownload;
    writerKey = orNull (repository.writerKey != null) (credential "${name}-writer-key");
    credentials = orNull (repository.credentials != null) (credential "${name}-credentials");
    identity = orNull (repository.identity != null) (credential "${name}-identity");
    token = orNull (repository.token != null) (credential "${name}-token");
    allowPlainHttp = unlessEmpty repository.allowPlainHttp;
    prune = { inherit (repository.prune) grace maxUnused; };
    check = { inherit (repository.check) readPacks; };
    notify = telling.settingsOf "maintain-${name}" repository.notify;
  };

  # --- jobs ---------------------------------------------------------------------------

  isLocal = server: (server.host == null || lib.hasPrefix "/" server.host) && server.through == [ ];

  server =
    name: kind: options: databases:
    removeAttrs options [ "package" "password" ]
    // {
      inherit databases;
      exclude = unlessEmpty options.exclude;
      through = unlessEmpty options.through;
      passwordFile = orNull (options.password != null) (credential "${name}-${kind}-password");
    };
  # Options of a server that only presets speak of.
  plain = {
    databases = null;
    exclude = [ ];
    through = [ ];
    password = null;
    host = null;
    user = null;
  };

  postgresql =
    name: job:
    let
      options = if job.postgresql == null then plain else job.postgresql;
      databases = cfg.resolved.${name}.postgresql;
    in
    orNull (databases != [ ]) (
      server name "postgresql" options databases
      // {
        user = if options.user == null && isLocal options && options.password == null then "postgres" else orNull (options.user != "") options.user;
      }
    );
  mysql =
    name: kind: job:
    let
      options = if job.${kind} == null then plain else job.${kind};
      databases = cfg.resolved.${name}.${kind};
    in
    orNull (databases != [ ]) (server name kind options databases);

  sqlite =
    name: job:
    if job.sqlite != null then
      job.sqlite // { databases = unlessEmpty job.sqlite.databases; }
    else
      orNull cfg.resolved.${name}.sqlite { discover = true; };

  job =
    name: job:
    let
      found = cfg.resolved.${name};
    in
    {
      inherit (job) repositories compression window every;
      paths = unlessEmpty found.paths;
      optionalPaths = unlessEmpty found.optionalPaths;
      exclude = unlessEmpty found.exclude;
      excludeFrom = unlessEmpty job.excludeFrom;
      excludePresets = unlessEmpty job.excludePresets;
      excludeIfPresent = unlessEmpty job.excludeIfPresent;
      inherit (job) excludeLargerThan;
      oneFileSystem = unlessEmpty job.oneFileSystem;
      ignoreInode = unlessEmpty job.ignoreInode;
      postgresql = postgresql name job;
      mysql = mysql name "mysql" job;
      mariadb = mysql name "mariadb" job;
      sqlite = sqlite name job;
      commands = unlessEmpty job.commands;
      devices = unlessEmpty job.devices;
      lvmVolumes = unlessEmpty job.lvmVolumes;
      containers =
        if job.containers == null then
          null
        else
          job.containers
          // {
            volumes = unlessEmpty job.containers.volumes;
            labels = unlessEmpty job.containers.labels;
          };
      filesystemSnapshots = orNull (job.filesystemSnapshots != "off") job.filesystemSnapshots;
      quiesce = {
        services = unlessEmpty found.quiesce;
        freeze = unlessEmpty job.quiesce.freeze;
        thaw = unlessEmpty job.quiesce.thaw;
        inherit (job.quiesce) timeoutSeconds;
      };
      hooks = lib.mapAttrs (_: unlessEmpty) job.hooks;
      limits = {
        inherit (job.limits)
          nice
          io
          threads
          readRate
          uploadRate
          ;
      };
      tags = unlessEmpty job.tags;
      skipIfUnchanged = unlessEmpty job.skipIfUnchanged;
      inherit (job) retention;
      notify = telling.settingsOf name job.notify;
    };

  # --- mirrors ------------------------------------------------------------------------

  mirror = name: mirror: {
    inherit (mirror) from to retention;
    prune = unlessEmpty mirror.prune;
    verify = orNull (mirror.verify > 0) mirror.verify;
    notify = telling.settingsOf "mirror-${name}" mirror.notify;
  };

  # --- drills -------------------------------------------------------------------------

  drill =
    name: drill:
    let
      # Its package is in the unit's path.
      server =
        options:
        if options == null then
          null
        else
          {
            inherit (options) databases;
            assertions = unlessEmpty options.assertions;
            settings = unlessEmpty options.settings;
          };
    in
    {
      inherit (drill)
        repository
        mirror
        host
        job
        scratch
        tmpfs
        compareWithSource
        bootTarget
        bootTimeout
        timeLimit
        every
        ;
      key = orNull (drill.key != null) (credential "drill-${name}-key");
      snapshot = orNull (drill.snapshot != "latest") drill.snapshot;
      amount = orNull (drill.amount != "everything") drill.amount;
      postgresql = server drill.postgresql;
      mariadb = server drill.mariadb;
      sqlite =
        if drill.sqlite == null then
          null
        else
          {
            databases = unlessEmpty drill.sqlite.databases;
            discover = unlessEmpty drill.sqlite.discover;
            assertions = unlessEmpty drill.sqlite.assertions;
          };
      smoke =
        if drill.smoke == null then
          null
        else
          {
            inherit (drill.smoke) command timeout;
            sandbox = orNull (!drill.smoke.sandbox) false;
            readable = unlessEmpty drill.smoke.readable;
          };
      fullHost = unlessEmpty drill.fullHost;
      notify = telling.settingsOf "drill-${name}" drill.notify;
    };

  # --- who is told --------------------------------------------------------------------

  reporting = hub: {
    inherit (hub) url jobs;
    token = orNull (hub.token != null) (credential "report-token");
    identity = orNull (hub.identity != null) (credential "report-identity");
    allowPlainHttp = unlessEmpty hub.allowPlainHttp;
  };

  monitoring = {
    textfile = own.textfileOf cfg;
    pushgateway =
      let
        gateway = cfg.monitoring.pushgateway;
      in
      if gateway == null then
        null
      else
        {
          inherit (gateway) url timeout;
          credentials = orNull (gateway.credentials != null) (credential "report-pushgateway");
        };
    inherit (cfg.monitoring) keepReports drillWithin;
    uncovered = unlessEmpty cfg.coverage.uncovered;
  };
in
{
  config.services.hearth-backup = {
    readFrom = lib.mkIf (cfg.persistRoot != null) {
      "/var/lib" = lib.mkDefault "${cfg.persistRoot}/var/lib";
    };
    settings = own.prune {
      inherit (cfg) host stateDir;
      recipients = unlessEmpty cfg.recipients;
      readFrom = unlessEmpty cfg.readFrom;
      repositories = lib.mapAttrs repository cfg.repositories;
      jobs = lib.mapAttrs job jobs;
      mirrors = lib.mapAttrs mirror mirrors;
      drills = lib.mapAttrs drill (lib.filterAttrs (_: drill: drill.enable) cfg.drills);
      notify = telling.settingsOf telling.nameOfAll cfg.notify;
      reportTo = if cfg.reportTo == null then null else reporting cfg.reportTo;
      inherit monitoring;
    };
  };
}
