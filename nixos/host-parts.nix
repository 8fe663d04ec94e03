# Parts that this host's units have in common, those of jobs as those of drills; a hub's have none of them.
{
  config,
  lib,
  pkgs,
  utils,
}:
let
  own = import ./lib.nix { inherit lib; };
  confine = import ./hardening.nix { inherit lib; };
  parts = import ./parts.nix { inherit config lib pkgs utils; };
  inherit (parts) tells wantsStart;
  inherit (lib) optional optionals;
  cfg = config.services.hearth-backup;
  textfile = own.textfileOf cfg;
in
rec {
  file = parts.fileOf "hearth-backup" cfg.settings;
  command = parts.commandWith file;

  directories = repositories: map (repository: own.directoryOf repository.url) (lib.filter (repository: own.isLocal repository.url) repositories);
  isRemote = repository: !own.isLocal repository.url;

  # Who is told of runs by the runs themselves, as places beside repositories.
  listeners = optional (cfg.reportTo != null) cfg.reportTo ++ optional (cfg.monitoring.pushgateway != null) cfg.monitoring.pushgateway;
  sshFor = parts.sshFor (lib.attrValues cfg.repositories ++ listeners);

  writableOf =
    repositories:
    map (own.word utils) (
      [ cfg.stateDir ] ++ optional (textfile != null) "-${dirOf textfile}" ++ map (directory: "-${directory}") (directories repositories)
    );

  # Closes the report of a run that was killed, and clears up after it. `loaded` are the unit's credentials: what comes after the main process does not
  # get them from systemd, so it finds them where that took them from.
  settle =
    kind: name: loaded:
    let
      link = entry: "ln -s ${lib.escapeShellArg (toString entry.path)} $out/${lib.escapeShellArg entry.name}\n";
      found = lib.filter (entry: lib.elem "${entry.name}:${entry.path}" loaded) cfg.credentials;
      credentials = pkgs.runCommand "hearth-backup-credentials" { } "mkdir $out\n${lib.concatMapStrings link found}";
    in
    lib.optionalString (loaded != [ ]) "${pkgs.coreutils}/bin/env CREDENTIALS_DIRECTORY=${credentials} "
    + command (
      [
        "settle"
        name
      ]
      ++ optionals (kind != "backup") [
        "--kind"
        kind
      ]
    );

  # Who tells what becomes of something: `name` as in its units' names, `arguments` say of what, `unit` runs it; null if there are several.
  notifiers =
    name: arguments: unit: told:
    lib.optionalAttrs (tells told) (
      {
        "hearth-backup-notify-${name}@" = confined told (parts.notifier file name arguments told);
      }
      // lib.optionalAttrs (wantsStart told) {
        "hearth-backup-notify-start-${name}${lib.optionalString (unit == null) "@"}" = confined told (
          parts.announcer file name arguments told (if unit == null then "%i" else unit)
        );
      }
    );
  confined =
    told: unit:
    unit
    // {
      serviceConfig =
        unit.serviceConfig
        // lib.optionalAttrs (told.sandbox or true) (confine {
          needs = {
            network = true;
            processes = parts.usesProcesses told;
          };
          # It remembers whom it told of what.
          writable = [ (own.word utils cfg.stateDir) ];
        });
    };
}
