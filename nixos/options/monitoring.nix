# How runs are watched over: metrics, alerts, a dashboard.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };
  cfg = config.services.hearth-backup;
  hub = cfg.hub;

  # Where a Prometheus on this host reaches the hub on it, if that can be known: whose name stands in a certificate cannot.
  addresses = lib.filter (address: !lib.hasPrefix "/" address) hub.listen;
  loopback = {
    "0.0.0.0" = "127.0.0.1";
    "::" = "::1";
  };
  address =
    let
      first = lib.head addresses;
      there = loopback.${first} or first;
    in
    if lib.hasInfix ":" there then "[${there}]" else there;
  hubHere =
    if !hub.enable then
      null
    else if hub.nginx.virtualHost != null then
      "https://${hub.nginx.virtualHost}"
    else if addresses != [ ] && hub.tls.certificate == null then
      "http://${address}:${toString hub.port}"
    else
      null;
in
{
  options.services.hearth-backup.monitoring = {
    textfile = mkOption {
      type = types.nullOr (types.either types.bool (types.strMatching "/.*\\.prom"));
      default = null;
      example = "/var/lib/node-exporter/hearth-backup.prom";
      description = ''
        Write metrics after each run for the textfile collector of node_exporter. With `true` they lie in a directory of their own, which the node_exporter of this
        host (`services.prometheus.exporters.node`) is told to read. If that has such a directory already, give the path of a file in it that ends in `.prom`.
      '';
    };
    pushgateway = own.maybe (types.submodule {
      options = {
        url = mkOption {
          type = types.str;
          example = "https://push.example";
          description = "Its address.";
        };
        credentials = own.secret "A file with `USER:PASSWORD`, if it asks for them.";
        timeout = own.maybe types.str "How long a run waits for it at most; `10s` if absent." { };
      };
    }) "A Pushgateway that is told after each run, for hosts that nobody can scrape." { };
    keepReports = own.maybe types.str "How long reports of runs stay on this host, of which metrics and `hearth-backup status` are made; `400d` if absent." {
      example = "90d";
    };
    drillWithin = own.maybe types.str "In which time a restore from each repository shall have been tried, for `hearth-backup status`; it asks for none if absent." {
      example = "35d";
    };

    rules = {
      enable = own.flag false ''
        Whether the Prometheus of this host (`services.prometheus`) has the alert rules, and scrapes the hub in `rules.hub`. Where it sends alerts is for
        `services.prometheus.alertmanagers`.
      '';
      file = mkOption {
        type = types.path;
        readOnly = true;
        description = "The alert rules, for a Prometheus that is set up otherwise; see `docs/monitoring.md`.";
      };
      hub = {
        url = mkOption {
          type = types.nullOr types.str;
          default = hubHere;
          defaultText = lib.literalMD "the hub on this host, if there is one that speaks no TLS itself";
          example = "https://backup.fort.example";
          description = "The hub whose metrics Prometheus scrapes.";
        };
        token = own.secret ''
          The token of a `viewer` at this hub. Prometheus gets it by `LoadCredential`, and its configuration is then checked for its syntax only, as nothing else can be
          when the system is built.
        '';
      };
    };

    grafana = {
      enable = own.flag false "Whether the Grafana of this host (`services.grafana`) has the dashboard.";
      file = mkOption {
        type = types.path;
        readOnly = true;
        description = "The dashboard, for a Grafana that is set up otherwise.";
      };
    };
  };
}
