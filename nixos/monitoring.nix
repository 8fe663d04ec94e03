# Whom this host's metrics reach, and what a Prometheus and a Grafana on it are told.
#
#   runs --> textfile --> node_exporter --+
#   hub --> /metrics ---------------------+--> services.prometheus: rules.file, a job `hearth-backup` --> services.grafana: grafana.file
{
  config,
  lib,
  ...
}:
let
  own = import ./lib.nix { inherit lib; };
  all = config.services.hearth-backup;
  cfg = all.monitoring;
  prometheus = config.services.prometheus;
  say = path: text: "services.hearth-backup.monitoring.${path}: ${text}";
  unless = condition: path: text: {
    assertion = condition;
    message = say path text;
  };

  # --- the textfile -------------------------------------------------------------------

  isOurs = all.enable && cfg.textfile == true;
  directory = dirOf (own.textfileOf all);
  flag = "--collector.textfile.directory";
  told = lib.filter (lib.hasPrefix flag) (prometheus.exporters.node.extraFlags or [ ]);

  # --- the hub's metrics ---------------------------------------------------------------

  hub = cfg.rules.hub;
  isScraped = cfg.rules.enable && hub.url != null;
  # scheme, server, path
  parts = builtins.match "(https?)://([^/?#]+)(/[^?#]*)?" hub.url;
  path = builtins.elemAt parts 2;
  scrape = {
    job_name = "hearth-backup";
    # Backups have a label `job` of their own.
    honor_labels = true;
    scheme = builtins.elemAt parts 0;
    metrics_path = "${if path == null then "" else lib.removeSuffix "/" path}/metrics";
    static_configs = [ { targets = [ (builtins.elemAt parts 1) ]; } ];
  }
  // lib.optionalAttrs (hub.token != null) {
    authorization.credentials_file = "/run/credentials/prometheus.service/hub-metrics";
  };
  credentials = map (entry: "${entry.name}:${entry.path}") (lib.filter (entry: entry.prometheus or false) all.credentials);

  gateway = cfg.pushgateway;
in
{
  config = {
    services.hearth-backup.monitoring = {
      rules.file = ../docs/monitoring/hearth-backup.rules.yml;
      grafana.file = ../docs/monitoring/grafana.json;
    };

    systemd.tmpfiles.settings."10-hearth-backup" = lib.mkIf isOurs {
      ${directory}.d = {
        mode = "0755";
        user = "root";
        group = "root";
      };
    };
    services.prometheus.exporters = lib.mkIf isOurs { node.extraFlags = [ "${flag}=${directory}" ]; };

    services.prometheus.ruleFiles = lib.mkIf cfg.rules.enable [ cfg.rules.file ];
    services.prometheus.scrapeConfigs = lib.mkIf (isScraped && parts != null) [ scrape ];
    services.prometheus.checkConfig = lib.mkIf (isScraped && hub.token != null) (lib.mkDefault "syntax-only");
    systemd.services.prometheus = lib.mkIf (isScraped && credentials != [ ]) { serviceConfig.LoadCredential = credentials; };

    services.grafana.provision = lib.mkIf cfg.grafana.enable {
      enable = true;
      dashboards.settings.providers = [
        {
          name = "hearth-backup";
          options.path = cfg.grafana.file;
        }
      ];
    };

    assertions =
      lib.optionals all.enable [
        (unless (
          cfg.textfile != true || prometheus.exporters.node.enable or false
        ) "textfile" "there is no node_exporter on this host that could read it: set `services.prometheus.exporters.node.enable = true`, or give the path of a file in the directory of another one.")
        (unless (
          cfg.textfile != true || lib.length told <= 1
        ) "textfile" "node_exporter reads another directory already, by `services.prometheus.exporters.node.extraFlags`. Give the path of a file in it, such as `\"${
          lib.removePrefix "${flag}=" (lib.findFirst (other: other != "${flag}=${directory}") "" told)
        }/hearth-backup.prom\"`.")
        (unless (
          builtins.isBool cfg.textfile || cfg.textfile == null || !own.isWithin builtins.storeDir cfg.textfile
        ) "textfile" "`${toString cfg.textfile}` lies in the store, where nothing can be written.")
        (unless (
          gateway == null || builtins.match "https?://[^/?#@ ]+(/[^?#@ ]*)?" gateway.url != null
        ) "pushgateway.url" "must be the address of a server, such as `http://127.0.0.1:9091`, without a user or password, as it lies in the store: those are for `credentials`.")
      ]
      ++ lib.optionals cfg.rules.enable [
        (unless prometheus.enable or false "rules.enable" "there is no Prometheus on this host: set `services.prometheus.enable = true`. A Prometheus elsewhere takes the file `config.services.hearth-backup.monitoring.rules.file`.")
        (unless (
          !all.hub.enable || hub.url != null
        ) "rules.hub.url" "is not known: the hub speaks TLS by a name that only its certificate has, or listens at sockets only. Set it, such as `\"https://backup.example:${toString all.hub.port}\"`.")
        (unless (hub.url == null || parts != null) "rules.hub.url" "`${toString hub.url}` is not the address of a hub, such as `https://backup.example`, which has no user, password or query.")
      ]
      ++ lib.optionals cfg.grafana.enable [
        (unless config.services.grafana.enable or false "grafana.enable" "there is no Grafana on this host: set `services.grafana.enable = true`. A Grafana elsewhere takes the file `config.services.hearth-backup.monitoring.grafana.file`.")
      ];
  };
}
