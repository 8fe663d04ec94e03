# What each job saves, once its services are looked up and the host's state is discovered.
#
#   services.<name>  --> presets.nix ---+
#   StateDirectory=  --> state ---------+--> job: paths, exclude, databases, what stands still --> settings.nix, units.nix
#   ensureDatabases  -------------------+                                                     `--> coverage
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  own = import ./lib.nix { inherit lib; };
  inherit (import ./presets.nix { inherit lib; }) presets stateless;
  cfg = config.services.hearth-backup;

  words =
    value:
    if value == null then
      [ ]
    else if lib.isList value then
      value
    else
      lib.filter (word: word != "") (lib.splitString " " value);

  # --- the host's state ---------------------------------------------------------------

  # Every StateDirectory: its name below /var/lib, and whether systemd keeps it in /var/lib/private.
  stateDirectories = lib.filter (entry: entry.name != "") (lib.concatLists (
    lib.mapAttrsToList (
      unit: service:
      map (entry: {
        # `source:link` names a link too.
        name = own.withoutSpecifiers unit (lib.head (lib.splitString ":" entry));
        private = service.serviceConfig.DynamicUser or false;
        inherit unit;
      }) (words (service.serviceConfig.StateDirectory or [ ]))
    ) (lib.filterAttrs (unit: service: (service.enable or true) && !lib.hasPrefix "hearth-backup-" unit) config.systemd.services)
  ));
  privateNames = lib.unique (map (entry: entry.name) (lib.filter (entry: lib.elem entry.private [ true "true" "yes" "on" "1" ]) stateDirectories));

  # The place of a path: /var/lib/x of a service with a dynamic user is a link to /var/lib/private/x.
  real =
    path:
    let
      name = lib.findFirst (name: own.isWithin "/var/lib/${name}" path) null privateNames;
    in
    if name == null then path else "/var/lib/private/${lib.removePrefix "/var/lib/" path}";

  # The same for a pattern, which may take back what another one left out.
  realPattern =
    pattern:
    if lib.hasPrefix "!" pattern then
      "!${real (lib.removePrefix "!" pattern)}"
    else
      real pattern;

  # Databases have dumps; what their servers keep in files is of no use without the server standing still.
  servers = {
    postgresql = {
      enabled = config.services.postgresql.enable or false;
      databases = config.services.postgresql.ensureDatabases or [ ];
    };
    mysql = {
      enabled = config.services.mysql.enable or false;
      databases = config.services.mysql.ensureDatabases or [ ];
    };
  };
  # `services.mysql` runs either; the engine tells them apart.
  ownMysql =
    if lib.hasPrefix "mariadb" (own.packageOf config "mysql" pkgs.mariadb).name then "mariadb" else "mysql";
  ofServer = name: lib.any (server: name == server || lib.hasPrefix "${server}/" name) [ "postgresql" "mysql" ];
  isStateless = name: lib.any (known: name == known || lib.hasPrefix "${known}/" name) stateless;

  state = lib.unique (
    map (entry: "/var/lib/${entry.name}") (lib.filter (entry: !ofServer entry.name && !isStateless entry.name) stateDirectories)
  );

  # --- presets ------------------------------------------------------------------------

  # A service that NixOS has removed throws when it is looked at.
  isEnabled =
    name:
    let
      enabled = builtins.tryEval ((presets.${name} config).enabled or (config.services.${name}.enable or false));
    in
    enabled.success && enabled.value;
  enabledPresets = lib.filter isEnabled (lib.attrNames presets);

  presetDatabases = server: lib.concatMap (name: (presets.${name} config).${server} or [ ]) enabledPresets;
  allDatabases =
    server:
    let
      named = lib.unique (servers.${server}.databases ++ presetDatabases server);
    in
    lib.optionals servers.${server}.enabled named;

  # --- jobs ---------------------------------------------------------------------------

  isExcluded = excludes: path: lib.any (exclude: own.isWithin (lib.removeSuffix "/" exclude) path) excludes;
  # Only whole directories by their paths; patterns say nothing of whole services.
  literal = lib.filter (exclude: lib.hasPrefix "/" exclude && !own.isPattern exclude);

  resolve =
    name: job:
    let
      known = lib.filter (service: presets ? ${service}) job.services;
      named = map (service: presets.${service} config) known;
      discovered = lib.optionals job.autoDiscover (
        map (service: presets.${service} config) (lib.filter (service: !lib.elem service known) enabledPresets)
      );
      left = cfg.exclude ++ literal job.exclude;
      all = key: sets: lib.concatMap (set: set.${key} or [ ]) sets;
      # `kind` is the job's option, `server` the host's own server if that is of this kind.
      databases =
        kind: server:
        let
          options = job.${kind};
          mentioned = lib.optionals (server != null) (
            all server (named ++ discovered) ++ lib.optionals job.autoDiscover (allDatabases server)
          );
          given =
            if options == null then
              [ ]
            else if options.databases == null then
              (if mentioned == [ ] then "all" else [ ])
            else
              options.databases;
        in
        if given == "all" then "all" else lib.unique (given ++ mentioned);
    in
    {
      paths = lib.unique (map real (job.paths ++ all "paths" named));
      optionalPaths = lib.unique (
        map real (
          job.optionalPaths ++ lib.filter (path: !isExcluded left path) (all "paths" discovered ++ lib.optionals job.autoDiscover state)
        )
      );
      exclude = lib.unique (
        map realPattern (job.exclude ++ all "exclude" (named ++ discovered))
        ++ map (path: "${real (lib.removeSuffix "/" path)}/") (lib.filter (lib.hasPrefix "/") (lib.optionals job.autoDiscover cfg.exclude))
      );
      postgresql = databases "postgresql" "postgresql";
      mysql = databases "mysql" (if ownMysql == "mysql" then "mysql" else null);
      mariadb = databases "mariadb" (if ownMysql == "mariadb" then "mysql" else null);
      sqlite = job.sqlite != null || job.autoDiscover || lib.any (preset: preset.sqlite or false) (named ++ discovered);
      quiesce = lib.unique (job.quiesce.services ++ all "quiesce" (named ++ discovered));
      unknown = lib.filter (service: !presets ? ${service}) job.services;
      idle = lib.filter (service: !isEnabled service) known;
    };

  jobs = lib.mapAttrs resolve (lib.filterAttrs (_: job: job.enable) cfg.jobs);

  # --- coverage -----------------------------------------------------------------------

  expression =
    pattern:
    let
      escaped = lib.escapeRegex pattern;
    in
    lib.replaceStrings [ "\\*\\*" "\\*" "\\?" ] [ ".*" "[^/]*" "[^/]" ] escaped;
  saves =
    path: pattern:
    if own.isPattern pattern then
      builtins.match "${expression pattern}(/.*)?" path != null
    else
      own.isWithin (lib.removeSuffix "/" pattern) path || pattern == "/";
  jobsThatSave =
    path:
    lib.attrNames (
      lib.filterAttrs (
        name: job: lib.any (saves (real path)) (job.paths ++ job.optionalPaths) && !isExcluded (literal cfg.jobs.${name}.exclude) path
      ) jobs
    );
  jobsThatDump =
    server: database:
    let
      kind = if server == "mysql" then ownMysql else server;
    in
    lib.attrNames (lib.filterAttrs (_: job: job.${kind} == "all" || lib.elem database job.${kind}) jobs);

  fromPresets = lib.concatMap (name: (presets.${name} config).paths or [ ]) enabledPresets;
  # A directory within another one of the list says nothing new.
  outermost = paths: lib.filter (path: !lib.any (other: other != path && own.isWithin other path) paths) paths;
  directories = outermost (lib.unique (state ++ fromPresets));
  databaseItems =
    server:
    let
      names = allDatabases server;
    in
    if !servers.${server}.enabled then
      { }
    else if names == [ ] then
      { ${server} = jobsThatDump server null; }
    else
      lib.listToAttrs (map (database: lib.nameValuePair "${server}:${database}" (jobsThatDump server database)) names);
  items = lib.genAttrs directories jobsThatSave // databaseItems "postgresql" // databaseItems "mysql";
  leftOut =
    item:
    isExcluded cfg.exclude item
    || lib.elem item cfg.exclude
    || items.${item} == [ ] && lib.any (job: isExcluded (literal job.exclude) item) (lib.attrValues cfg.jobs);
in
{
  options.services.hearth-backup.resolved = mkOption {
    type = types.attrsOf types.raw;
    internal = true;
    readOnly = true;
    description = "What each job saves.";
  };

  config.services.hearth-backup = {
    resolved = jobs;
    coverage = {
      excluded = lib.filter leftOut (lib.attrNames items);
      covered = lib.filterAttrs (item: by: by != [ ] && !leftOut item) items;
      uncovered = lib.filter (item: items.${item} == [ ] && !leftOut item) (lib.attrNames items);
    };
  };
}
