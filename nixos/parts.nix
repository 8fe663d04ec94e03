# Parts that units of hosts and of hubs have in common.
{
  config,
  lib,
  pkgs,
  utils,
}:
let
  own = import ./lib.nix { inherit lib; };
  telling = import ./notify.nix { inherit lib; };
  cfg = config.services.hearth-backup;
  inherit (lib) optional;
in
rec {
  program = "${cfg.package}/bin/hearth-backup";

  # A configuration as a file of the store, which the program itself has checked.
  fileOf =
    name: settings:
    let
      written = (pkgs.formats.json { }).generate "${name}.json" settings;
      checked = pkgs.runCommand "${name}-checked.json" { } ''
        ${program} config check --config ${written}
        cp ${written} $out
      '';
    in
    if cfg.checkConfig then checked else written;

  # A command line with a configuration.
  commandWith =
    file: arguments:
    utils.escapeSystemdExecArgs (
      [ program ]
      ++ arguments
      ++ [
        "--config"
        "${file}"
      ]
    );

  credentialsOf = wanted: map (entry: "${entry.name}:${entry.path}") (lib.filter wanted cfg.credentials);

  afterNetwork = remote: {
    after = optional remote "network-online.target";
    wants = optional remote "network-online.target";
  };

  # --- services -----------------------------------------------------------------------

  # A run that ends.
  common = {
    Type = "oneshot";
    KillMode = "mixed";
    TimeoutStopSec = "5min";
    # A stop on request is no failure; the next run continues.
    SuccessExitStatus = [
      "130"
      "143"
    ];
    WorkingDirectory = "/";
    # A run says how far it is.
    NotifyAccess = "main";
  };

  # What nobody waits for gives way.
  quietly = common // {
    Nice = 10;
    IOSchedulingClass = "idle";
    IOWeight = 20;
    CPUWeight = 20;
  };

  # --- who is told --------------------------------------------------------------------

  inForce = name: told: telling.inForce cfg.notify name told.notify;
  tells = told: telling.tells (inForce "" told).notify;
  wantsStart = told: telling.wants (inForce "" told).notify "start";

  # One instance for each unit, and for each way it may end: systemd says what became of a unit only to one that has one cause.
  notifications = unit: name: told: {
    onFailure = optional (tells told) "hearth-backup-notify-${name}@${unit}.service" ++ (inForce name told).units;
    onSuccess = optional (tells told) "hearth-backup-notify-${name}@${unit}.service.service";
  };
  # Of several, each once.
  together = found: {
    onFailure = lib.unique (lib.concatMap (each: each.onFailure) found);
    onSuccess = lib.unique (lib.concatMap (each: each.onSuccess) found);
  };
  # What a unit wants that tells that it begins.
  beginning = name: told: optional (wantsStart told) "hearth-backup-notify-start-${name}.service";
  # The same of one of several, as the hub has them and what keeps house.
  beginningOf = unit: name: told: optional (wantsStart told) "hearth-backup-notify-start-${name}@${unit}.service";

  # The unit that tells, without confinement: `name` as in its unit's name, `arguments` say of what.
  notifier =
    file: name: arguments: told:
    telling' file name arguments told {
      description = "Tell what became of %i";
      before = [ ];
      options = [ ];
      unit = "%i";
    };
  # The same of a run that begins: of `unit`, without `.service`; `%i` if there are several.
  announcer =
    file: name: arguments: told: unit:
    telling' file name arguments told {
      description = "Tell that ${unit} begins";
      # Who hears of the beginning after the end believes that it still runs.
      before = map (ending: "hearth-backup-notify-${name}@${unit}${ending}.service") [ "" ".service" ];
      options = [ "--start" ];
      unit = "${unit}.service";
    };
  telling' =
    file: name: arguments: told:
    {
      description,
      before,
      options,
      unit,
    }:
    {
      inherit description before;
      documentation = [ "man:hearth-backup-notify(1)" ];
      inherit (afterNetwork true) after wants;
      # For the last lines of a log that is nowhere else.
      path = [ config.systemd.package or pkgs.systemd ] ++ told.path or [ ];
      serviceConfig = removeAttrs common [ "NotifyAccess" ] // {
        ExecStart = "${commandWith file ([ "notify" ] ++ arguments ++ options)} --unit ${unit}";
        LoadCredential = credentialsOf (entry: (entry.notifies or null) == (inForce name told).name);
        # Longer than any `timeout`.
        TimeoutStartSec = "12min";
        SupplementaryGroups = [ "systemd-journal" ];
      };
    };
  usesProcesses = told: (inForce "" told).notify.command != null;

  # --- ssh ----------------------------------------------------------------------------

  # What a unit needs to reach places by `ssh`; `known` are all whose host keys it shall know.
  sshFor =
    known: places:
    let
      needed = lib.any isOverSsh places;
      keys = lib.concatMapStrings (place: lib.optionalString (place.knownHosts != "") "${lib.trim place.knownHosts}\n") (lib.filter isOverSsh known);
      # As ssh reads it the first word on a subject counts: the module's, root's, the host's.
      written = pkgs.writeText "hearth-backup-ssh-config" (
        cfg.sshConfig
        + "\nHost *\n"
        + lib.optionalString (keys != "") "UserKnownHostsFile ${pkgs.writeText "hearth-backup-known-hosts" keys} ~/.ssh/known_hosts\n"
        + "Include ~/.ssh/config\nInclude /etc/ssh/ssh_config\n"
      );
    in
    {
      path = optional needed (config.programs.ssh.package or pkgs.openssh);
      environment = lib.optionalAttrs (needed && (keys != "" || cfg.sshConfig != "")) {
        HEARTH_SSH = "ssh -F ${written}";
      };
    };
  isOverSsh = place: own.isOverSsh place.url;

  # --- timers -------------------------------------------------------------------------

  timer =
    {
      schedule,
      randomizedDelay,
      persistent ? true,
      wakeSystem ? false,
    }:
    lib.mkIf (schedule != null) {
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnCalendar = schedule;
        RandomizedDelaySec = randomizedDelay;
        # The same each day, so that the time between two runs is.
        FixedRandomDelay = true;
        Persistent = persistent;
        WakeSystem = lib.mkIf wakeSystem true;
      };
    };
}
