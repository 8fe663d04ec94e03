# Hosts and hubs that are watched over, in the words of cases.nix.
{
  with',
  path,
  refuses,
}:
let
  job = {
    repositories = [ "hub" ];
    paths = [ "/srv" ];
  };
  watched = monitoring: extra: with' { inherit monitoring; jobs.state = job; } ++ [ extra ];
  tokenHash = "hbh_b97b3ea0_c33daba3ad3bbbb0a424890ed3c49635f4d838c47cee312e5ee9d538c4dda4d0";
  atHub = hub: monitoring: extra: [
    {
      services.hearth-backup = {
        enable = false;
        inherit monitoring;
        policy.restoresTestedBy = "tests";
        hub = {
          enable = true;
          hosts.laptop = { inherit tokenHash; };
        }
        // hub;
      };
    }
    extra
  ];
  prometheus.services.prometheus.enable = true;
  # What Prometheus has, if it asks one target.
  scrapes = target: config: checkConfig: credentials: {
    ruleFiles = [ "hearth-backup.rules.yml" ];
    scrapeConfigs = [
      (
        {
          job_name = "hearth-backup";
          honor_labels = true;
          scheme = "https";
          metrics_path = "/metrics";
          static_configs = [ { targets = [ target ]; } ];
        }
        // config
      )
    ];
    inherit checkConfig credentials;
  };
in
{
  # --- what a host tells -----------------------------------------------------------------

  metrics-go-to-a-file-and-a-gateway = {
    modules =
      with' {
        repositories.usb = {
          url = "/mnt/usb/q";
          writerKey.file = "/root/usb.key";
        };
        monitoring = {
          textfile = "/var/lib/node exporter/hearth-backup.prom";
          pushgateway = {
            url = "https://push.example";
            credentials.age = ./cases.nix;
            timeout = "5s";
          };
          keepReports = "90d";
          drillWithin = "35d";
        };
        jobs.state = job // { retention.daily = 7; };
        mirrors.usb = {
          from = "hub";
          to = "usb";
        };
      }
      ++ [ { systemd.services.shop.serviceConfig.StateDirectory = "shop"; } ];
    expect = {
      settings = {
        "monitoring.textfile" = "/var/lib/node exporter/hearth-backup.prom";
        "monitoring.pushgateway" = {
          url = "https://push.example";
          credentials = "credential:report-pushgateway";
          timeout = "5s";
        };
        "monitoring.keepReports" = "90d";
        "monitoring.drillWithin" = "35d";
        # What `status` complains of.
        "monitoring.uncovered" = [ "/var/lib/shop" ];
      };
      secretNames = [ "hearth-backup-report-pushgateway" ];
      tmpfiles = [ "'d' '/var/lib/hearth-backup' '0700' 'root' 'root' '-' " ];
      units = {
        "hearth-backup-state.service" = [
          ''ReadWritePaths="-/var/lib/node exporter"''
          "LoadCredential=report-pushgateway:/run/agenix/hearth-backup-report-pushgateway"
          # The gateway is reached by the run itself.
          "PrivateNetwork=false"
          "After=network-online.target"
          # What closes a report brings it with the unit's credentials, which it does not get from systemd.
          "/bin/env CREDENTIALS_DIRECTORY=/nix/store/"
          ''"settle" "state" "--config"''
        ];
        "hearth-backup-mirror-usb.service" = [
          ''ReadWritePaths="-/var/lib/node exporter"''
          "LoadCredential=report-pushgateway:/run/agenix/hearth-backup-report-pushgateway"
          "PrivateNetwork=false"
        ];
        "hearth-backup-check-hub.service" = [
          ''ReadWritePaths="-/var/lib/node exporter"''
          "LoadCredential=report-pushgateway:/run/agenix/hearth-backup-report-pushgateway"
          "PrivateNetwork=false"
        ];
      };
    };
  };

  # Whatever makes reports closes them when it is killed.
  killed-runs-are-settled = {
    modules = with' {
      repositories.usb = {
        url = "/mnt/usb/q";
        writerKey.file = "/root/usb.key";
      };
      jobs.state = job // { retention.daily = 7; };
      mirrors.usb = {
        from = "hub";
        to = "usb";
      };
    };
    expect.units = {
      "hearth-backup-state.service" = [ ''"settle" "state" "--config"'' ];
      "hearth-backup-mirror-usb.service" = [ ''"settle" "usb" "--kind" "mirror" "--config"'' ];
      "hearth-backup-forget-hub.service" = [ ''"settle" "hub" "--kind" "forget" "--config"'' ];
      "hearth-backup-prune-usb.service" = [ ''"settle" "usb" "--kind" "prune" "--config"'' ];
      "hearth-backup-check-hub.service" = [
        ''"settle" "hub" "--kind" "check" "--config"''
        # Nobody is told over a network.
        "PrivateNetwork=true"
      ];
    };
  };

  node-exporter-is-given-a-directory = {
    modules = watched { textfile = true; } { services.prometheus.exporters.node.enable = true; };
    expect = {
      warnings = [ ];
      settings."monitoring.textfile" = "/var/lib/hearth-backup-metrics/hearth-backup.prom";
      tmpfiles = [
        "'d' '/var/lib/hearth-backup' '0700' 'root' 'root' '-' "
        "'d' '/var/lib/hearth-backup-metrics' '0755' 'root' 'root' '-' "
      ];
      node = [ "--collector.textfile.directory=/var/lib/hearth-backup-metrics" ];
      units."hearth-backup-state.service" = [
        "ReadWritePaths=-/var/lib/hearth-backup-metrics"
        "PrivateNetwork=true"
      ];
    };
  };

  metrics-outlast-a-boot-where-the-root-does-not = {
    modules =
      watched { textfile = true; } { services.prometheus.exporters.node.enable = true; }
      ++ [ { services.hearth-backup.persistRoot = "/persist"; } ];
    expect.settings."monitoring.textfile" = "/persist/var/lib/hearth-backup-metrics/hearth-backup.prom";
  };

  no-textfile-is-no-textfile = {
    modules = watched { textfile = false; } { };
    expect = {
      settings.monitoring = null;
      node = [ ];
    };
  };

  a-textfile-that-nobody-reads = refuses (watched { textfile = true; } { }) [
    "monitoring.textfile: there is no node_exporter on this host that could read it: set `services.prometheus.exporters.node.enable = true`, or give the path of a file in the directory of another one."
  ];
  a-textfile-beside-another-directory =
    refuses
      (watched { textfile = true; } {
        services.prometheus.exporters.node = {
          enable = true;
          extraFlags = [ "--collector.textfile.directory=/var/lib/metrics" ];
        };
      })
      [
        "monitoring.textfile: node_exporter reads another directory already, by `services.prometheus.exporters.node.extraFlags`. Give the path of a file in it, such as `\"/var/lib/metrics/hearth-backup.prom\"`."
      ];
  a-textfile-in-the-store = refuses (watched { textfile = "${builtins.storeDir}/0000-q/a.prom"; } { }) [
    "monitoring.textfile: `${builtins.storeDir}/0000-q/a.prom` lies in the store, where nothing can be written."
  ];
  a-gateway-with-a-password = refuses (watched { pushgateway.url = "https://me:secret@push.example"; } { }) [
    "monitoring.pushgateway.url: must be the address of a server, such as `http://127.0.0.1:9091`, without a user or password, as it lies in the store: those are for `credentials`."
  ];
  credentials-of-a-gateway-in-the-store =
    refuses
      (watched {
        pushgateway = {
          url = "https://push.example";
          credentials.file = ./cases.nix;
        };
      } { })
      [
        "monitoring.pushgateway.credentials.file lies in the configuration, and would be copied to the store, where everyone on the host can read it. Write the path of a file of the host as a string, or encrypt the secret and use `.age`."
      ];

  # --- Prometheus and Grafana ------------------------------------------------------------

  prometheus-here-knows-the-rules-and-scrapes-the-hub-here = {
    modules = atHub { listen = [ "0.0.0.0" ]; plainHttp = true; } {
      rules = {
        enable = true;
        hub.token.file = "/run/secrets/viewer";
      };
      grafana.enable = true;
    } (prometheus // { services.grafana.enable = true; services.prometheus.enable = true; });
    expect = {
      warnings = [ ];
      prometheus = scrapes "127.0.0.1:8420" { scheme = "http"; authorization.credentials_file = "/run/credentials/prometheus.service/hub-metrics"; } "syntax-only" [ "hub-metrics:/run/secrets/viewer" ];
      dashboards = [
        {
          name = "hearth-backup";
          path = "grafana.json";
        }
      ];
    };
  };

  prometheus-scrapes-a-hub-elsewhere-that-shows-all = {
    modules = watched {
      rules = {
        enable = true;
        hub.url = "https://proxy.example:8443/backup/";
      };
    } prometheus;
    expect.prometheus = scrapes "proxy.example:8443" { metrics_path = "/backup/metrics"; } true [ ];
  };

  the-token-is-of-agenix = {
    modules = watched {
      rules = {
        enable = true;
        hub = {
          url = "https://backup.example";
          token.age = ./cases.nix;
        };
      };
    } prometheus;
    expect = {
      secretNames = [ "hearth-backup-hub-metrics" ];
      prometheus = scrapes "backup.example" { authorization.credentials_file = "/run/credentials/prometheus.service/hub-metrics"; } "syntax-only" [ "hub-metrics:/run/agenix/hearth-backup-hub-metrics" ];
    };
  };

  the-hub-behind-nginx-is-scraped-by-its-name = {
    modules = atHub {
      nginx.virtualHost = "backup.example";
      openStatus = true;
    } { rules.enable = true; } {
      services.prometheus.enable = true;
      services.nginx = {
        enable = true;
        virtualHosts."backup.example".forceSSL = true;
      };
    };
    expect.prometheus = scrapes "backup.example" { } true [ ];
  };

  prometheus-and-grafana-are-left-alone = {
    modules = watched { } (prometheus // { services.grafana.enable = true; services.prometheus.enable = true; });
    expect = {
      prometheus = {
        ruleFiles = [ ];
        scrapeConfigs = [ ];
        checkConfig = true;
        credentials = [ ];
      };
      dashboards = [ ];
    };
  };

  rules-and-a-dashboard-without-servers =
    refuses
      (watched {
        rules.enable = true;
        grafana.enable = true;
      } { })
      [
        "monitoring.rules.enable: there is no Prometheus on this host: set `services.prometheus.enable = true`. A Prometheus elsewhere takes the file `config.services.hearth-backup.monitoring.rules.file`."
        "monitoring.grafana.enable: there is no Grafana on this host: set `services.grafana.enable = true`. A Grafana elsewhere takes the file `config.services.hearth-backup.monitoring.grafana.file`."
      ];
  metrics-of-the-hub-without-a-token = refuses (atHub { } { rules.enable = true; } prometheus) [
    "monitoring.rules.hub.token is not set, and the hub shows its metrics to nobody without. `hearth-backup hub token new` makes a token, for here, and its hash, for a `hub.hosts.<name>` whose `role` is `viewer`; or set `hub.openStatus`."
  ];
  a-hub-whose-name-only-its-certificate-has =
    refuses
      (atHub {
        openStatus = true;
        listen = [ "::" ];
        tls = {
          certificate = "/etc/cert.pem";
          key = "/etc/key.pem";
        };
      } { rules.enable = true; } prometheus)
      [
        "monitoring.rules.hub.url: is not known: the hub speaks TLS by a name that only its certificate has, or listens at sockets only. Set it, such as `\"https://backup.example:8420\"`."
      ];
  a-hub-that-is-no-address = refuses (watched { rules = { enable = true; hub.url = "backup.example"; }; } prometheus) [
    "monitoring.rules.hub.url: `backup.example` is not the address of a hub, such as `https://backup.example`, which has no user, password or query."
  ];

  # --- what a hub tells ------------------------------------------------------------------

  a-hub-tells-what-has-become-wrong = {
    modules = atHub {
      hosts = {
        laptop = { inherit tokenHash; };
        filed.token.file = "/run/secrets/filed";
      };
      notify = {
        ntfy = {
          url = "https://ntfy.example";
          topic = "hub";
          token.file = "/run/secrets/ntfy";
        };
        units = [ "alert.service" ];
      };
      watch = {
        schedule = "*:0/10";
        tell = [
          "silent"
          "mirror"
        ];
        drillWithin = "35d";
      };
    } { } { };
    expect = {
      warnings = [ ];
      units = {
        "hearth-backup-hub-watch.service" = [
          ''"hub" "watch" "--config"''
          "User=hearth-backup-hub"
          "LoadCredential=hub-host-filed:/run/secrets/filed"
          "LoadCredential=hub-ntfy-token:/run/secrets/ntfy"
          "OnFailure=alert.service"
          "After=network-online.target hearth-backup-hub.service"
          "PrivateNetwork=false"
          "CapabilityBoundingSet="
          "ReadWritePaths=/var/lib/hearth-backup-hub"
        ];
        "hearth-backup-hub-watch.timer" = [
          "OnCalendar=*:0/10"
          "Persistent=false"
        ];
      };
    };
  };

  a-hub-that-is-to-tell-nobody-does-not-look = {
    modules = atHub { } { } { };
    expect.units = {
      "hearth-backup-hub-watch.service" = null;
      "hearth-backup-hub-watch.timer" = null;
    };
  };

  a-hub-looks-every-five-minutes-for-those-who-are-told-of-all = {
    modules = atHub { } { } { services.hearth-backup.notify.command = [ "/bin/tell" ]; };
    expect.units = {
      "hearth-backup-hub-watch.service" = [ "!OnFailure" ];
      "hearth-backup-hub-watch.timer" = [ "OnCalendar=*:0/5" ];
    };
  };
}
