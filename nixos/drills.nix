# Drills: restores that this machine tries.
#
#   hearth-backup-drill-NAME.timer --> .service: the restore key, a scratch directory, a sandbox for what comes out of it
#                                        --ends--> hearth-backup-notify-drill-NAME@UNIT.service
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
  inherit (import ./host-parts.nix { inherit config lib pkgs utils; })
    command
    directories
    isRemote
    listeners
    notifiers
    settle
    sshFor
    writableOf
    ;
  inherit (lib) optional optionals;
  cfg = config.services.hearth-backup;
  # Of what is misspelt the assertions speak.
  drills = lib.filterAttrs (_: drill: drill.enable && cfg.repositories ? ${drill.repository}) cfg.drills;

  # Private to the unit, whose own they are: nothing need be made there before.
  isTemporary = path: own.isWithin "/tmp" path || own.isWithin "/var/tmp" path;
  scratches = lib.unique (lib.filter (path: path != null && !isTemporary path && !own.isWithin cfg.stateDir path) (lib.mapAttrsToList (_: drill: drill.scratch) drills));

  # Programs that it calls by name.
  tools =
    drill:
    let
      package = options: server: default: if options.package != null then options.package else own.packageOf config server default;
    in
    [ pkgs.bubblewrap ]
    ++ optional (drill.postgresql != null) (package drill.postgresql "postgresql" pkgs.postgresql)
    ++ optional (drill.mariadb != null) (mariadb drill.mariadb)
    ++ optionals drill.fullHost [
      (config.systemd.package or pkgs.systemd)
      pkgs.util-linux
    ]
    ++ drill.path;
  # `services.mysql` may run MySQL, whose dumps are not for it.
  mariadb =
    options:
    let
      here = own.packageOf config "mysql" pkgs.mariadb;
    in
    if options.package != null then
      options.package
    else if lib.hasPrefix "mariadb" here.name then
      here
    else
      pkgs.mariadb;

  service =
    name: drill:
    let
      repository = cfg.repositories.${drill.repository};
      remote = lib.any isRemote ([ repository ] ++ listeners);
      network = parts.afterNetwork remote;
      # No writer key: nothing is written there.
      credentials = parts.credentialsOf (
        entry:
        (entry.drill or null) == name
        || (entry.repository or null) == drill.repository && !(entry.writes or false)
        || entry.reports or false
      );
      # A command that runs as any other program may want to reach anything.
      isFree = drill.smoke != null && !drill.smoke.sandbox;
      inherit (sshFor ([ repository ] ++ listeners)) path environment;
    in
    {
      description = "Try a restore from ${drill.repository}";
      documentation = [ "man:hearth-backup-drill(1)" ];
      inherit (network) after;
      wants = network.wants ++ parts.beginning "drill-${name}" drill;
      inherit (parts.notifications "hearth-backup-drill-${name}" "drill-${name}" drill) onFailure onSuccess;
      restartIfChanged = false;
      unitConfig.RequiresMountsFor = map (own.word utils) (
        [ cfg.stateDir ] ++ optional (drill.scratch != null && !isTemporary drill.scratch) drill.scratch ++ directories [ repository ]
      );
      path = tools drill ++ path;
      inherit environment;
      serviceConfig =
        parts.quietly
        // {
          ExecStart = command [
            "drill"
            name
          ];
          ExecStopPost = settle "drill" name credentials;
          LoadCredential = credentials;
          # The engine's own limit ends it in good order.
          TimeoutStartSec = "infinity";
        }
        // lib.optionalAttrs (drill.limits.memory != null) { MemoryMax = drill.limits.memory; }
        // (
          if drill.fullHost then
            {
              # For the container's own control groups.
              Delegate = true;
              UMask = "0077";
            }
          else
            confine {
              needs = {
                everything = true;
                restores = true;
                network = remote || isFree;
                processes = true;
              };
              writable = writableOf [ ] ++ map (own.word utils) (optional (drill.scratch != null && !isTemporary drill.scratch) "-${drill.scratch}");
            }
        );
    };
in
{
  config = lib.mkIf cfg.enable {
    systemd.services =
      lib.mapAttrs' (name: drill: lib.nameValuePair "hearth-backup-drill-${name}" (service name drill)) drills
      // lib.foldl' (all: units: all // units) { } (
        lib.mapAttrsToList (name: drill: notifiers "drill-${name}" [ name "--drill" ] "hearth-backup-drill-${name}" drill) drills
      );
    systemd.timers = lib.mapAttrs' (
      name: drill: lib.nameValuePair "hearth-backup-drill-${name}" (parts.timer { inherit (drill) schedule randomizedDelay persistent; })
    ) drills;
    # It holds in clear what was restored for as long as a drill runs.
    systemd.tmpfiles.settings."10-hearth-backup" = lib.genAttrs scratches (_: {
      d = {
        mode = "0700";
        user = "root";
        group = "root";
      };
    });
  };
}
