# Assertions and warnings of hubs, and of who reports to one: each says which option, what is wrong, and what to write instead.
{
  config,
  lib,
  ...
}:
let
  own = import ./lib.nix { inherit lib; };
  all = config.services.hearth-backup;
  cfg = all.hub;
  inherit (lib) optional;
  quoted = names: own.enumerate (map (name: "`${name}`") names);
  say = path: text: "services.hearth-backup.${path}: ${text}";
  unless = condition: path: text: {
    assertion = condition;
    message = say path text;
  };
  keepsSomething = retention: retention == null || lib.any (amount: amount != null && amount != 0) (lib.attrValues retention);
  keepsNothing = "would keep nothing; say what stays, such as `{ daily = 7; weekly = 4; }`, or leave it out to keep everything.";
  named = path: name: unless (own.isHubName name) path "a name at a hub is 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit.";
  inStore = path: path != null && own.isWithin builtins.storeDir path;
  hasPassword = url: builtins.match "(sftp|ssh)://[^/@]*:[^/]*@.*|(s3|https|http|opendal\\+[a-z0-9]+)://[^/?]*@.*" url != null;

  # --- hosts ---------------------------------------------------------------------------

  seesAll = host: lib.elem host.role [ "viewer" "operator" ];
  repositoryOf = host: if seesAll host then null else host.repository;
  ofHost =
    name: host:
    let
      at = "hub.hosts.${name}";
    in
    [
      (named at name)
      (unless (
        host.tokenHash != null || host.token != null || host.sshKeys != [ ]
      ) "${at}.tokenHash" "is missing, so nobody can come by this name. `hearth-backup hub token new` makes a token, for the host, and its hash, for here; or name `sshKeys`.")
      (unless (host.sshKeys == [ ] || config.services.openssh.enable) "${at}.sshKeys" "there is no sshd on this host: set `services.openssh.enable = true`.")
      (unless (host.sshKeys == [ ] || !seesAll host) "${at}.sshKeys" "a ${host.role} comes with a token only; leave them out.")
      (unless (host.tokenHash == null || host.token == null) "${at}.tokenHash" "and `token` are two answers to one question; leave one out.")
      (unless (
        host.tokenHash == null || lib.hasPrefix "hbh_" host.tokenHash
      ) "${at}.tokenHash" "is no hash of a token: those begin with `hbh_`. If it is the token itself, it is in the store now, where everyone on the host can read it: make a new one by `hearth-backup hub token new`.")
      (unless (seesAll host || host.repository != null) "${at}.repository" "is null, and a ${host.role} needs one; leave it out for one of its own.")
      (unless (repositoryOf host == null || own.isHubName host.repository) "${at}.repository" "`${toString host.repository}` cannot be a repository at a hub: names are 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit.")
      (unless (keepsSomething host.retention) "${at}.retention" keepsNothing)
      (unless (
        !seesAll host || (host.quota == null && host.quotaObjects == null && host.retention == null)
      ) at "a ${host.role} has no repository, and so no quota and no retention; leave them out.")
    ];
  contradictions =
    let
      of = key: name: lib.unique (lib.filter (value: value != null) (
        [ (cfg.repositories.${name}.${key} or null) ] ++ map (host: host.${key}) (lib.filter (host: repositoryOf host == name) (lib.attrValues cfg.hosts))
      ));
      shared = lib.unique (lib.filter (name: name != null) (map repositoryOf (lib.attrValues cfg.hosts)));
      who = name: lib.attrNames (lib.filterAttrs (_: host: repositoryOf host == name) cfg.hosts);
    in
    lib.concatMap (
      key:
      map (name: unless (lib.length (of key name) <= 1) "hub.repositories.${name}.${key}" "${quoted (who name)} share this repository and say different things of it. Say it once, here, and leave it out at the hosts.") shared
    ) [ "quota" "quotaObjects" "retention" ];

  # --- mirrors -------------------------------------------------------------------------

  mirrors = lib.filterAttrs (_: mirror: mirror.enable) cfg.mirrors;
  known = own.keptAt cfg;
  ofMirror =
    name: mirror:
    let
      at = "hub.mirrors.${name}";
      scheme = own.scheme mirror.url;
      place = own.directoryOf mirror.url;
      one = mirror.repositories != null && lib.length mirror.repositories == 1;
      only = option: suits: what: unless (
        lib.elem mirror.${option} [ null "" false ] || suits mirror.url
      ) "${at}.${option}" "is for ${what}, and the URL names none; leave it out.";
    in
    [
      (named at name)
      (unless (
        lib.elem scheme [ null "file" "https" "http" "ssh" "sftp" "s3" ] || own.isService mirror.url
      ) "${at}.url" "`${mirror.url}`: copies lie in directories (/mnt/usb/{repository}), at hubs (https://HUB/{repository}, ssh://USER@HUB/{repository}), on servers (sftp://HOST/{repository}), in buckets (s3://BUCKET/{repository}) and at other services (opendal+webdav://HOST/{repository}), not at ${toString scheme}://.")
      (unless (
        one || lib.hasInfix "{repository}" mirror.url
      ) "${at}.url" "`${mirror.url}` is one place, and each repository needs its own: write `{repository}` where its name shall stand, or name one in `repositories`.")
      (unless (!hasPassword mirror.url) "${at}.url" "holds a password or a key, and would be copied to the store, where everyone on the host can read it. Set `${
        if own.isObjectStore mirror.url then "credentials" else if own.isOverHttp mirror.url then "token" else "identity"
      }` instead.")
      (unless (
        scheme != "http" || own.isLoopback mirror.url
      ) "${at}.url" "by http:// everybody on the way would see the token. Use https:// or ssh://.")
      (unless (
        !own.isLocal mirror.url || lib.hasPrefix "/" place
      ) "${at}.url" "`${mirror.url}` is not absolute; services run in no particular directory.")
      (unless (!own.isLocal mirror.url || !own.isWithin builtins.storeDir place) "${at}.url" "`${mirror.url}` lies in the store, where nothing can be written.")
      (unless (
        !own.isLocal mirror.url || !own.isWithin cfg.dataDir place
      ) "${at}.url" "`${mirror.url}` lies in the hub's own directory: a copy there is lost with it.")
      (only "token" own.isOverHttp "hubs (https://...)")
      (only "credentials" own.isObjectStore "buckets (s3://...) and services (opendal+...)")
      (only "identity" own.isOverSsh "servers and hubs behind ssh (sftp://..., ssh://...)")
      (only "knownHosts" own.isOverSsh "servers and hubs behind ssh (sftp://..., ssh://...)")
      (unless (keepsSomething mirror.retention) "${at}.retention" keepsNothing)
    ];
  strangers =
    name: mirror:
    let
      unknown = lib.filter (repository: !lib.elem repository known) (if mirror.repositories == null then [ ] else mirror.repositories);
    in
    optional (unknown != [ ]) (
      say "hub.mirrors.${name}.repositories" "no host declared here goes to ${quoted unknown}; ${own.suggest (lib.head unknown) known} That is as it should be if `hub token add` made it."
    );

  # --- where it listens ----------------------------------------------------------------

  isPath = lib.hasPrefix "/";
  reached = lib.filter (address: !isPath address && builtins.match "127\\..*|::1" address == null) cfg.listen;
  isEncrypted = cfg.tls.certificate != null;
  host = config.services.nginx.virtualHosts.${cfg.nginx.virtualHost} or { };

  # --- who reports ---------------------------------------------------------------------

  hub = all.reportTo;
  jobs = lib.attrNames (lib.filterAttrs (_: job: job.enable) all.jobs);
  reporting =
    let
      there = own.repositoryAt hub.url;
      unknown = lib.filter (job: !lib.elem job jobs) (if hub.jobs == null then [ ] else hub.jobs);
    in
    [
      (unless (own.isAtHub hub.url) "reportTo.url" "`${hub.url}`: reports go to hubs, https://HUB/NAME or ssh://USER@HUB/NAME.")
      (unless (!own.isAtHub hub.url || own.isHubName there) "reportTo.url" "`${there}` cannot be a repository at a hub: names are 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit.")
      (unless (!hasPassword hub.url) "reportTo.url" "holds a password or a key, and would be copied to the store, where everyone on the host can read it. Set `${if own.isOverHttp hub.url then "token" else "identity"}` instead.")
      (unless (
        own.scheme hub.url != "http" || hub.allowPlainHttp || own.isLoopback hub.url
      ) "reportTo.url" "by http:// everybody on the way would see the token. Use https:// or ssh://, or set `allowPlainHttp` if the line is protected otherwise, such as by WireGuard.")
      (unless (hub.token == null || !own.isOverSsh hub.url) "reportTo.token" "is not needed for ssh://, where the key decides; leave it out.")
      (unless (hub.identity == null || own.isOverSsh hub.url) "reportTo.identity" "is for ssh://, and the URL names none; leave it out.")
      (unless (unknown == [ ]) "reportTo.jobs" "there is no job ${quoted unknown}; ${own.suggest (lib.head (unknown ++ [ "" ])) jobs}")
    ];
in
{
  config = lib.mkMerge [
    {
      assertions = lib.optionals (all.enable && hub != null) reporting ++ [
        (unless (!all.agent.enable || (all.enable && hub != null)) "agent.enable" "there is nobody whom the agent could hear. Say which hub in `reportTo`${
          lib.optionalString (!all.enable) ", and set `services.hearth-backup.enable`"
        }.")
      ];
    }
    (lib.mkIf cfg.enable {
      assertions =
        lib.concatLists (lib.mapAttrsToList ofHost cfg.hosts)
        ++ contradictions
        ++ lib.concatLists (lib.mapAttrsToList ofMirror mirrors)
        ++ lib.concatLists (
          lib.mapAttrsToList (name: repository: [
            (named "hub.repositories.${name}" name)
            (unless (keepsSomething repository.retention) "hub.repositories.${name}.retention" keepsNothing)
          ]) cfg.repositories
        )
        ++ [
          (unless (keepsSomething cfg.retention.default) "hub.retention.default" keepsNothing)
          (unless (
            reached == [ ] || isEncrypted || cfg.plainHttp
          ) "hub.listen" "${quoted reached} is reached from other machines, and tokens would go there in clear. Set `tls`, or `nginx.virtualHost`, or `plainHttp` if the line is protected otherwise, such as by WireGuard.")
          (unless (cfg.listen != [ ] || cfg.nginx.virtualHost != null) "hub.listen" ''names no place, so nobody can come; `[ "127.0.0.1" ]` is for a proxy on this host.'')
          (unless (!cfg.openFirewall || reached != [ ]) "hub.openFirewall" "opens port ${toString cfg.port}, at which the hub is not reached from other machines: it listens at ${
            if cfg.listen == [ ] then "nginx's socket only; nginx's ports are `networking.firewall.allowedTCPPorts = [ 80 443 ]`" else own.enumerate cfg.listen
          }.")
          (unless ((cfg.tls.certificate == null) == (cfg.tls.key == null)) "hub.tls" "needs `certificate` and `key`, both or none.")
          (unless (!inStore cfg.tls.key) "hub.tls.key" "lies in the store, where everyone on the host can read it. Name a file of the host.")
          (unless (cfg.nginx.virtualHost == null || config.services.nginx.enable) "hub.nginx.virtualHost" "there is no nginx on this host: set `services.nginx.enable = true`.")
          (unless (!inStore cfg.dataDir) "hub.dataDir" "`${cfg.dataDir}` lies in the store, where nothing can be written.")
        ];
      warnings =
        optional (cfg.hosts == { }) (
          say "hub.hosts" "is empty, so nobody comes whom `hearth-backup-hub token add` does not let in. Declare a host: `hearth-backup hub token new` makes its token, and the hash for `hub.hosts.<name>.tokenHash`."
        )
        ++ optional (cfg.nginx.virtualHost != null && config.services.nginx.enable && !(host.forceSSL or false || host.onlySSL or false || host.addSSL or false)) (
          say "hub.nginx.virtualHost" "`services.nginx.virtualHosts.\"${cfg.nginx.virtualHost}\"` has no TLS, so tokens go there in clear. Set `enableACME` and `forceSSL` there, unless another proxy before it does."
        )
        ++ lib.concatLists (lib.mapAttrsToList strangers mirrors);
    })
  ];
}
