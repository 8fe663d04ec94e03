# Secrets: from agenix, sops or a plain file to a unit's credentials, and never through the store.
#
#   .age  --> age.secrets."hearth-backup-NAME" --> /run/agenix/... --+
#   .file ------------------------------------------------------------+--> LoadCredential=NAME:PATH --> `credential:NAME` in the configuration
{
  config,
  options,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
  own = import ./lib.nix { inherit lib; };
  telling = import ./notify.nix { inherit lib; };
  cfg = config.services.hearth-backup;
  jobs = lib.filterAttrs (_: job: job.enable) cfg.jobs;
  mirrors = lib.filterAttrs (_: mirror: mirror.enable) cfg.mirrors;
  drills = lib.filterAttrs (_: drill: drill.enable) cfg.drills;
  hasAgenix = options ? age;

  ofRepository = name: repository: [
    {
      name = "${name}-writer-key";
      option = "repositories.${name}.writerKey";
      secret = repository.writerKey;
      repository = name;
      writes = true;
      absent = "is not set. `hearth-backup init` writes a writer key; encrypt it into your configuration and set `repositories.${name}.writerKey.age = ./q-writer.age;`, or name a file of the host with `.file`.";
      # A mirror is made, and read, without a key; a drill has another one.
      required =
        lib.any (job: lib.elem name job.repositories) (lib.attrValues jobs)
        || !lib.any (mirror: lib.elem name [ mirror.from mirror.to ]) (lib.attrValues mirrors)
        && cfg.drills == { };
    }
    {
      name = "${name}-credentials";
      option = "repositories.${name}.credentials";
      secret = repository.credentials;
      repository = name;
    }
    {
      name = "${name}-identity";
      option = "repositories.${name}.identity";
      secret = repository.identity;
      repository = name;
    }
    {
      name = "${name}-token";
      option = "repositories.${name}.token";
      secret = repository.token;
      repository = name;
      required = own.isOverHttp repository.url;
      absent = "is not set, and the hub lets nobody in without. Whoever runs it makes one, by `hearth-backup hub token new` or `hub token add`; encrypt it into your configuration and set `repositories.${name}.token.age = ./q-token.age;`, or name a file of the host with `.file`.";
    }
  ];
  ofJob =
    name: job:
    lib.concatMap
      (
        server:
        lib.optional (job.${server} != null && job.${server}.password != null) {
          name = "${name}-${server}-password";
          option = "jobs.${name}.${server}.password";
          secret = job.${server}.password;
          job = name;
        }
      )
      [ "postgresql" "mysql" "mariadb" ]
    ++ ofNotify name "jobs.${name}." job.notify;
  # `notifies` is under which name the notifier finds them.
  ofNotify =
    name: option: notify:
    map (found: {
      name = "${name}-${found.word}";
      option = "${option}notify.${found.option}";
      inherit (found) secret;
      notifies = name;
    }) (telling.secretsOf notify);
  ofReporting = [
    {
      name = "report-token";
      option = "reportTo.token";
      secret = cfg.reportTo.token;
      reports = true;
      required = own.isOverHttp cfg.reportTo.url;
      absent = "is not set, and the hub lets nobody in without. It is the same as that of the repository there.";
    }
    {
      name = "report-identity";
      option = "reportTo.identity";
      secret = cfg.reportTo.identity;
      reports = true;
    }
  ];
  ofDrill =
    name: drill:
    [
      {
        name = "drill-${name}-key";
        option = "drills.${name}.key";
        secret = drill.key;
        drill = name;
        required = true;
        absent = "is not set. `age-keygen -o drill.key` makes a restore key for this machine alone, and `hearth-backup key add-recipient` lets it read; encrypt it into your configuration and set `drills.${name}.key.age = ./drill.age;`, or name a file of the host with `.file`.";
      }
    ]
    ++ ofNotify "drill-${name}" "drills.${name}." drill.notify;
  ofMonitoring =
    lib.optional (cfg.enable && cfg.monitoring.pushgateway != null) {
      # A repository cannot be called so.
      name = "report-pushgateway";
      option = "monitoring.pushgateway.credentials";
      secret = cfg.monitoring.pushgateway.credentials;
      reports = true;
    }
    ++ lib.optional cfg.monitoring.rules.enable {
      name = "hub-metrics";
      option = "monitoring.rules.hub.token";
      secret = cfg.monitoring.rules.hub.token;
      prometheus = true;
      required = cfg.hub.enable && !cfg.hub.openStatus;
      absent = "is not set, and the hub shows its metrics to nobody without. `hearth-backup hub token new` makes a token, for here, and its hash, for a `hub.hosts.<name>` whose `role` is `viewer`; or set `hub.openStatus`.";
    };
  # `hub` says for what there: the hosts who may come, or one mirror.
  ofHub =
    lib.mapAttrsToList (name: host: {
      name = "hub-host-${name}";
      option = "hub.hosts.${name}.token";
      secret = host.token;
      hub = "hosts";
    }) cfg.hub.hosts
    ++ lib.concatLists (
      lib.mapAttrsToList (
        name: mirror:
        map (kind: {
          name = "hub-mirror-${name}-${kind}";
          option = "hub.mirrors.${name}.${kind}";
          secret = mirror.${kind};
          hub = "mirrors.${name}";
          required = kind == "token" && own.isOverHttp mirror.url;
          absent = "is not set, and the other hub lets nobody in without. Whoever runs it makes one for a maintainer, by `hearth-backup hub token new` or `hub token add`.";
        }) [ "credentials" "identity" "token" ]
      ) (lib.filterAttrs (_: mirror: mirror.enable) cfg.hub.mirrors)
    )
    ++ ofNotify "hub" "hub." cfg.hub.notify;
  all =
    lib.optionals cfg.enable (
      lib.concatLists (
        lib.mapAttrsToList ofRepository cfg.repositories
        ++ lib.mapAttrsToList ofJob jobs
        ++ lib.mapAttrsToList (name: mirror: ofNotify "mirror-${name}" "mirrors.${name}." mirror.notify) mirrors
        ++ lib.mapAttrsToList ofDrill drills
        ++ lib.mapAttrsToList (name: repository: ofNotify "maintain-${name}" "repositories.${name}." repository.notify) cfg.repositories
      )
      ++ lib.optionals (cfg.reportTo != null) ofReporting
    )
    ++ ofMonitoring
    ++ lib.optionals cfg.hub.enable ofHub
    ++ lib.optionals (cfg.enable || cfg.hub.enable) (ofNotify telling.nameOfAll "" cfg.notify);

  ways = secret: lib.filter (way: secret.${way} != null) [ "age" "file" ];
  # Where it lies on the host.
  place =
    entry:
    if entry.secret.age != null then
      config.age.secrets."hearth-backup-${entry.name}".path or "/run/agenix/hearth-backup-${entry.name}"
    else
      toString entry.secret.file;

  inStore = secret: secret.file != null && (builtins.isPath secret.file || lib.hasPrefix builtins.storeDir (toString secret.file));
  usable = lib.filter (entry: entry.secret != null && lib.length (ways entry.secret) == 1 && !inStore entry.secret) all;
in
{
  options.services.hearth-backup.credentials = mkOption {
    type = types.listOf types.raw;
    internal = true;
    readOnly = true;
    description = "Credentials: `name`, `path`, and which `repository`, `job` or notification needs it; `writes` says that it is a writer key.";
  };

  config = {
    services.hearth-backup.credentials = map (
      entry: removeAttrs entry [ "secret" "required" "absent" ] // { path = place entry; }
    ) usable;

    assertions = (
      lib.concatMap (entry: [
        {
          assertion = !(entry.required or false) || entry.secret != null;
          message = "services.hearth-backup.${entry.option} ${entry.absent or "is not set."}";
        }
        {
          assertion = entry.secret == null || lib.length (ways entry.secret) == 1;
          message = "services.hearth-backup.${entry.option}: set one of `age` and `file`, and only one.";
        }
        {
          assertion = entry.secret == null || entry.secret.age == null || hasAgenix;
          message = "services.hearth-backup.${entry.option}.age needs the agenix module: add `agenix.nixosModules.default` to the host's modules, or name a file of the host with `${entry.option}.file` (with sops-nix: `config.sops.secrets.NAME.path`).";
        }
        {
          assertion = entry.secret == null || !inStore entry.secret;
          message = "services.hearth-backup.${entry.option}.file lies in the configuration, and would be copied to the store, where everyone on the host can read it. Write the path of a file of the host as a string, or encrypt the secret and use `.age`.";
        }
      ]) all
    );
  }
  // lib.optionalAttrs hasAgenix {
    age.secrets = (
      lib.listToAttrs (
        map (
          entry:
          lib.nameValuePair "hearth-backup-${entry.name}" {
            file = entry.secret.age;
            mode = "0400";
            owner = "root";
            group = "root";
          }
        ) (lib.filter (entry: entry.secret.age != null) usable)
      )
    );
  };
}
