# The sources of a job. What they mean in detail is in docs/configuration.md.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };

  databases = mkOption {
    type = types.nullOr (types.either (types.enum [ "all" ]) (types.listOf types.str));
    default = null;
    example = "all";
    description = ''Names of databases, or `"all"`. Those of `services` are added.'';
  };
  server = {
    inherit databases;
    exclude = own.listOf types.str ''Databases that are left out of `"all"`; patterns.'' { };
    host = own.maybe types.str "The server's host name, or the directory of its socket; the local socket if absent." { };
    port = own.maybe types.port "The server's port." { };
    username = own.maybe types.str "The database's user, if it is not the system's." { };
    password = own.secret "The password, where the server asks for one.";
    user = own.maybe types.str "The system's user as whom the tools run, for peer authentication; for PostgreSQL `postgres` if absent." { };
    through = own.listOf types.str "Words before each of the tools, such as those that reach into a container." {
      example = [ "podman" "exec" "-i" "db" ];
    };
    rowCounts = own.maybe types.bool "Whether rows are counted while dumping, so that a restore can compare them." { };
    package = own.maybe types.package "Whose tools are used; those of the host's server if absent." { };
  };
  mysql = server // {
    socket = own.maybe own.absolutePath "The server's socket." { };
    users = own.maybe types.bool "Whether users and their rights are saved too." { };
  };
  group =
    options: description:
    mkOption {
      type = types.nullOr (types.submodule { inherit options; });
      default = null;
      inherit description;
    };
in
{
  options = {
    services = own.listOf types.str ''
      Services of this host, by their names in `services.<name>`: their state, databases, caches to leave out and what must stand still
      are known from the host's configuration (`nixos/presets.nix`).
    '' { example = [ "outline" "forgejo" "vaultwarden" ]; };

    autoDiscover = own.flag false ''
      Save the state of all services of this host: every `StateDirectory`, the databases that `services.postgresql.ensureDatabases` and
      `services.mysql.ensureDatabases` name, and what the presets know of enabled services; without what `exclude` names. Services whose
      files are not consistent while they run, such as etcd and UniFi, stand still meanwhile; with `filesystemSnapshots` for a moment only.
    '';

    paths = own.listOf own.absolutePath "Files and directories. One with `*`, `?` or `[` stands for all that match." { example = [ "/var/lib/custom" "/home/*" ]; };
    optionalPaths = own.listOf own.absolutePath "The same, but that nothing is there is no warning." { };
    exclude = own.listOf types.str ''
      Patterns of what to leave out, as in a `.gitignore`. A directory by its absolute path is not discovered either.
    '' { example = [ "*.log" "/var/lib/custom/cache/" ]; };
    excludeFrom = own.listOf own.absolutePath "Files with such patterns, one a line." { };
    excludePresets = own.listOf (types.enum [ "caches" "temporary" "containerLayers" "logs" ]) "Collections of patterns of what hardly anyone wants back." { };
    excludeIfPresent = own.listOf types.str "Leave out directories that hold a file of such a name." { example = [ ".nobackup" ]; };
    excludeLargerThan = own.maybe own.byteSize "Leave out files that are larger." { example = "20GiB"; };
    oneFileSystem = own.flag false "Do not descend into other filesystems.";
    ignoreInode = own.flag false "Do not take another inode number for a change; for filesystems that have no lasting ones.";

    postgresql = group (
      server
      // {
        globals = own.maybe types.bool "Whether roles and tablespaces are saved too." { };
        format = own.maybe (types.enum [ "custom" "directory" ]) "One file that is streamed, or a file for each table, several at once, which needs room." { };
        parallel = own.maybe (types.ints.between 1 64) "Tables that are dumped at once in directory format." { };
        directoryFrom = own.maybe own.byteSize "Databases from this size on are dumped in directory format." { };
        scratch = own.maybe own.absolutePath "Where dumps in directory format are written first." { };
      }
    ) "Databases of a PostgreSQL server.";
    mysql = group mysql "Databases of a MySQL server; those of MariaDB too, if `services.mysql.package` is one.";
    mariadb = group mysql "Databases of a MariaDB server.";

    sqlite = group {
      discover = own.flag true "Find SQLite databases in the paths, by their headers.";
      databases = own.listOf own.absolutePath "Databases by name, wherever they lie; patterns too." { };
      integrityCheck = own.maybe (types.enum [ "full" "quick" "off" ]) "How each copy is checked; fully if absent." { };
    } "SQLite databases are copied as of one moment, whoever writes to them meanwhile.";

    commands = mkOption {
      default = { };
      example = lib.literalExpression ''{ "vault.snap".command = [ "vault" "operator" "raft" "snapshot" "save" "/dev/stdout" ]; }'';
      description = "Commands whose output is saved, by the name of the file.";
      type = types.attrsOf (
        types.submodule {
          options = {
            command = mkOption {
              type = own.words;
              description = "The program and its arguments; no shell.";
            };
            format = own.maybe (types.enum [ "file" "tar" ]) "Whether the output is a file, or an archive that becomes a directory." { };
            minimumSize = own.maybe own.byteSize "Less output is a failure." { };
            success = own.maybe (types.listOf types.int) "Exit statuses that mean success; 0 if absent." { };
          };
        }
      );
    };
    devices = mkOption {
      default = { };
      example = {
        vm-101.path = "/dev/vg0/vm-101";
      };
      description = "Block devices, by the name of the file that holds their content in the snapshot.";
      type = types.attrsOf (
        types.submodule {
          options.path = mkOption {
            type = own.absolutePath;
            description = "The device.";
          };
        }
      );
    };
    lvmVolumes = own.listOf types.str "LVM volumes whose files are saved, each from a snapshot; patterns. One that begins with `!` leaves out again." {
      example = [ "vm-*-pvc-*" "!vg0/scratch" ];
    };
    containers = group {
      engine = mkOption {
        type = types.enum [ "docker" "podman" ];
        default = "docker";
        description = "The engine.";
      };
      volumes = own.listOf types.str "Names of volumes; patterns." { example = [ "*" ]; };
      labels = own.listOf types.str "Volumes with such labels." { };
      quiesce = own.maybe (types.enum [ "none" "pause" "stop" ]) "What becomes of the containers meanwhile." { };
    } "Volumes of containers.";

    filesystemSnapshots = mkOption {
      default = "off";
      description = ''
        Whether paths are read from Btrfs, ZFS or LVM snapshots that are made for the run: all of one moment, and services stand still only
        until they are made.
      '';
      type = types.either (types.enum [ "auto" "off" ]) (
        types.submodule {
          options = {
            kinds = own.maybe (types.listOf (types.enum [ "btrfs" "zfs" "lvm" ])) "Only these." { };
            required = own.maybe types.bool "Whether a run fails if there can be none." { };
            lvmRoom = own.maybe (types.either types.str types.ints.unsigned) "How much may change in an LVM volume meanwhile." { example = "10%"; };
            mountDirectory = own.maybe own.absolutePath "Where snapshots are mounted." { };
          };
        }
      );
    };
    quiesce = {
      services = own.listOf types.str "Units that are stopped while the job copies, and started again whatever happens." { example = [ "jellyfin.service" ]; };
      freeze = own.listOf own.hook "Commands that make something stand still." { };
      thaw = own.listOf own.hook "Commands that let it go on; run whatever happens." { };
      timeoutSeconds = own.maybe types.ints.positive "The longest that anything stands still." { };
    };
  };
}
