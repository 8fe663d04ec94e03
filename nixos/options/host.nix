# What concerns the whole host.
{
  config,
  options,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };
  cfg = config.services.hearth-backup;
  # Roots of the impermanence module, the one that keeps the most state of services first.
  roots =
    let
      all = lib.filterAttrs (_: root: root.enable or true) (config.environment.persistence or { });
      directories = root: map (entry: entry.directory or entry) (root.directories or [ ]);
      amount = name: lib.count (lib.hasPrefix "/var/lib") (directories all.${name});
    in
    lib.sort (one: other: amount one > amount other) (lib.attrNames all);
in
{
  options.services.hearth-backup = {
    enable = lib.mkEnableOption "backups by hearth-backup: deduplicated, encrypted to keys that this host does not have";

    package = mkOption {
      type = types.package;
      default = pkgs.hearth-backup or (pkgs.callPackage ../package.nix { });
      defaultText = lib.literalExpression "pkgs.hearth-backup";
      description = "The package.";
    };

    host = mkOption {
      type = own.name;
      default = config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      description = "The name of this machine in snapshots. One that stays the same when a machine is replaced keeps its history together.";
    };

    recipients = own.listOf types.singleLineStr ''
      Who can restore: age and SSH public keys, as they were given to `hearth-backup init`. A run warns if a repository is sealed to fewer
      or to others. The host itself is best not among them.
    '' { example = [ "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kdjzkcz" "ssh-ed25519 AAAA..." ]; };

    notify = own.notify "what becomes of runs, wherever a job, a mirror, a repository or the hub names nobody of its own";

    hostRecipients = own.listOf types.singleLineStr ''
      Those of `recipients` whose private key lies on this host. It can then read all backups, and so can whoever takes it over. A
      warning says if nobody else can restore.
    '' { };

    persistRoot = mkOption {
      type = types.nullOr own.absolutePath;
      default = if roots == [ ] then null else lib.head roots;
      defaultText = lib.literalMD "the root in `environment.persistence` that keeps the most of `/var/lib`, if there is one";
      example = "/persist/system";
      description = ''
        Where a host whose root is empty after each boot keeps what shall last. `/var/lib/x` is then read from there, and snapshots
        still call it `/var/lib/x`, so that a restore works on either layout. The tool's own state lies there too.
      '';
    };

    stateDir = mkOption {
      type = own.absolutePath;
      default = "${if cfg.persistRoot == null then "" else cfg.persistRoot}/var/lib/hearth-backup";
      defaultText = lib.literalExpression ''"''${persistRoot}/var/lib/hearth-backup"'';
      description = ''
        Where caches lie, and what was seen of repositories. Losing it costs no backups, but time, and the memory of what repositories showed: the
        next run would not notice that one was put back to an older state.
      '';
    };

    readFrom = mkOption {
      type = types.attrsOf own.absolutePath;
      default = { };
      defaultText = lib.literalMD "`/var/lib` from the persist root, if there is one";
      example = {
        "/home" = "/persist/home";
      };
      description = "Places that are read from elsewhere than where the snapshot shows them. What is not there is read at its own place.";
    };

    exclude = own.listOf types.str ''
      State that is left out on purpose: directories, which no job then covers and of which no warning speaks. For single files and
      patterns, see the same option of jobs.
    '' { example = [ "/var/lib/docker" "/var/lib/prometheus2" ]; };

    sshConfig = mkOption {
      type = types.lines;
      default = "";
      example = ''
        Host friend
          HostName friend.example
          ProxyJump bastion.example
      '';
      description = ''
        How units reach SFTP servers, in the words of {manpage}`ssh_config(5)`. What it leaves open is as in the configuration of root and of the
        host. It lies in the store, where everyone on the host can read it.
      '';
    };

    checkConfig = mkOption {
      type = types.bool;
      default = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
      defaultText = lib.literalMD "whether what is built can run on the machine that builds";
      description = "Whether the configuration file is checked by the program itself when the system is built.";
    };

    policy = {
      require321 = own.flag false ''
        Fail the evaluation if a job's data would have fewer than three copies (the live data is one), on fewer than two kinds of media, or
        none of them elsewhere. Counted from `repositories.<name>.copy`.
      '';
      requireCoverage = own.flag false "Fail the evaluation, instead of a warning, if a service of this host keeps state that no job saves.";
      restoresTestedBy = own.maybe (types.either types.singleLineStr (types.attrsOf types.singleLineStr)) ''
        Who or what tests restores from these backups, and how often, if this host has no `drills` for them: another machine's, or a person. Without either a
        warning reminds you: what was never restored may not be a backup. One text is for all; by name it is for a repository of `repositories`, one that a hub on
        this machine keeps, or a mirror of that hub, and you are reminded of the others.
      '' {
        example = {
          q = "drills on vault, weekly";
          friend = "by hand, first Sunday of the quarter";
        };
      };
      liveMedia = mkOption {
        type = types.str;
        default = "disk";
        example = "zfs";
        description = "The kind of media that the live data lies on, for `require321`.";
      };
    };

    coverage = mkOption {
      readOnly = true;
      type = types.submodule {
        options = {
          covered = mkOption {
            type = types.attrsOf (types.listOf types.str);
            description = "State of this host's services, and the jobs that save it.";
          };
          excluded = mkOption {
            type = types.listOf types.str;
            description = "State that is left out on purpose.";
          };
          uncovered = mkOption {
            type = types.listOf types.str;
            description = "State that no job saves.";
          };
        };
      };
      description = ''
        What is saved of this host: `nixos-rebuild repl`, then `:p config.services.hearth-backup.coverage`. Directories of services stand there
        by their paths, databases as `postgresql:NAME` and `mysql:NAME`. It knows of what units declare as their `StateDirectory` and of what stands in
        `nixos/presets.nix`; other state, such as directories of containers, is for `paths`. A job without a schedule counts too.
      '';
    };

    settings = mkOption {
      type = types.attrs;
      readOnly = true;
      description = "The engine's configuration as these options make it, see `docs/configuration.md`. It has no secrets.";
    };
  };
}
