# Types that several options share.
{ lib }:
let
  inherit (lib) mkOption types;
in
rec {
  # Becomes a part of unit and file names.
  name = types.strMatching "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}" // {
    description = "name of letters, digits, `-`, `_` and `.`";
  };

  absolutePath = types.strMatching "/.*" // {
    description = "absolute path";
  };

  byteSize =
    types.either types.ints.unsigned (types.strMatching "[0-9]+(\\.[0-9]*)? *([kKmMgGtTpP]([iI]?[bB]?)?|[bB])?")
    // {
      description = "number of bytes, or a size such as `20GiB`";
    };

  timeOfDay = types.strMatching "([01][0-9]|2[0-3]):[0-5][0-9]" // {
    description = "time of day such as `22:00`";
  };

  words = types.nonEmptyListOf types.str;

  # Absent unless it is set.
  maybe =
    type: description: extra:
    mkOption (
      {
        type = types.nullOr type;
        default = null;
        inherit description;
      }
      // extra
    );

  flag =
    default: description:
    mkOption {
      type = types.bool;
      inherit default description;
    };

  listOf =
    type: description: extra:
    mkOption (
      {
        type = types.listOf type;
        default = [ ];
        inherit description;
      }
      // extra
    );

  # Where a secret comes from.
  secretType =
    types.submodule {
      options = {
        age = maybe types.path ''
          The secret, encrypted by age, in your configuration. The agenix module decrypts it on the host; it is declared there by
          itself, for root only.
        '' { example = lib.literalExpression "./secret.age"; };
        file = maybe (types.either types.path types.str) ''
          A file on the host that holds the secret: a path as a string, such as `config.sops.secrets.hearth-q.path`. It is not
          copied to the store.
        '' { example = "/run/secrets/hearth-q"; };
      };
    };

  # A secret: where it comes from. It reaches a unit by `LoadCredential`, and never the store.
  secret =
    description:
    mkOption {
      inherit description;
      default = null;
      example = lib.literalExpression "{ age = ./secret.age; }";
      type = types.nullOr secretType;
    };

  schedule =
    default: description:
    mkOption {
      type = types.nullOr (types.either types.str (types.listOf types.str));
      inherit default;
      example = "02:30";
      description = "${description} In the words of {manpage}`systemd.time(7)`; `null` for no timer.";
    };

  randomizedDelay =
    default:
    mkOption {
      type = types.str;
      inherit default;
      example = "1h";
      description = "The timer waits up to so long, as chance has it, so that not all hosts come at once.";
    };

  # A command that runs around a job.
  hook = types.submodule {
    options = {
      command = mkOption {
        type = words;
        example = lib.literalExpression ''[ "''${pkgs.curl}/bin/curl" "-fsS" "https://example.org/begin" ]'';
        description = "The program and its arguments; no shell.";
      };
      timeoutSeconds = maybe types.ints.positive "It is stopped after so many seconds." { };
    };
  };

  # --- of jobs and mirrors ----------------------------------------------------------------

  retention =
    description:
    let
      keep = what: maybe types.ints.unsigned "The newest so many ${what} keep their first and their last snapshot." { };
    in
    mkOption {
      type = types.nullOr (
        types.submodule {
          options = {
            last = keep "snapshots, at most one an hour counted,";
            hourly = keep "hours that hold snapshots";
            daily = keep "days that hold snapshots";
            weekly = keep "weeks that hold snapshots";
            monthly = keep "months that hold snapshots";
            yearly = keep "years that hold snapshots";
            within = maybe types.str "Everything so long before the newest snapshot stays." { example = "30d"; };
          };
        }
      );
      default = null;
      example = {
        daily = 7;
        weekly = 4;
        monthly = 6;
      };
      inherit description;
    };

  memory = mkOption {
    type = types.nullOr types.str;
    default = "2G";
    description = "The most memory that it and the programs that it starts may take (`MemoryMax`); `null` for no limit.";
  };

  time = mkOption {
    type = types.str;
    default = "infinity";
    example = "6h";
    description = "A run that takes longer is stopped, and fails.";
  };

  # Who is told, and of what.
  notify = import ./notify.nix {
    inherit lib;
    own = { inherit flag listOf maybe secret secretType words; };
  };
}
