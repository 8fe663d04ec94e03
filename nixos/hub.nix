# A hub on this host.
#
#   hearth-backup-hub.socket --> hearth-backup-hub.service: has no network but the connections that systemd hands to it
#   hearth-backup-hub-maintain.timer --> .service: forget, prune, verify; no network at all      --ends--> hearth-backup-notify-hub@UNIT.service
#   hearth-backup-hub-mirror-NAME.timer --> .service: copies to one place, with its secrets only --ends--> the same
#   hearth-backup-hub-watch.timer --> .service: tells by itself what has become wrong
#
# All run as the user `hearth-backup-hub`. The sockets are systemd's: so what speaks with strangers can itself reach nobody, a new version loses no connection,
# and the port may be any and its address come up later.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  own = import ./lib.nix { inherit lib; };
  telling = import ./notify.nix { inherit lib; };
  confine = import ./hardening.nix { inherit lib; };
  parts = import ./parts.nix { inherit config lib pkgs utils; };
  inherit (parts) credentialsOf quietly timer;
  inherit (lib) optional optionals;
  all = config.services.hearth-backup;
  cfg = all.hub;
  mirrors = lib.filterAttrs (_: mirror: mirror.enable) cfg.mirrors;

  user = "hearth-backup-hub";
  socket = "/run/hearth-backup-hub.sock";
  isProxied = cfg.nginx.virtualHost != null;

  # --- the engine's configuration -----------------------------------------------------

  credential = name: "credential:${name}";
  orNull = condition: value: if condition then value else null;

  host = name: host: {
    inherit (host) role tokenHash;
    tokenHashFile = orNull (host.token != null) (credential "hub-host-${name}");
    repository = orNull (!lib.elem host.role [ "viewer" "operator" ]) host.repository;
  };
  # What is said at hosts belongs to their repositories; hub-policy.nix refuses contradictions.
  special =
    name:
    let
      said = [ (cfg.repositories.${name} or { }) ] ++ lib.filter (host: host.repository == name) (lib.attrValues cfg.hosts);
      of = key: lib.findFirst (value: value != null) null (map (place: place.${key} or null) said);
    in
    lib.genAttrs [ "quota" "quotaObjects" "retention" ] of;
  repositories = lib.genAttrs (lib.unique (
    lib.attrNames cfg.repositories ++ lib.filter (name: name != null) (lib.mapAttrsToList (_: host: host.repository) cfg.hosts)
  )) special;
  mirror = name: mirror: {
    inherit (mirror) url repositories limitUpload retention media;
    credentials = orNull (mirror.credentials != null) (credential "hub-mirror-${name}-credentials");
    identity = orNull (mirror.identity != null) (credential "hub-mirror-${name}-identity");
    token = orNull (mirror.token != null) (credential "hub-mirror-${name}-token");
    prune = orNull mirror.prune true;
    verify = orNull (mirror.verify > 0) mirror.verify;
    offsite = orNull mirror.offsite true;
  };
  settings = own.prune {
    inherit (all) host;
    # What was seen of its mirrors: the host's own state is root's.
    stateDir = "${cfg.dataDir}/state";
    notify = telling.settingsOf telling.nameOfAll all.notify;
    hub = {
      inherit (cfg) dataDir quota quotaObjects quotaWarning maxForget verifyWithin keepReports;
      listen = [ "systemd" ];
      tls = { inherit (cfg.tls) certificate key; };
      openStatus = orNull cfg.openStatus true;
      hosts = lib.mapAttrs host (lib.filterAttrs (_: host: host.token != null || host.tokenHash != null) cfg.hosts);
      inherit repositories;
      retention = cfg.retention.default;
      inherit (cfg) prune;
      watch = { inherit (cfg.watch) tell drillWithin; };
      mirrors = lib.mapAttrs mirror mirrors;
      notify = telling.settingsOf "hub" cfg.notify;
    };
  };
  # Its own, so that a change to the host's jobs does not start the hub anew.
  file = parts.fileOf "hearth-backup-hub" settings;
  command = parts.commandWith file;

  # --- hosts by ssh --------------------------------------------------------------------

  # Whoever comes by ssh is known by the key, and of tokens nothing need be said: their files are the service's.
  fileForSsh = parts.fileOf "hearth-backup-hub-ssh" (removeAttrs settings [ "notify" ] // { hub = removeAttrs settings.hub [ "hosts" "mirrors" "notify" "watch" ]; });
  authorized =
    host:
    map (
      key: ''restrict,command="${parts.program} hub stdio --config ${fileForSsh} --repository ${toString host.repository} --role ${host.role}" ${key}''
    ) host.sshKeys;
  isReachedBySsh = lib.any (host: host.sshKeys != [ ]) (lib.attrValues cfg.hosts);

  # --- what its units have in common ---------------------------------------------------

  secretsOf = wanted: credentialsOf (entry: (entry.hub or null) == wanted);
  told = unit: parts.notifications unit "hub" cfg;
  told' = parts.inForce "hub" cfg;
  begins = unit: parts.beginningOf unit "hub" cfg;
  confined =
    needs: writable: serviceConfig:
    {
      User = user;
      Group = user;
    }
    // serviceConfig
    // confine {
      inherit needs;
      # Whose directory it is sees nothing of others' homes, unless it lies there.
      owner = !own.isWithin "/home" cfg.dataDir && !own.isWithin "/root" cfg.dataDir;
      writable = map (own.word utils) ([ cfg.dataDir ] ++ writable);
    };
  mounts = places: { RequiresMountsFor = map (own.word utils) ([ cfg.dataDir ] ++ places); };

  # --- the server ----------------------------------------------------------------------

  streamOf =
    address:
    if lib.hasPrefix "/" address then
      address
    else if lib.hasInfix ":" address then
      "[${address}]:${toString cfg.port}"
    else
      "${address}:${toString cfg.port}";

  server = {
    description = "Keep the backups of other hosts";
    documentation = [ "man:hearth-backup-hub-serve(1)" ];
    wantedBy = [ "multi-user.target" ];
    requires = [ "hearth-backup-hub.socket" ];
    after = [ "hearth-backup-hub.socket" ];
    # A new version starts at once, and not with the next connection.
    notSocketActivated = true;
    restartTriggers = map (entry: entry.path) (lib.filter (entry: (entry.hub or null) == "hosts") all.credentials) ++ encrypted;
    unitConfig = mounts [ ];
    serviceConfig = confined { } [ ] {
      Type = "notify";
      ExecStart = command [ "hub" "serve" ];
      Restart = "always";
      RestartSec = "2s";
      WatchdogSec = "60s";
      # Uploads that are under way may end.
      TimeoutStopSec = "90s";
      LimitNOFILE = 65536;
      MemoryMax = "1G";
      WorkingDirectory = "/";
      LoadCredential = secretsOf "hosts";
    };
  };
  # Declared tokens are read at the start; so another file of agenix is a reason for one.
  encrypted = lib.concatMap (host: optional (host.token != null && host.token.age != null) "${host.token.age}") (lib.attrValues cfg.hosts);

  # --- maintenance ---------------------------------------------------------------------

  # In a repository one run keeps house at a time. Mirrors may take long, so the rest waits for them, and they for each other.
  unitsOf = map (name: "hearth-backup-hub-mirror-${name}.service");

  maintain = {
    description = "Forget, prune and verify at the hub";
    documentation = [ "man:hearth-backup-hub-maintain(1)" ];
    after = unitsOf (lib.attrNames mirrors);
    wants = begins "hearth-backup-hub-maintain";
    inherit (told "hearth-backup-hub-maintain") onFailure onSuccess;
    restartIfChanged = false;
    unitConfig = mounts [ ];
    serviceConfig = confined { } [ ] (
      quietly
      // {
        ExecStart = command [ "hub" "maintain" "--only" "forget" "--only" "prune" "--only" "verify" ];
        # The report of a run that was killed.
        ExecStopPost = command [ "hub" "maintain" "--settle" ];
        TimeoutStartSec = cfg.maintenance.limits.time;
      }
      // memory cfg.maintenance
    );
  };
  memory = unit: lib.optionalAttrs (unit.limits.memory != null) { MemoryMax = unit.limits.memory; };

  copy =
    name: mirror:
    let
      isLocal = own.isLocal mirror.url;
      network = parts.afterNetwork (!isLocal);
      # The directory that must be there for all repositories.
      before = builtins.head (lib.splitString "{repository}" (own.directoryOf mirror.url));
      directory = if lib.hasSuffix "/" before && before != "/" then lib.removeSuffix "/" before else if before == own.directoryOf mirror.url then before else dirOf before;
      ssh = parts.sshFor [ mirror ] [ mirror ];
    in
    {
      description = "Copy the hub's backups to ${name}";
      documentation = [ "man:hearth-backup-hub-maintain(1)" ];
      after = network.after ++ unitsOf (lib.filter (other: other < name) (lib.attrNames mirrors));
      wants = network.wants ++ begins "hearth-backup-hub-mirror-${name}";
      inherit (told "hearth-backup-hub-mirror-${name}") onFailure onSuccess;
      restartIfChanged = false;
      unitConfig = mounts (optional isLocal directory);
      inherit (ssh) path environment;
      serviceConfig = confined { network = !isLocal; } (optional isLocal "-${directory}") (
        quietly
        // {
          ExecStart = command [ "hub" "maintain" "--only" "mirror" "--mirror" name ];
          ExecStopPost = command [ "hub" "maintain" "--only" "mirror" "--mirror" name "--settle" ];
          LoadCredential = secretsOf "mirrors.${name}";
          TimeoutStartSec = mirror.limits.time;
        }
        // memory mirror
      );
    };

  # --- what has become wrong -----------------------------------------------------------

  watch = {
    description = "Look what has become wrong at the hub, and tell";
    documentation = [ "man:hearth-backup-hub-watch(1)" ];
    inherit (parts.afterNetwork true) wants;
    after = (parts.afterNetwork true).after ++ [ "hearth-backup-hub.service" ];
    # It tells by itself; whoever could not be told is told by others.
    onFailure = told'.units;
    restartIfChanged = false;
    unitConfig = mounts [ ];
    serviceConfig = confined {
      network = true;
      processes = parts.usesProcesses cfg;
    } [ ] (
      parts.common
      // {
        ExecStart = command [ "hub" "watch" ];
        # That people know that nobody can watch: also where the hub's own disk is full.
        RuntimeDirectory = "hearth-backup-hub-watch";
        RuntimeDirectoryPreserve = true;
        # Who may come, as it looks for those of whom nothing is heard; and what receivers ask for.
        LoadCredential = secretsOf "hosts" ++ credentialsOf (entry: (entry.notifies or null) == told'.name);
        # Longer than any `timeout`.
        TimeoutStartSec = "12min";
      }
    );
  };

  notifier =
    unit:
    unit
    // {
      serviceConfig = confined {
        network = true;
        processes = parts.usesProcesses cfg;
      } [ ] unit.serviceConfig;
    };

  # --- the administrator's command ------------------------------------------------------

  # What root made in the hub's directory the hub could not read.
  # Files with hashes are for the service alone.
  fileByHand =
    if lib.all (host: host.token == null) (lib.attrValues cfg.hosts) then
      file
    else
      parts.fileOf "hearth-backup-hub-by-hand" (
        settings // { hub = settings.hub // { hosts = lib.filterAttrs (_: host: !host ? tokenHashFile) settings.hub.hosts; }; }
      );
  administer = pkgs.writeShellScriptBin "hearth-backup-hub" ''
    export HEARTH_CONFIG=${fileByHand}
    exec ${pkgs.util-linux}/bin/runuser -u ${user} -- ${parts.program} hub "$@"
  '';
in
{
  config = lib.mkIf cfg.enable (
    {
      services.hearth-backup.hub.settings = settings;
      environment.systemPackages = [
        all.package
        administer
      ];
      environment.etc."hearth-backup/hub.json".source = file;

      users.users.${user} = {
        isSystemUser = true;
        group = user;
        home = cfg.dataDir;
        description = "The hub of hearth-backup";
        openssh.authorizedKeys.keys = lib.concatMap authorized (lib.attrValues cfg.hosts);
        # By which sshd starts the command of a key; without one there is none to start.
        useDefaultShell = isReachedBySsh;
      };
      users.groups.${user} = { };
      # In the second its services see that this is a hub, and no place where its disk is not mounted.
      systemd.tmpfiles.settings."10-hearth-backup-hub" = lib.genAttrs [ cfg.dataDir "${cfg.dataDir}/repositories" ] (_: {
        d = {
          mode = "0700";
          inherit user;
          group = user;
        };
      });

      systemd.sockets.hearth-backup-hub = {
        description = "Where hosts reach the hub";
        wantedBy = [ "sockets.target" ];
        listenStreams = map streamOf cfg.listen ++ optional isProxied socket;
        socketConfig = {
          FreeBind = true;
          NoDelay = true;
          SocketMode = "0660";
        }
        // lib.optionalAttrs (cfg.socketGroup != null || isProxied) {
          SocketGroup = if cfg.socketGroup != null then cfg.socketGroup else config.services.nginx.group;
        };
      };
      systemd.services = {
        hearth-backup-hub = server;
        hearth-backup-hub-maintain = maintain;
      }
      // lib.mapAttrs' (name: mirror: lib.nameValuePair "hearth-backup-hub-mirror-${name}" (copy name mirror)) mirrors
      // lib.optionalAttrs (parts.tells cfg) {
        "hearth-backup-notify-hub@" = notifier (parts.notifier file "hub" [ "--hub" ] cfg);
        hearth-backup-hub-watch = watch;
      }
      // lib.optionalAttrs (parts.wantsStart cfg) {
        "hearth-backup-notify-start-hub@" = notifier (parts.announcer file "hub" [ "--hub" ] cfg "%i");
      };
      systemd.timers = {
        hearth-backup-hub-maintain = timer { inherit (cfg.maintenance) schedule randomizedDelay; };
      }
      // lib.optionalAttrs (parts.tells cfg) {
        hearth-backup-hub-watch = timer {
          inherit (cfg.watch) schedule;
          randomizedDelay = "0";
          persistent = false;
        };
      }
      // lib.mapAttrs' (
        name: mirror: lib.nameValuePair "hearth-backup-hub-mirror-${name}" (timer { inherit (mirror) schedule randomizedDelay persistent; })
      ) mirrors;

      networking.firewall.allowedTCPPorts = optionals cfg.openFirewall [ cfg.port ];

      services.nginx = lib.mkIf isProxied {
        virtualHosts.${cfg.nginx.virtualHost}.locations."/" = {
          proxyPass = "http://unix:${socket}";
          extraConfig = ''
            client_max_body_size 0;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
          '';
        };
      };
    }
  );
}
