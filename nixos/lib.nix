# Pure functions of the module: no option is read here.
{ lib }:
rec {
  # The scheme of a repository's URL; a path has none.
  scheme =
    url:
    let
      found = builtins.match "([a-z0-9+]+)://.*" url;
    in
    if found == null then null else builtins.head found;

  isLocal = url: scheme url == null || scheme url == "file";

  # At a hub, over HTTP or ssh.
  isAtHub = url: lib.elem (scheme url) [ "https" "http" "ssh" ];
  isOverHttp = url: lib.elem (scheme url) [ "https" "http" ];
  # What is reached by `ssh`.
  isOverSsh = url: lib.elem (scheme url) [ "ssh" "sftp" ];
  # In a bucket, or at another service that opendal knows.
  isObjectStore = url: scheme url == "s3" || isService url;
  isService = url: lib.hasPrefix "opendal+" url;

  # Whether a URL leads to this machine itself.
  isLoopback = url: builtins.match "[a-z]+://(localhost|127\\.[0-9.]+|\\[::1])([:/].*)?" url != null;

  # Names of jobs, repositories, mirrors and drills.
  isGoodName = name: builtins.match "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}" name != null;
  goodName = "a name consists of letters, digits, `-`, `_` and `.`, at most 64 of them: it becomes part of a unit's name.";

  # Names of repositories, hosts and mirrors at a hub.
  isHubName = name: builtins.match "[a-z0-9][a-z0-9._-]{0,63}" name != null;

  # Repositories of which a hub's configuration knows.
  keptAt =
    hub:
    let
      ofHost = host: if lib.elem host.role [ "viewer" "operator" ] then null else host.repository;
    in
    lib.sort lib.lessThan (lib.unique (lib.attrNames hub.repositories ++ lib.filter (name: name != null) (map ofHost (lib.attrValues hub.hosts))));

  # The last part of a hub's URL: the repository's name there.
  repositoryAt = url: lib.last (lib.splitString "/" (lib.removeSuffix "/" (directoryOf url)));

  # The directory of a local repository, without the id that may stand at the end.
  directoryOf = url: lib.removePrefix "file://" (builtins.head (lib.splitString "#" url));

  # Whether a path lies in a directory, or is it.
  isWithin = directory: path: path == directory || lib.hasPrefix (lib.removeSuffix "/" directory + "/") path;

  # Where mirrors bring what is in a repository, each place once, it itself first; a circle does no harm.
  reachedFrom =
    mirrors: repository:
    map (place: place.key) (
      builtins.genericClosure {
        startSet = [ { key = repository; } ];
        operator = place: map (mirror: { key = mirror.to; }) (lib.filter (mirror: mirror.from == place.key) (lib.attrValues mirrors));
      }
    );

  # The file for node_exporter's textfile collector; null if there is none.
  textfileOf =
    cfg:
    let
      given = cfg.monitoring.textfile;
    in
    if given == null || given == false then
      null
    else if given == true then
      "${toString cfg.persistRoot}/var/lib/hearth-backup-metrics/hearth-backup.prom"
    else
      given;

  isPattern = path: builtins.match ".*[*?\\[].*" path != null;

  # What of a path stands before its first pattern: the directory that must be there for it.
  fixedPart =
    path:
    let
      names = lib.splitString "/" path;
      first = lib.lists.findFirstIndex isPattern (lib.length names) names;
      fixed = lib.take first names;
    in
    if isPattern path then
      (if lib.length fixed <= 1 then "/" else lib.concatStringsSep "/" fixed)
    else
      path;

  # Without what is null and what is an empty set below it: the engine has its own defaults.
  prune =
    value:
    if lib.isAttrs value && !lib.isDerivation value then
      lib.filterAttrs (_: v: v != null && v != { }) (lib.mapAttrs (_: prune) value)
    else if lib.isList value then
      map prune value
    else
      value;

  # Names near to one that is not known, and else all there are: for messages.
  suggest =
    name: known:
    let
      alike = near name known;
    in
    if alike != [ ] then
      "did you mean `${lib.concatStringsSep "` or `" alike}`?"
    else if known == [ ] then
      "there are none."
    else
      "there are: ${lib.concatStringsSep ", " known}.";

  # `OnCalendar` words of systemd as the times that they stand for, so that two that mean the same are found.
  calendar =
    word:
    {
      minutely = "*-*-* *:*:00";
      hourly = "*-*-* *:00:00";
      daily = "*-*-* 00:00:00";
      weekly = "Mon *-*-* 00:00:00";
      monthly = "*-*-01 00:00:00";
      yearly = "*-01-01 00:00:00";
      annually = "*-01-01 00:00:00";
      quarterly = "*-01,04,07,10-01 00:00:00";
      semiannually = "*-01,07-01 00:00:00";
    }
    .${word} or (
      if builtins.match "[0-9]{2}:[0-9]{2}" word != null then
        "*-*-* ${word}:00"
      else if builtins.match "[0-9]{2}:[0-9]{2}:[0-9]{2}" word != null then
        "*-*-* ${word}"
      else
        word
    );

  near = name: lib.filter (other: lib.strings.levenshteinAtMost 2 name other || lib.hasInfix name other || lib.hasInfix other name);

  # A path of systemd with the unit's name in it; what only an instance knows, and what follows, is cut off.
  withoutSpecifiers =
    unit: path:
    let
      name = lib.removeSuffix "@" unit;
      # A tab for what is a percent sign in the end.
      known = lib.replaceStrings [ "%%" "%n" "%N" "%p" ] [ "\t" "${unit}.service" unit name ] path;
      parts = lib.splitString "/" known;
      fixed = lib.take (lib.lists.findFirstIndex (lib.hasInfix "%") (lib.length parts) parts) parts;
    in
    lib.replaceStrings [ "\t" ] [ "%" ] (lib.concatStringsSep "/" fixed);

  # The package of a server of this host; its option has no value where the server is not enabled.
  packageOf =
    config: server: default:
    if config.services.${server}.enable or false then config.services.${server}.package else default;

  # A path as one word of a unit file.
  word =
    utils: path: if builtins.match "[A-Za-z0-9/_.:@+,=~-]+" path != null then path else utils.escapeSystemdExecArg path;

  # A suggestion, if there is one.
  didYouMean =
    name: known:
    let
      alike = near name known;
    in
    lib.optionalString (alike != [ ]) " Did you mean `${lib.concatStringsSep "` or `" alike}`?";

  # `one, two and three`.
  enumerate =
    words:
    if lib.length words <= 1 then
      lib.concatStrings words
    else
      "${lib.concatStringsSep ", " (lib.init words)} and ${lib.last words}";
}
