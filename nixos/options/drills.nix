# Which restores are tried by this machine, and how they are tested.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };

  assertions =
    of: value:
    mkOption {
      type = types.attrsOf (types.nonEmptyListOf types.str);
      default = { };
      example = lib.literalExpression of;
      description = "SQL queries, by ${value}, that must each give one row with one value: true, or a number other than 0.";
    };
  server =
    kind: example: package:
    own.maybe (types.submodule {
      options = {
        databases = mkOption {
          type = types.either (types.enum [ "all" ]) (types.nonEmptyListOf types.str);
          default = "all";
          example = [ "shop" ];
          description = "Which, or all of which the snapshot has a dump.";
        };
        assertions = assertions example "the database";
        package = own.maybe types.package "The server, such as one with the extensions that dumps need; `${package}`, or the package of this host's own server, if absent." { };
        settings = mkOption {
          type = types.attrsOf types.str;
          default = { };
          description = "Settings of the throw-away server, by name.";
        };
      };
    }) "Load dumps of ${kind} into a throw-away server of this drill alone, compare the rows of each table with those that were counted, and ask it `assertions`." { };

  drill = types.submodule {
    options = {
      enable = own.flag true "Whether there is such a drill.";
      repository = mkOption {
        type = types.str;
        example = "cloud";
        description = "The repository that is tried, by its name in `repositories`: also one that only a mirror writes to. It needs no `writerKey` here, and its URL ends with `#hb1...`.";
      };
      mirror = own.maybe types.str ''
        Which of the hub's mirrors this repository is, by its name there, if it is one. The hub then counts the drill for that mirror and not for the repository itself.
      '' { example = "friend"; };
      key = own.secret ''
        A restore key of the repository: `age-keygen -o drill.key` makes one for this machine alone, and `hearth-backup key add-recipient` lets it read. Whoever takes over a
        machine that has it can read all backups, so a host that is backed up itself is the wrong place.
      '';
      host = own.maybe types.str "Only snapshots of this host; of any if absent." { example = "q"; };
      job = own.maybe types.str "Only snapshots of this job; of any if absent." { example = "state"; };
      snapshot = mkOption {
        type = types.enum [ "latest" "random" "oldest" ];
        default = "latest";
        description = "Which of them.";
      };
      amount = mkOption {
        type = types.either (types.enum [ "everything" "databases" ]) (
          types.submodule {
            options = {
              files = own.maybe (types.ints.between 1 100000) "So many, at random." { example = 1000; };
              paths = own.maybe (types.nonEmptyListOf types.str) "What matches these patterns, each of which must match something." { example = [ "/var/lib/forgejo" ]; };
            };
          }
        );
        default = "everything";
        example = {
          files = 1000;
        };
        description = "How much of it is restored: `everything`, only what `databases` need, so many `files`, or `paths`.";
      };

      scratch = own.maybe own.absolutePath "The directory in which a fresh one is made for each run, which is gone in the end; below `stateDir` if absent." {
        example = "/srv/scratch";
      };
      tmpfs = own.maybe own.byteSize "Restore into memory instead, at most so much." { example = "4GiB"; };

      compareWithSource = own.maybe (types.ints.between 0 100000) "How many restored files are compared with the live ones, if the snapshot is of this machine; 100 if absent." { };
      postgresql = server "PostgreSQL" ''{ shop = [ "SELECT count(*) > 0 FROM customers" ]; }'' "pkgs.postgresql";
      mariadb = server "MariaDB" ''{ blog = [ "SELECT count(*) FROM posts" ]; }'' "pkgs.mariadb";
      sqlite = own.maybe (types.submodule {
        options = {
          databases = own.listOf own.absolutePath "Their paths in the snapshot; they are restored whatever `amount` is." {
            example = [ "/var/lib/vaultwarden/db.sqlite3" ];
          };
          discover = own.flag false "Open every restored file that begins as a database does, too.";
          assertions = assertions ''{ "/var/lib/vaultwarden/db.sqlite3" = [ "SELECT count(*) > 0 FROM users" ]; }'' "the path";
        };
      }) "Check SQLite databases for their integrity, and ask them `assertions`." { };
      smoke = own.maybe (types.submodule {
        options = {
          command = mkOption {
            type = own.words;
            example = lib.literalExpression ''[ "''${pkgs.git}/bin/git" "--git-dir=var/lib/forgejo/repositories/me/notes.git" "fsck" ]'';
            description = "The program and its arguments; no shell. It runs in the directory that stands for `/` of the snapshot, which `HEARTH_TREE` names too.";
          };
          timeout = own.maybe types.str "After so long it is ended, and has failed; `10min` if absent." { };
          sandbox = own.flag true "Run it without network, with nothing to write to but the restored files.";
          readable = own.listOf own.absolutePath "Directories that it may read besides the store and `/etc`." { };
        };
      }) "A command that looks at the restored files, and ends with 0 if they are as they should be." { };

      fullHost = own.flag false ''
        Start what was restored, a whole system, in a container, and wait for `bootTarget`. Such a drill is not confined, as a container of root needs as much. A host of
        NixOS, whose store is not saved, is built anew instead.
      '';
      bootTarget = own.maybe types.str "The target that a whole host must reach; `multi-user.target` if absent." { };
      bootTimeout = own.maybe types.str "How long it may take for it; `5min` if absent." { };
      timeLimit = own.maybe types.str "How long the drill may take before it has failed; `24h` if absent." { example = "6h"; };

      schedule = own.schedule "monthly" "When the drill takes place. `systemctl start hearth-backup-drill-<name>` does it at any time.";
      randomizedDelay = own.randomizedDelay "1h";
      persistent = own.flag true "Whether a time at which the machine was off is made up for when it starts.";
      every = own.maybe types.str "How often it shall take place, for a hub that watches over it; what the timer says if absent." { example = "31d"; };
      limits.memory = own.memory // {
        default = null;
        example = "4G";
        description = "The most memory that it and the programs that it starts may take (`MemoryMax`), what lies in `tmpfs` among it; `null` for no limit.";
      };
      path = own.listOf types.package "Packages whose programs the smoke command calls by name." { example = lib.literalExpression "[ pkgs.git ]"; };
      notify = own.notify "what becomes of drills";
    };
  };
in
{
  options.services.hearth-backup.drills = mkOption {
    type = types.attrsOf drill;
    default = { };
    example = lib.literalExpression ''
      {
        cloud = {
          repository = "cloud";
          key.age = ./drill.age;
          snapshot = "random";
          amount.files = 1000;
          postgresql.assertions.shop = [ "SELECT count(*) > 0 FROM customers" ];
        };
      }
    '';
    description = ''
      Restores that this machine tries and tests, by name; see `docs/drills.md`. Each becomes `hearth-backup-drill-<name>.service` and `.timer`. They need a restore key,
      so they are for a machine that has one: the hub's, or one that is shut off from everything else.
    '';
  };
}
