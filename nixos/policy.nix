# Assertions and warnings: each says which option, what is wrong, and what to write instead.
{
  config,
  lib,
  ...
}:
let
  own = import ./lib.nix { inherit lib; };
  inherit (import ./presets.nix { inherit lib; }) presets;
  cfg = config.services.hearth-backup;
  jobs = lib.filterAttrs (_: job: job.enable) cfg.jobs;
  mirrors = lib.filterAttrs (_: mirror: mirror.enable) cfg.mirrors;
  inherit (lib) optional;
  quoted = names: own.enumerate (map (name: "`${name}`") names);
  say = path: text: "services.hearth-backup.${path}: ${text}";
  unless = condition: path: text: {
    assertion = condition;
    message = say path text;
  };

  keepsSomething = retention: retention == null || lib.any (amount: amount != null && amount != 0) (lib.attrValues retention);
  keepsNothing = "would keep nothing; say what stays, such as `{ daily = 7; weekly = 4; }`, or leave it out to keep everything.";

  # --- names and sources --------------------------------------------------------------

  reserved = [ "forget-" "prune-" "check-" "maintain-" "notify-" "mirror-" "drill-" "awake-" "hub-" ];
  ofJob =
    name: job:
    let
      found = cfg.resolved.${name};
      at = "jobs.${name}";
      unknown = lib.filter (repository: !cfg.repositories ? ${repository}) job.repositories;
      nothing =
        found.paths ++ found.optionalPaths ++ job.lvmVolumes == [ ]
        && job.commands == { }
        && job.devices == { }
        && job.containers == null
        && found.postgresql == [ ]
        && found.mysql == [ ]
        && found.mariadb == [ ]
        && (job.sqlite == null || job.sqlite.databases == [ ]);
      isLocal = server: server.host == null && server.through == [ ];
      twice = lib.filter (repository: lib.count (other: other == repository) job.repositories > 1) job.repositories;
    in
    [
      (unless (own.isGoodName name) at own.goodName)
      (unless (
        !lib.any (prefix: lib.hasPrefix prefix name) reserved && !lib.elem name [ "hub" "agent" ]
      ) at "a job's name must not be `hub` or `agent`, or begin with ${quoted reserved}: units of that name do other things.")
      (unless (job.repositories != [ ]) "${at}.repositories" "names none; a job needs somewhere to go. ${
        if cfg.repositories == { } then "Define one in `services.hearth-backup.repositories`." else "There are: ${lib.concatStringsSep ", " (lib.attrNames cfg.repositories)}."
      }")
      (unless (unknown == [ ]) "${at}.repositories" "there is no repository ${quoted unknown}; ${lib.concatMapStringsSep " " (name: own.suggest name (lib.attrNames cfg.repositories)) unknown}")
      (unless (twice == [ ]) "${at}.repositories" "${quoted (lib.unique twice)} is named twice.")
      (unless (found.unknown == [ ]) "${at}.services" "nothing is known of ${quoted found.unknown}.${
        lib.concatMapStrings (name: own.didYouMean name (lib.attrNames presets)) found.unknown
      } Name its directories in `paths` and its databases in `postgresql.databases`; what is known stands in nixos/presets.nix.")
      (unless (found.idle == [ ]) "${at}.services" "${quoted found.idle} is not enabled on this host, so there is nothing to save. Remove it, or set `services.${lib.head (found.idle ++ [ "" ])}.enable = true`.")
      (unless (!nothing || found.unknown != [ ] || found.idle != [ ]) at "has nothing to save; set `services`, `paths`, `autoDiscover`, databases, `commands`, `devices`, `lvmVolumes` or `containers`.")
      (unless (keepsSomething job.retention) "${at}.retention" keepsNothing)
      (unless (
        job.postgresql == null || !isLocal job.postgresql || config.services.postgresql.enable or false
      ) "${at}.postgresql" "this host has no PostgreSQL server. Set `services.postgresql.enable`, or say where it is with `host` or `through`.")
      (unless (
        (job.mysql == null || !isLocal job.mysql) && (job.mariadb == null || !isLocal job.mariadb) || config.services.mysql.enable or false
      ) "${at}.${if job.mariadb != null then "mariadb" else "mysql"}" "this host has no such server. Set `services.mysql.enable`, or say where it is with `host` or `through`.")
      (unless (
        job.mysql == null || job.mariadb == null || job.mysql.host != null || job.mariadb.host != null || job.mysql.through != [ ] || job.mariadb.through != [ ]
      ) at "sets both `mysql` and `mariadb` for the host's own server; `services.mysql.package` says which it is, set that one.")
      (unless (job.quiesce.freeze == [ ] || job.quiesce.thaw != [ ]) "${at}.quiesce.thaw" "is empty, but `freeze` is not; what is frozen must be thawed.")
      (unless (
        job.containers == null || job.containers.volumes != [ ] || job.containers.labels != [ ]
      ) "${at}.containers" ''names no volumes and no labels; `volumes = [ "*" ]` stands for all.'')
      (unless (job.window == null || job.window.from != job.window.to) "${at}.window" "ends when it begins; leave it out for a job that may run at any time.")
      (
        let
          strangers = lib.filter (other: !jobs ? ${other} || other == name) job.after;
        in
        unless (strangers == [ ]) "${at}.after" "there is no other job ${quoted strangers}; ${
          own.suggest (lib.head (strangers ++ [ "" ])) (lib.remove name (lib.attrNames jobs))
        }"
      )
    ];

  ofRepository =
    name: repository:
    let
      scheme = own.scheme repository.url;
      at = "repositories.${name}";
      # An option that means something only where the URL is of some kind.
      only = option: suits: what: unless (
        lib.elem repository.${option} [ null "" false ] || suits repository.url
      ) "${at}.${option}" "is for ${what}, and the URL names none; leave it out.";
      there = own.repositoryAt repository.url;
      # Their secrets would be called as those of others are.
      taken = name == "report" || lib.any (prefix: lib.hasPrefix prefix name) [ "hub-host-" "hub-mirror-" "drill-" ];
    in
    [
      (unless (!taken) at "a repository's name must not be `report`, or begin with `hub-host-`, `hub-mirror-` or `drill-`: secrets of that name are for other things.")
      (unless (own.isGoodName name) at own.goodName)
      (unless (
        lib.elem scheme [ null "file" "https" "http" "ssh" "sftp" "s3" ] || own.isService repository.url
      ) "${at}.url" "`${repository.url}`: repositories lie in directories (/mnt/backup/q), at hubs (https://HUB/NAME, ssh://USER@HUB/NAME), on servers (sftp://HOST/PATH), in buckets (s3://BUCKET/PREFIX) and at other services (opendal+webdav://HOST/PATH), not at ${toString scheme}://.")
      # The text does not repeat it.
      (unless (
        builtins.match "(sftp|ssh)://[^/@]*:[^/]*@.*|(s3|https|http|opendal\\+[a-z0-9]+)://[^/?]*@.*" repository.url == null
      ) "${at}.url" "holds a password or a key, and would be copied to the store, where everyone on the host can read it. Set `${
        if own.isObjectStore repository.url then "credentials" else if own.isOverHttp repository.url then "token" else "identity"
      }` instead.")
      (unless (
        !own.isAtHub repository.url || own.isHubName there
      ) "${at}.url" "`${there}` cannot be a repository at a hub: names are 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit.")
      (unless (
        scheme != "http" || repository.allowPlainHttp || own.isLoopback repository.url
      ) "${at}.url" "by http:// everybody on the way would see the token. Use https:// or ssh://, or set `allowPlainHttp` if the line is protected otherwise, such as by WireGuard.")
      (only "token" own.isOverHttp "hubs (https://...)")
      (only "allowPlainHttp" (url: own.scheme url == "http") "hubs without TLS (http://...)")
      (only "credentials" own.isObjectStore "buckets (s3://...) and services (opendal+...)")
      (only "connections" own.isObjectStore "buckets (s3://...) and services (opendal+...)")
      (only "identity" own.isOverSsh "servers and hubs behind ssh (sftp://..., ssh://...)")
      (only "knownHosts" own.isOverSsh "servers and hubs behind ssh (sftp://..., ssh://...)")
      (unless (
        !own.isLocal repository.url || lib.hasPrefix "/" (own.directoryOf repository.url)
      ) "${at}.url" "`${repository.url}` is not absolute; services run in no particular directory.${
        lib.optionalString (builtins.match "[^/]+:.*" repository.url != null) " A directory of another machine is sftp://HOST/PATH."
      }")
      (unless (
        !own.isLocal repository.url || !own.isWithin builtins.storeDir (own.directoryOf repository.url)
      ) "${at}.url" "`${repository.url}` lies in the store, where nothing can be written. Write the path as a string.")
    ];

  urls = lib.mapAttrsToList (name: repository: {
    inherit name;
    url = own.directoryOf repository.url;
  }) cfg.repositories;
  sameUrl = lib.filter (entry: lib.any (other: other.name < entry.name && other.url == entry.url) urls) urls;

  # --- mirrors ------------------------------------------------------------------------

  ofMirror =
    name: mirror:
    let
      at = "mirrors.${name}";
      known = repository: cfg.repositories ? ${repository};
      misspelt = option: unless (
        known mirror.${option}
      ) "${at}.${option}" "there is no repository `${mirror.${option}}`; ${own.suggest mirror.${option} (lib.attrNames cfg.repositories)}";
      ends = lib.filter known [ mirror.from mirror.to ];
      isVouchedFor = lib.any (end: cfg.repositories.${end}.writerKey != null) ends || !known mirror.from || lib.hasInfix "#hb1" cfg.repositories.${mirror.from}.url;
    in
    [
      (unless (own.isGoodName name) at own.goodName)
      (misspelt "from")
      (misspelt "to")
      (unless (mirror.from != mirror.to) "${at}.to" "`${mirror.to}` is what shall be copied; a mirror needs a place of its own.")
      (unless (
        mirror.from == mirror.to || !lib.elem mirror.from (own.reachedFrom mirrors mirror.to)
      ) at "leads from `${mirror.from}` to where `${mirror.from}` is a copy of: mirrors go in a circle. Let one of them go.")
      (unless (keepsSomething mirror.retention) "${at}.retention" keepsNothing)
      (unless isVouchedFor "repositories.${mirror.from}.url" "does not say which repository it must be, and there is no `writerKey` that does: mirror `${name}` could be given another one. Write `#hb1...` at its end; `hearth-backup init` printed it.")
    ];

  # Pairs of mirrors of different repositories to one place.
  rivals =
    let
      names = lib.attrNames mirrors;
      pairs = lib.concatMap (a: map (b: { inherit a b; }) (lib.filter (b: a < b) names)) names;
    in
    lib.filter (pair: mirrors.${pair.a}.to == mirrors.${pair.b}.to && mirrors.${pair.a}.from != mirrors.${pair.b}.from) pairs;

  # --- 3-2-1 --------------------------------------------------------------------------

  # The repositories that have a copy of what a job saves: its own, and where this host's mirrors bring them.
  placesOf =
    job: lib.filter (name: cfg.repositories ? ${name}) (lib.unique (lib.concatMap (own.reachedFrom mirrors) job.repositories));
  copiesOf =
    job:
    lib.concatMap (
      name:
      let
        repository = cfg.repositories.${name};
      in
      [
        {
          media = if repository.copy == null then null else repository.copy.media;
          offsite = repository.copy != null && repository.copy.offsite;
        }
      ]
      ++ lib.attrValues repository.mirrors
    ) (placesOf job);
  shortfall =
    name: job:
    let
      copies = copiesOf job;
      count = 1 + lib.length copies;
      media = lib.unique ([ cfg.policy.liveMedia ] ++ lib.filter (media: media != null) (map (copy: copy.media) copies));
      offsite = lib.any (copy: copy.offsite) copies;
      silent = lib.filter (repository: cfg.repositories.${repository}.copy == null) (placesOf job);
      missing =
        optional (count < 3) "${toString count} ${if count == 1 then "copy" else "copies"} instead of 3 (the live data is one): add ${
          if count == 1 then "two repositories" else "a repository"
        }, or a mirror of one in `services.hearth-backup.mirrors`, or say in its `mirrors` who else makes one"
        ++ optional (lib.length media < 2) "one kind of media (${lib.head media}) instead of 2: add a repository on another kind"
        ++ optional (!offsite) "no copy elsewhere: add a repository or a mirror with `copy.offsite = true`";
      hint = lib.optionalString (silent != [ ]) " ${quoted silent} ${
        if lib.length silent == 1 then "does" else "do"
      } not say what kind of copy it is: set `repositories.<name>.copy`.";
    in
    unless (!cfg.policy.require321 || missing == [ ]) "jobs.${name}" "`policy.require321` asks for 3 copies on 2 kinds of media, 1 of them elsewhere. This job has ${lib.concatStringsSep "; " missing}.${hint}";

  # --- warnings -----------------------------------------------------------------------

  coverageText = "no job saves ${own.enumerate cfg.coverage.uncovered}. Name its service in a job's `services`, set `autoDiscover`, or leave it out on purpose with `services.hearth-backup.exclude`.";

  words = schedule: map own.calendar (lib.toList schedule);
  # Pairs of jobs that begin at the same second on the same disk.
  collisions =
    let
      fixed = lib.filterAttrs (_: job: job.schedule != null && lib.elem job.randomizedDelay [ "0" "0s" "" ]) jobs;
      names = lib.attrNames fixed;
      disks = job: map (name: own.directoryOf cfg.repositories.${name}.url) (lib.filter (name: cfg.repositories ? ${name} && own.isLocal cfg.repositories.${name}.url) job.repositories);
      meet = a: b: lib.intersectLists (words fixed.${a}.schedule) (words fixed.${b}.schedule);
      share = a: b: lib.intersectLists (disks fixed.${a}) (disks fixed.${b});
      pairs = lib.concatMap (a: map (b: { inherit a b; }) (lib.filter (b: a < b) names)) names;
    in
    lib.filter (pair: meet pair.a pair.b != [ ] && share pair.a pair.b != [ ]) pairs;

  others = lib.subtractLists cfg.hostRecipients cfg.recipients;
in
{
  config = lib.mkIf cfg.enable {
    assertions =
      lib.concatLists (lib.mapAttrsToList ofJob jobs)
      ++ lib.concatLists (lib.mapAttrsToList ofRepository cfg.repositories)
      ++ lib.concatLists (lib.mapAttrsToList ofMirror mirrors)
      ++ map (
        pair: unless false "mirrors" "`${pair.a}` and `${pair.b}` bring different repositories to `${mirrors.${pair.a}.to}`; a mirror is a copy of one. Give each a place of its own."
      ) rivals
      ++ lib.mapAttrsToList shortfall jobs
      ++ [
        (unless (sameUrl == [ ]) "repositories" "${quoted (map (entry: entry.name) sameUrl)} lies where another repository does: a job would save twice to one place.")
        (unless (!cfg.policy.requireCoverage || cfg.coverage.uncovered == [ ]) "policy.requireCoverage" coverageText)
        (unless (jobs != { } || mirrors != { } || cfg.drills != { } || cfg.repositories == { }) "jobs" "there is none, so nothing is saved. A first one: `jobs.state = { autoDiscover = true; repositories = [ \"${
          lib.head (lib.attrNames cfg.repositories ++ [ "" ])
        }\" ]; }`.")
      ];

    warnings =
      optional (!cfg.policy.requireCoverage && cfg.coverage.uncovered != [ ]) (say "coverage" coverageText)
      ++ optional (jobs != { } && others == [ ]) (
        if cfg.recipients == [ ] then
          say "recipients" "is empty, so nothing checks that somebody other than this host can restore. Name the keys that were given to `hearth-backup init`; `hearth-backup key recipients` lists them."
        else
          say "recipients" "nobody but this host can restore: if it is lost, so are the backups. Add the key of a person or of another machine with `hearth-backup key add-recipient`, and name it here."
      )
      ++ map (
        pair: say "jobs" "`${pair.a}` and `${pair.b}` begin at the same time on the same disk. Move one, set `randomizedDelay`, or let one wait with `after`."
      ) collisions
      ++ lib.concatLists (
        lib.mapAttrsToList (
          name: _:
          let
            missing = lib.filter (
              unit: lib.hasSuffix ".service" unit && !lib.hasInfix "@" unit && !config.systemd.services ? ${lib.removeSuffix ".service" unit}
            ) cfg.resolved.${name}.quiesce;
          in
          optional (missing != [ ]) (
            say "jobs.${name}.quiesce.services" "this host has no unit ${quoted missing}; the run would fail to stop it."
          )
        ) jobs
      );
  };
}
