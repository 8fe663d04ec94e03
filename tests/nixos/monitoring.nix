# Two hosts, their hub with a mirror, and a machine that tries restores. One host falls silent, a job fails, a snapshot shrinks, a mirror rots, and a dump cannot be loaded any
# more: people are told of each, and of nothing else.
let
  tokens = import ./hub/tokens.nix;
in
{
  name = "hearth-backup-monitoring";

  nodes = {
    hub =
      { pkgs, ... }:
      {
        imports = [ ./common/hub.nix ];
        services.hearth-backup.hub = {
          # The machine that tries restores.
          hosts.vault = {
            tokenHash = tokens.friend.hash;
            role = "reader";
            repository = "one";
          };
          mirrors.disk = {
            url = "/mnt/usb/{repository}";
            schedule = null;
            verify = 100;
          };
          notify.on = [ "start" "warning" "failure" "recovery" ];
          notify.command = [
            "${pkgs.bash}/bin/sh"
            "-c"
            ''(echo "$HEARTH_EVENT: $HEARTH_TITLE"; cat) >> /var/lib/hearth-backup-hub/told''
          ];
          watch = {
            # The test looks when something has happened.
            schedule = null;
            # The disk of whoever runs the test may be full.
            tell = [ "silent" "failing" "warnings" "suspicious" "integrity" "upkeep" "mirror" "unverified" "untried" ];
            drillWithin = "35d";
          };
        };
        systemd.tmpfiles.rules = [ "d /mnt/usb 0700 hearth-backup-hub hearth-backup-hub -" ];

        # What lies on the disk nobody else can try.
        services.hearth-backup = {
          enable = true;
          repositories.disk.url = "/mnt/usb/one";
          reportTo = {
            url = "http://127.0.0.1:8420/one";
            token.file = "/root/reader.token";
          };
          drills.disk = {
            repository = "disk";
            mirror = "disk";
            key.file = "/root/one.restore";
            job = "state";
            schedule = null;
            every = "31d";
          };
        };

        # What the rules say of the same, by a Prometheus of our own, which looks every second.
        services.hearth-backup.hub.openStatus = true;
        systemd.services.alerts =
          let
            settings = {
              global = {
                scrape_interval = "1s";
                evaluation_interval = "1s";
              };
              rule_files = [ "/etc/alerts.rules.yml" ];
              scrape_configs = [
                {
                  job_name = "hearth-backup";
                  honor_labels = true;
                  static_configs = [ { targets = [ "127.0.0.1:8420" ]; } ];
                }
              ];
            };
          in
          {
            wantedBy = [ "multi-user.target" ];
            serviceConfig = {
              StateDirectory = "alerts";
              ExecStart = "${pkgs.prometheus}/bin/prometheus --config.file=${pkgs.writeText "prometheus.json" (builtins.toJSON settings)} --storage.tsdb.path=/var/lib/alerts --web.listen-address=127.0.0.1:9090";
            };
          };
        environment.etc."alerts.rules.yml".text = builtins.readFile ../../docs/monitoring/hearth-backup.rules.yml;
      };

    one =
      { pkgs, ... }:
      {
        imports = [ ./common/at-hub.nix ];
        services.postgresql = {
          enable = true;
          ensureDatabases = [ "shop" ];
        };
        services.hearth-backup = {
          monitoring.textfile = "/var/lib/metrics/hearth-backup.prom";
          jobs.state.every = "24h";
          jobs.photos = {
            paths = [ "/var/lib/photos" ];
            repositories = [ "hub" ];
            schedule = null;
            every = "24h";
            retries.count = 0;
          };
          jobs.ledger = {
            paths = [ "/var/lib/ledger" ];
            # Books that cannot be read are not saved.
            hooks.before = [
              {
                command = [
                  "${pkgs.coreutils}/bin/cat"
                  "/var/lib/ledger/today"
                ];
              }
            ];
            repositories = [ "hub" ];
            schedule = null;
            every = "24h";
            retries.count = 0;
          };
          jobs.shop = {
            postgresql.databases = [ "shop" ];
            repositories = [ "hub" ];
            schedule = null;
            every = "24h";
            retries.count = 0;
          };
        };
        systemd.tmpfiles.rules = [ "d /var/lib/metrics 0755 root root -" ];
        virtualisation.memorySize = 2048;
      };

    two = {
      imports = [ ./common/at-hub.nix ];
      services.hearth-backup.jobs.state.every = "1h";
    };

    vault =
      { pkgs, ... }:
      {
        imports = [ ../../nixos/module.nix ];
        environment.systemPackages = [ pkgs.python3 ];
        services.hearth-backup = {
          enable = true;
          repositories.one = {
            url = "http://hub:8420/one";
            allowPlainHttp = true;
            token.file = "/root/vault.token";
          };
          drills.shop = {
            repository = "one";
            key.file = "/root/one.restore";
            job = "shop";
            schedule = null;
            every = "31d";
            postgresql.assertions.shop = [ "SELECT count(*) > 0 FROM orders" ];
          };
          drills.files = {
            repository = "one";
            key.file = "/root/one.restore";
            job = "state";
            schedule = null;
            every = "31d";
            tmpfs = "200MiB";
            smoke.command = [
              "${pkgs.coreutils}/bin/test"
              "-s"
              "var/lib/app/notes"
            ];
          };
        };
        virtualisation.memorySize = 2048;
      };
  };

  testScript = ''
    tokens = ${builtins.toJSON (builtins.mapAttrs (_: known: known.token) tokens)}
  ''
  + builtins.readFile ./common/hub.py
  + builtins.readFile ./monitoring.py;
}
