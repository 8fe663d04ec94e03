# Configurations of hosts, and what must come of them; what concerns other machines is in far.nix, hubs in hub.nix, who is told in notify.nix, who watches in monitoring.nix, and who tries restores in drills.nix. `check.py` compares.
#
#   modules              the host
#   expect.assertions    the texts of the assertions that fail; nothing else is looked at then
#   expect.warnings      all warnings, in any order
#   expect.settings      values in the engine's configuration, by dotted path
#   expect.units         for each unit, lines that it must have and, after a `!`, must not have; `null` if there must be no such unit
#   expect.polkit, expect.authorized   as for units: what the rule of polkit and the keys of ssh must have
#   expect.nginx         what the only virtual host answers with
#   expect.prometheus, node, dashboards   what Prometheus, node_exporter and Grafana are given; of files only the names
#   expect.coverage, secrets, tmpfiles, persistence, stateDir, persistRoot, hub, ports   as they are
{ lib }:
let
  # A repository and a job that nothing is wrong with.
  hub = {
    url = "/mnt/backup/q";
    writerKey.file = "/root/q.key";
  };
  host =
    settings:
    lib.recursiveUpdate {
      recipients = [ "age1admin" ];
      policy.restoresTestedBy = "tests";
      repositories = { inherit hub; };
    } settings;
  with' = settings: [ { services.hearth-backup = host settings; } ];
  job = settings: with' { jobs.state = { repositories = [ "hub" ]; paths = [ "/srv/data" ]; } // settings; };
  path = "services.hearth-backup";
  # A package, as far as an option looks.
  package = name: rec {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
    out = package name;
    outputs = [ "out" ];
    outputName = "out";
    drvPath = "${outPath}.drv";
  };
  refuses = modules: texts: {
    inherit modules;
    expect.assertions = map (text: "${path}.${text}") texts;
  };
in
{
  # --- the smallest, and everything ----------------------------------------------------

  a-path-goes-to-a-disk = {
    modules = job { };
    expect = {
      warnings = [ ];
      settings = {
        "host" = "q";
        "stateDir" = "/var/lib/hearth-backup";
        "recipients" = [ "age1admin" ];
        "repositories.hub.url" = "/mnt/backup/q";
        "repositories.hub.writerKey" = "credential:hub-writer-key";
        "jobs.state.paths" = [ "/srv/data" ];
        "jobs.state.repositories" = [ "hub" ];
        "jobs.state.postgresql" = null;
      };
      tmpfiles = [ "'d' '/var/lib/hearth-backup' '0700' 'root' 'root' '-' " ];
      units = {
        "hearth-backup-state.service" = [
          "Description=Back up state to hub"
          "LoadCredential=hub-writer-key:/root/q.key"
          "WantsMountsFor=/mnt/backup/q"
          "RequiresMountsFor=/srv/data"
          "RequiresMountsFor=/var/lib/hearth-backup"
          "!RequiresMountsFor=/mnt/backup/q"
          "ReadWritePaths=-/mnt/backup/q"
          "ReadWritePaths=/var/lib/hearth-backup"
          "CapabilityBoundingSet=CAP_DAC_READ_SEARCH"
          "PrivateNetwork=true"
          "X-RestartIfChanged=false"
          "MemoryMax=2G"
          "!network-online"
          "!OnFailure"
          "!CAP_SETUID"
        ];
        "hearth-backup-state.timer" = [
          "OnCalendar=daily"
          "Persistent=true"
          "RandomizedDelaySec=15min"
          "WantedBy=timers.target"
        ];
        "hearth-backup-prune-hub.timer" = [ "OnCalendar=Sun 04:30" ];
        "hearth-backup-check-hub.service" = [
          ''"maintain" "hub" "--only" "check"''
          "IOSchedulingClass=idle"
          "CapabilityBoundingSet="
          "After=hearth-backup-state.service hearth-backup-prune-hub.service"
        ];
        # Nothing says what shall be forgotten.
        "hearth-backup-forget-hub.service" = null;
        "hearth-backup-notify-state@.service" = null;
      };
    };
  };

  every-option-of-a-job-reaches-the-engine = {
    modules =
      with' {
        host = "renamed";
        stateDir = "/srv/state";
        readFrom."/home" = "/persist/home";
        checkConfig = false;
        repositories.hub = {
          url = "file:///mnt/backup/q#hb1abc";
          copy = {
            media = "zfs";
            offsite = false;
          };
          prune = {
            grace = "3d";
            maxUnused = 5;
            schedule = "monthly";
          };
          check = {
            readPacks = 10;
            randomizedDelay = "2h";
          };
          forget.schedule = null;
        };
        jobs.databases = {
          repositories = [ "hub" ];
          postgresql = {
            databases = [ "one" ];
            format = "directory";
            parallel = 2;
          };
        };
        jobs.everything = {
          repositories = [ "hub" ];
          after = [ "databases" ];
          paths = [ "/srv/a" "/srv/*/b" ];
          optionalPaths = [ "/srv/c" ];
          exclude = [ "*.log" ];
          excludeFrom = [ "/etc/excludes" ];
          excludePresets = [ "caches" ];
          excludeIfPresent = [ ".nobackup" ];
          excludeLargerThan = "20GiB";
          oneFileSystem = true;
          ignoreInode = true;
          schedule = [ "02:00" "14:00" ];
          randomizedDelay = "0";
          persistent = false;
          every = "12h";
          wakeSystem = true;
          inhibitsSleep = true;
          readWritePaths = [ "/srv/dumps" ];
          retention = {
            daily = 7;
            within = "30d";
          };
          tags = [ "nightly" ];
          compression = 7;
          skipIfUnchanged = true;
          window = {
            from = "22:00";
            to = "06:00";
          };
          limits = {
            nice = 10;
            io = "idle";
            threads = 2;
            readRate = "50MiB";
            uploadRate = 1000000;
            memory = "512M";
            ioWeight = 10;
            cpuWeight = 20;
            time = "6h";
          };
          retries = {
            count = 5;
            delay = "1min";
          };
          hooks = {
            before = [ { command = [ "/bin/before" ]; } ];
            afterSuccess = [
              {
                command = [ "/bin/success" "a b" ];
                timeoutSeconds = 5;
              }
            ];
            afterFailure = [ { command = [ "/bin/failure" ]; } ];
            always = [ { command = [ "/bin/always" ]; } ];
          };
          notify = {
            ntfy = {
              url = "https://ntfy.example";
              topic = "backups";
              token.file = "/run/secrets/ntfy";
              priority = 5;
            };
            command = [ "/bin/tell" ];
            units = [ "alert.service" ];
          };
          postgresql = {
            databases = "all";
            exclude = [ "scratch_*" ];
            host = "db.example";
            port = 5433;
            username = "backup";
            password.file = "/run/secrets/pg";
            rowCounts = false;
            globals = false;
            directoryFrom = "1GiB";
            scratch = "/srv/scratch";
          };
          mysql = {
            databases = [ "shop" ];
            socket = "/run/other.sock";
            user = "mysql";
            users = false;
            through = [ "podman" "exec" "-i" "db" ];
          };
          mariadb = {
            databases = "all";
            host = "maria.example";
          };
          sqlite = {
            databases = [ "/opt/*/app.db" ];
            integrityCheck = "quick";
          };
          commands."vault.snap" = {
            command = [ "vault" "save" ];
            format = "file";
            minimumSize = "1MiB";
            success = [ 0 1 ];
          };
          devices.vm-101.path = "/dev/vg0/vm-101";
          lvmVolumes = [ "vm-*" "!vm-1" ];
          containers = {
            engine = "podman";
            volumes = [ "*" ];
            labels = [ "backup=yes" ];
            quiesce = "pause";
          };
          filesystemSnapshots = {
            kinds = [ "btrfs" "lvm" ];
            required = true;
            lvmRoom = "20%";
            mountDirectory = "/run/snapshots";
          };
          quiesce = {
            services = [ "jellyfin.service" ];
            freeze = [ { command = [ "/bin/freeze" ]; } ];
            thaw = [ { command = [ "/bin/thaw" ]; } ];
            timeoutSeconds = 60;
          };
        };
      }
      ++ [
        {
          services.postgresql.enable = true;
          systemd.services.jellyfin = { };
        }
      ];
    expect = {
      warnings = [ ];
      golden = true;
      units = {
        "hearth-backup-everything.service" = [
          "OnFailure=hearth-backup-notify-everything@hearth-backup-everything.service alert.service"
          "LoadCredential=hub-writer-key:/root/q.key"
          "LoadCredential=everything-postgresql-password:/run/secrets/pg"
          "!ntfy-token"
          ''"--retries" "5" "--retry-delay" "1min"''
          "MemoryMax=512M"
          "IOWeight=10"
          "CPUWeight=20"
          "TimeoutStartSec=6h"
          # It would close the devices of the snapshots.
          "!DeviceAllow"
          "RequiresMountsFor=/srv/state"
          "WantsMountsFor=/srv/c"
          "ReadWritePaths=-/etc/lvm"
          "ReadWritePaths=-/srv/dumps"
          "After=network-online.target postgresql.service postgresql.target mysql.service hearth-backup-awake-everything.service hearth-backup-databases.service"
          "Wants=network-online.target hearth-backup-awake-everything.service"
          "!systemd-inhibit"
          "KillMode=mixed"
          "RequiresMountsFor=/srv/a"
          "RequiresMountsFor=/srv"
          "CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SETUID CAP_SETGID CAP_CHOWN CAP_SYS_ADMIN CAP_DAC_OVERRIDE"
          "ProtectSystem=full"
          "PrivateNetwork=false"
        ];
        "hearth-backup-awake-everything.service" = [
          "systemd-inhibit --mode=block --what=sleep"
          "StopWhenUnneeded=true"
        ];
        "hearth-backup-awake-databases.service" = null;
        "hearth-backup-everything.timer" = [
          "OnCalendar=02:00"
          "OnCalendar=14:00"
          "Persistent=false"
          "RandomizedDelaySec=0"
          "WakeSystem=true"
        ];
        "hearth-backup-databases.service" = [
          "CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE"
          "!CAP_SYS_ADMIN"
          "PrivateNetwork=true"
        ];
        "hearth-backup-notify-everything@.service" = [ "LoadCredential=everything-ntfy-token:/run/secrets/ntfy" ];
        "hearth-backup-forget-hub.service" = [ "OnFailure=hearth-backup-notify-everything@hearth-backup-forget-hub.service alert.service" ];
        "hearth-backup-forget-hub.timer" = null;
        "hearth-backup-prune-hub.timer" = [ "OnCalendar=monthly" ];
        "hearth-backup-check-hub.timer" = [ "RandomizedDelaySec=2h" ];
      };
    };
  };

  servers-elsewhere-in-containers-and-with-passwords = {
    modules =
      with' {
        package = package "hearth-backup";
        policy.liveMedia = "nvme";
        repositories.hub = {
          forget.randomizedDelay = "1h";
          prune.randomizedDelay = "3h";
          check.schedule = [
            "Mon 05:00"
            "Thu 05:00"
          ];
        };
        jobs.servers = {
          repositories = [ "hub" ];
          path = [ (package "kubectl") ];
          postgresql = {
            databases = "all";
            through = [
              "docker"
              "exec"
              "-i"
              "db"
            ];
            user = "operator";
            package = package "postgresql-other";
          };
          mysql = {
            databases = "all";
            exclude = [ "scratch" ];
            host = "mysql.example";
            port = 3307;
            username = "backup";
            password.age = ./cases.nix;
            rowCounts = false;
            package = package "mysql-other";
          };
          mariadb = {
            databases = "all";
            exclude = [ "test_*" ];
            port = 3306;
            socket = "/run/mysqld/other.sock";
            user = "mysql";
            username = "backup";
            users = true;
            rowCounts = true;
            through = [
              "podman"
              "exec"
              "-i"
              "db"
            ];
            package = package "mariadb-other";
          };
          sqlite.discover = true;
          paths = [ "/srv/data" ];
          retention = {
            last = 3;
            hourly = 24;
            yearly = 2;
          };
          hooks = {
            before = [
              {
                command = [ "kubectl" ];
                timeoutSeconds = 1;
              }
            ];
            afterFailure = [
              {
                command = [ "kubectl" ];
                timeoutSeconds = 2;
              }
            ];
            always = [
              {
                command = [ "kubectl" ];
                timeoutSeconds = 3;
              }
            ];
          };
          quiesce = {
            freeze = [
              {
                command = [ "kubectl" ];
                timeoutSeconds = 4;
              }
            ];
            thaw = [
              {
                command = [ "kubectl" ];
                timeoutSeconds = 5;
              }
            ];
          };
        };
        jobs.passwords = {
          repositories = [ "hub" ];
          postgresql = {
            databases = [ "one" ];
            host = "/run/other";
            password.age = ./cases.nix;
          };
          mariadb = {
            databases = [ "one" ];
            host = "maria.example";
            password.file = "/run/secrets/maria";
          };
        };
        jobs.more-passwords = {
          repositories = [ "hub" ];
          mysql = {
            databases = [ "one" ];
            host = "mysql.example";
            password.file = "/run/secrets/mysql";
          };
          mariadb = {
            databases = [ "one" ];
            host = "maria.example";
            password.age = ./cases.nix;
          };
        };
      }
      ++ [ { services.postgresql.enable = true; } ];
    expect = {
      golden = true;
      warnings = [ ];
      secretNames = [
        "hearth-backup-more-passwords-mariadb-password"
        "hearth-backup-passwords-postgresql-password"
        "hearth-backup-servers-mysql-password"
      ];
      units = {
        "hearth-backup-servers.service" = [
          "/nix/store/00000000000000000000000000000000-hearth-backup/bin/hearth-backup"
          "/nix/store/00000000000000000000000000000000-kubectl/bin"
          "/nix/store/00000000000000000000000000000000-postgresql-other/bin"
          "/nix/store/00000000000000000000000000000000-mysql-other/bin"
          "/nix/store/00000000000000000000000000000000-mariadb-other/bin"
          "LoadCredential=servers-mysql-password:/run/agenix/hearth-backup-servers-mysql-password"
        ];
        "hearth-backup-passwords.service" = [
          "LoadCredential=passwords-mariadb-password:/run/secrets/maria"
          "LoadCredential=passwords-postgresql-password:/run/agenix/hearth-backup-passwords-postgresql-password"
          "!servers"
        ];
        "hearth-backup-forget-hub.timer" = [ "RandomizedDelaySec=1h" ];
        "hearth-backup-prune-hub.timer" = [ "RandomizedDelaySec=3h" ];
        "hearth-backup-check-hub.timer" = [
          "OnCalendar=Mon 05:00"
          "OnCalendar=Thu 05:00"
        ];
      };
    };
  };

  no-timer-no-sandbox-no-maintenance-if-nobody-wants-them = {
    modules = with' {
      repositories.hub = {
        forget.enable = false;
        prune.enable = false;
        check.enable = false;
      };
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/tmp/data" ];
        schedule = null;
        sandbox = false;
        retries.count = 0;
        limits = {
          memory = null;
          ioWeight = null;
          cpuWeight = null;
        };
        retention.daily = 7;
      };
      jobs.off = {
        enable = false;
        repositories = [ "nowhere" ];
      };
    };
    expect = {
      warnings = [ ];
      settings."jobs.off" = null;
      units = {
        "hearth-backup-state.service" = [ "!ProtectSystem" "!--retries" "!MemoryMax" "!IOWeight" ];
        "hearth-backup-state.timer" = null;
        "hearth-backup-off.service" = null;
        "hearth-backup-forget-hub.service" = null;
        "hearth-backup-prune-hub.service" = null;
        "hearth-backup-check-hub.service" = null;
      };
    };
  };

  a-share-that-belongs-to-somebody-else-can-be-written-to = {
    modules = with' {
      repositories.hub.foreignOwner = true;
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/home/me/my files" ];
      };
    };
    expect.units = {
      "hearth-backup-state.service" = [
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE"
        ''RequiresMountsFor="/home/me/my files"''
      ];
      "hearth-backup-prune-hub.service" = [ "CapabilityBoundingSet=CAP_DAC_OVERRIDE" ];
    };
  };

  a-device-is-the-only-one-that-a-unit-can-open = {
    modules = job { devices.vm.path = "/dev/vg0/vm"; };
    expect.units."hearth-backup-state.service" = [
      "DeviceAllow=/dev/vg0/vm r"
      "DevicePolicy=closed"
    ];
  };

  podman-is-asked-through-its-service = {
    modules = job {
      postgresql = {
        databases = "all";
        through = [
          "podman"
          "exec"
          "-i"
          "db"
        ];
      };
    };
    expect.units."hearth-backup-state.service" = [
      "CONTAINER_HOST=unix:///run/podman/podman.sock"
      "-podman-lab/bin"
    ];
  };

  the-confinement-of-a-unit-can-be-changed = {
    modules = job { } ++ [
      {
        systemd.services.hearth-backup-state.serviceConfig = {
          PrivateNetwork = false;
          CapabilityBoundingSet = "CAP_NET_RAW";
          ReadWritePaths = [ "/srv/more" ];
        };
      }
    ];
    expect.units."hearth-backup-state.service" = [
      "PrivateNetwork=false"
      "CapabilityBoundingSet=CAP_NET_RAW"
      "ReadWritePaths=/srv/more"
      "ReadWritePaths=/var/lib/hearth-backup"
    ];
  };

  a-path-in-tmp-is-seen-by-its-unit = {
    modules = job { paths = [ "/var/tmp/data" ]; };
    expect.units."hearth-backup-state.service" = [ "PrivateTmp=false" ];
  };

  nothing-is-there-if-it-is-not-enabled = {
    modules = with' { enable = false; jobs.state.repositories = [ "nowhere" ]; };
    expect = {
      warnings = [ ];
      units."hearth-backup-state.service" = null;
      tmpfiles = [ ];
    };
  };

  # --- what users find ------------------------------------------------------------------

  the-template-is-a-host-that-is-backed-up = {
    modules = [
      ../../../nixos/template/backup.nix
      ../../../nixos/template/host.nix
      { services.openssh.hostKeys = [ { type = "ed25519"; path = "/etc/ssh/ssh_host_ed25519_key"; } ]; }
    ];
    expect = {
      warnings = [ ];
      secretNames = [ "hearth-backup-disk-writer-key" ];
      settings = {
        "jobs.state.optionalPaths" = [ "/etc/ssh/ssh_host_ed25519_key" "/etc/ssh/ssh_host_ed25519_key.pub" "/var/lib/vaultwarden" ];
        "jobs.state.paths" = [ "/home" ];
        "jobs.state.sqlite.discover" = true;
      };
      units."hearth-backup-state.service" = [ "WantsMountsFor=/mnt/backup/q" ];
      units."hearth-backup-forget-disk.timer" = [ "OnCalendar=04:00" ];
    };
  };

  a-cluster-with-impermanence-needs-less-than-twenty-lines = {
    modules = [
      (import ../../../docs/examples/fort.nix).host
      {
        environment.persistence."/persist/system".directories = [ "/var/lib/outline" ];
        services.outline = {
          enable = true;
          redisUrl = "redis://cache.example";
        };
        services.vikunja.enable = true;
        services.postgresql = {
          enable = true;
          ensureDatabases = [
            "outline"
            "pocket-id"
          ];
        };
        systemd.services.outline.serviceConfig.StateDirectory = "outline";
        systemd.services.docker.serviceConfig.StateDirectory = "docker";
      }
    ];
    expect = {
      settings = {
        "readFrom" = {
          "/var/lib" = "/persist/system/var/lib";
        };
        "jobs.system.postgresql.databases" = [
          "outline"
          "pocket-id"
        ];
      };
      coverage = {
        covered = {
          "/var/lib/outline" = [ "system" ];
          "/var/lib/vikunja" = [ "system" ];
          "postgresql:outline" = [ "system" ];
          "postgresql:pocket-id" = [ "system" ];
        };
        excluded = [ "/var/lib/docker" ];
        uncovered = [ ];
      };
      units."hearth-backup-system.timer" = [
        "OnCalendar=daily"
        "RandomizedDelaySec=1h"
      ];
      units."hearth-backup-system.service" = [
        "LoadCredential=hub-token:/run/agenix/hearth-backup-hub-token"
        "LoadCredential=report-token:/run/agenix/hearth-backup-report-token"
      ];
    };
  };

  its-hub-needs-no-more = {
    modules = [
      (import ../../../docs/examples/fort.nix).hub
      { services.hearth-backup.enable = false; }
    ];
    expect = {
      warnings = [ ];
      secretNames = [ "hearth-backup-hub-mirror-b2-credentials" "hearth-backup-hub-mirror-friend-identity" ];
      units = {
        "hearth-backup-hub.service" = [ "ReadWritePaths=/tank/hearth" ];
        "hearth-backup-hub-mirror-b2.timer" = [ "OnCalendar=02:00" ];
        "hearth-backup-hub-mirror-friend.timer" = [ "OnCalendar=03:00" ];
      };
    };
  };

  the-template-goes-to-its-hub-too = {
    modules = [
      ../../../nixos/template/backup.nix
      ../../../nixos/template/at-hub.nix
      ../../../nixos/template/host.nix
      { services.openssh.hostKeys = [ ]; }
    ];
    expect = {
      warnings = [ ];
      secretNames = [
        "hearth-backup-disk-writer-key"
        "hearth-backup-hub-token"
        "hearth-backup-hub-writer-key"
        "hearth-backup-report-token"
      ];
      settings."jobs.state.repositories" = [ "disk" "hub" ];
      units."hearth-backup-state.service" = [ "WantsMountsFor=/mnt/backup/q" "After=network-online.target" ];
      units."hearth-backup-agent.service" = [ "User=hearth-backup-agent" ];
    };
  };

  the-hub-of-the-template-is-one = {
    modules = [
      ../../../nixos/template/hub.nix
      { services.hearth-backup.enable = false; }
    ];
    expect = {
      warnings = [ ];
      secretNames = [ ];
      units = {
        "hearth-backup-hub.socket" = [ "ListenStream=/run/hearth-backup-hub.sock" ];
        "hearth-backup-hub-mirror-usb.service" = [ "RequiresMountsFor=/mnt/usb" ];
      };
    };
  };

  # --- services ------------------------------------------------------------------------

  services-bring-their-paths-databases-and-exclusions = {
    modules =
      job {
        services = [ "vaultwarden" "outline" "forgejo" "jellyfin" ];
        paths = [ ];
      }
      ++ [
        {
          services.postgresql.enable = true;
          services.vaultwarden.enable = true;
          services.outline.enable = true;
          services.jellyfin.enable = true;
          services.forgejo = {
            enable = true;
            stateDir = "/srv/forgejo";
            database.type = "postgres";
            database.name = "forge";
          };
          systemd.services.jellyfin.serviceConfig.StateDirectory = "jellyfin";
        }
      ];
    expect = {
      golden = true;
      settings = {
        "jobs.state.postgresql.user" = "postgres";
        "jobs.state.sqlite.discover" = true;
      };
      units."hearth-backup-state.service" = [ "CAP_SETUID" "After=postgresql.service postgresql.target" ];
    };
  };

  a-service-with-a-dynamic-user-is-saved-where-its-state-is = {
    modules =
      job {
        autoDiscover = true;
        paths = [ "/var/lib/named/data" ];
      }
      ++ [
        {
          systemd.services.dynamic.serviceConfig = {
            DynamicUser = true;
            StateDirectory = "dynamic";
          };
          systemd.services.named.serviceConfig = {
            DynamicUser = "true";
            StateDirectory = [ "named" "other:link" ];
          };
        }
      ];
    expect = {
      settings = {
        "jobs.state.paths" = [ "/var/lib/private/named/data" ];
        "jobs.state.optionalPaths" = [ "/var/lib/private/dynamic" "/var/lib/private/named" "/var/lib/private/other" ];
      };
      warnings = [ ];
    };
  };

  exclusions-follow-the-state-of-dynamic-users = {
    modules =
      job {
        paths = [ "/var/lib/dyn" ];
        exclude = [
          "/var/lib/dyn/cache/"
          "!/var/lib/dyn/cache/keep"
          "*.tmp"
        ];
      }
      ++ [
        {
          systemd.services.dyn.serviceConfig = {
            DynamicUser = true;
            StateDirectory = "dyn";
          };
        }
      ];
    expect.settings."jobs.state.exclude" = [
      "/var/lib/private/dyn/cache/"
      "!/var/lib/private/dyn/cache/keep"
      "*.tmp"
    ];
  };

  names-of-units-stand-in-state-directories = {
    modules = job { autoDiscover = true; } ++ [
      {
        systemd.services = {
          plain.serviceConfig.StateDirectory = "%N/data";
          "worker@".serviceConfig.StateDirectory = "workers/%i";
          "other@".serviceConfig.StateDirectory = "%p";
          percent.serviceConfig.StateDirectory = "a%%b";
          nobody.serviceConfig.StateDirectory = "%i";
          none.serviceConfig.StateDirectory = null;
        };
      }
    ];
    expect = {
      settings."jobs.state.optionalPaths" = [
        "/var/lib/other"
        "/var/lib/a%b"
        "/var/lib/plain/data"
        "/var/lib/workers"
      ];
      warnings = [ ];
    };
  };

  # As NixOS declares them: without a default for the package.
  a-host-without-database-servers-is-evaluated = {
    modules =
      job {
        autoDiscover = true;
        postgresql = {
          databases = "all";
          host = "db.example";
        };
      }
      ++ [
        {
          options.services = lib.genAttrs [ "mysql" "postgresql" ] (_: {
            enable = lib.mkOption {
              type = lib.types.bool;
              default = false;
            };
            package = lib.mkOption { type = lib.types.package; };
            ensureDatabases = lib.mkOption {
              type = lib.types.listOf lib.types.str;
              default = [ ];
            };
          });
        }
      ];
    expect.units."hearth-backup-state.service" = [ "-postgresql-lab/bin" ];
  };

  discovery-covers-state-databases-and-sqlite-and-leaves-out-what-it-is-told = {
    modules =
      with' {
        exclude = [ "/var/lib/docker" "postgresql:scratch" ];
        jobs.state = {
          repositories = [ "hub" ];
          autoDiscover = true;
          exclude = [ "/var/lib/huge" "*.tmp" ];
        };
      }
      ++ [
        {
          services.postgresql = {
            enable = true;
            ensureDatabases = [ "app" ];
          };
          services.mysql = {
            enable = true;
            package = package "mariadb-server";
            ensureDatabases = [ "shop" ];
          };
          services.vaultwarden.enable = true;
          systemd.services = {
            app.serviceConfig.StateDirectory = "app app/data";
            docker.serviceConfig.StateDirectory = "docker";
            huge.serviceConfig.StateDirectory = "huge";
            timesyncd.serviceConfig.StateDirectory = "systemd/timesync";
          };
        }
      ];
    expect = {
      warnings = [ ];
      settings = {
        "jobs.state.optionalPaths" = [ "/var/lib/vaultwarden" "/var/lib/app" "/var/lib/app/data" ];
        "jobs.state.postgresql.databases" = [ "app" ];
        "jobs.state.mariadb.databases" = [ "shop" ];
        "jobs.state.mysql" = null;
        "jobs.state.sqlite.discover" = true;
      };
      coverage = {
        covered = {
          "/var/lib/app" = [ "state" ];
          "/var/lib/vaultwarden" = [ "state" ];
          "mysql:shop" = [ "state" ];
          "postgresql:app" = [ "state" ];
        };
        excluded = [ "/var/lib/docker" "/var/lib/huge" ];
        uncovered = [ ];
      };
    };
  };

  mysql-is-told-from-mariadb-by-its-package = {
    modules =
      job { autoDiscover = true; }
      ++ [
        (
          { pkgs, ... }:
          {
            services.mysql = {
              enable = true;
              package = pkgs.mysql84;
              ensureDatabases = [ "shop" ];
            };
          }
        )
      ];
    expect.settings = {
      "jobs.state.mysql.databases" = [ "shop" ];
      "jobs.state.mariadb" = null;
    };
  };

  # --- coverage ------------------------------------------------------------------------

  what-no-job-saves-is-told = {
    modules =
      job { paths = [ "/var/lib/saved/*" "/var/lib/app[12]" "/var/lib/deep" ]; }
      ++ [
        {
          services.postgresql = {
            enable = true;
            ensureDatabases = [ "app" ];
          };
          systemd.services = {
            forgotten.serviceConfig.StateDirectory = "forgotten";
            deep.serviceConfig.StateDirectory = "deep/inside";
          };
        }
      ];
    expect = {
      coverage = {
        covered."/var/lib/deep/inside" = [ "state" ];
        excluded = [ ];
        uncovered = [ "/var/lib/forgotten" "postgresql:app" ];
      };
      warnings = [
        "${path}.coverage: no job saves /var/lib/forgotten and postgresql:app. Name its service in a job's `services`, set `autoDiscover`, or leave it out on purpose with `services.hearth-backup.exclude`."
      ];
    };
  };

  a-server-whose-databases-are-not-known-is-covered-by-all-of-them = {
    modules =
      job { postgresql.databases = "all"; }
      ++ [
        {
          services.postgresql.enable = true;
          services.mysql = {
            enable = true;
            package = package "mariadb-server";
          };
        }
      ];
    expect.coverage = {
      covered.postgresql = [ "state" ];
      excluded = [ ];
      uncovered = [ "mysql" ];
    };
  };

  coverage-can-be-required = refuses (
    with' {
      policy.requireCoverage = true;
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
      };
    }
    ++ [ { systemd.services.forgotten.serviceConfig.StateDirectory = "forgotten"; } ]
  ) [ "policy.requireCoverage: no job saves /var/lib/forgotten. Name its service in a job's `services`, set `autoDiscover`, or leave it out on purpose with `services.hearth-backup.exclude`." ];

  # --- the persist root ----------------------------------------------------------------

  state-is-read-from-the-persist-root-and-called-by-its-own-name = {
    modules = with' {
      persistRoot = "/persist/system";
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/var/lib/app" ];
      };
    };
    expect = {
      settings = {
        "readFrom" = {
          "/var/lib" = "/persist/system/var/lib";
        };
        "jobs.state.paths" = [ "/var/lib/app" ];
        "stateDir" = "/persist/system/var/lib/hearth-backup";
      };
      tmpfiles = [ "'d' '/persist/system/var/lib/hearth-backup' '0700' 'root' 'root' '-' " ];
      persistence."/persist/system" = [ "/var/lib/hearth-backup" ];
      units."hearth-backup-state.service" = [
        "RequiresMountsFor=/persist/system/var/lib/app"
        "RequiresMountsFor=/persist/system/var/lib/hearth-backup"
        "ReadWritePaths=/persist/system/var/lib/hearth-backup"
      ];
    };
  };

  the-persist-root-is-found = {
    modules = job { } ++ [
      {
        environment.persistence."/nix/persist".directories = [ "/home" ];
        environment.persistence."/persist".directories = [ { directory = "/var/lib/app"; } ];
      }
    ];
    expect = {
      persistRoot = "/persist";
      stateDir = "/persist/var/lib/hearth-backup";
    };
  };

  the-root-that-keeps-the-most-state-is-the-persist-root = {
    modules = job { } ++ [
      {
        environment.persistence."/cache".directories = [ "/var/lib/thumbnails" ];
        environment.persistence."/persist".directories = [
          "/var/lib/app"
          "/var/lib/other"
        ];
      }
    ];
    expect.persistRoot = "/persist";
  };

  # --- confinement ---------------------------------------------------------------------

  what-thaws-is-a-program-of-the-users-too = {
    modules = job { quiesce.thaw = [ { command = [ "/bin/thaw" ]; } ]; };
    expect.units."hearth-backup-state.service" = [ "PrivateNetwork=false" "MemoryDenyWriteExecute=false" "ProtectProc=default" ];
  };

  # --- secrets -------------------------------------------------------------------------

  agenix-is-told-of-each-secret = {
    modules = with' {
      repositories.hub.writerKey = lib.mkForce { age = ./cases.nix; };
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
        notify.ntfy = {
          url = "https://ntfy.example";
          topic = "t";
          token.age = ./cases.nix;
        };
      };
    };
    expect = {
      secretNames = [ "hearth-backup-hub-writer-key" "hearth-backup-state-ntfy-token" ];
      units = {
        "hearth-backup-state.service" = [ "LoadCredential=hub-writer-key:/run/agenix/hearth-backup-hub-writer-key" ];
        "hearth-backup-notify-state@.service" = [ "LoadCredential=state-ntfy-token:/run/agenix/hearth-backup-state-ntfy-token" ];
      };
    };
  };

  a-writer-key-is-asked-for = refuses (with' {
    repositories.hub.writerKey = lib.mkForce null;
    jobs.state = {
      repositories = [ "hub" ];
      paths = [ "/srv" ];
    };
  }) [ "repositories.hub.writerKey is not set. `hearth-backup init` writes a writer key; encrypt it into your configuration and set `repositories.hub.writerKey.age = ./q-writer.age;`, or name a file of the host with `.file`." ];

  a-secret-comes-from-one-place = refuses (with' {
    repositories.hub.writerKey.age = ./cases.nix;
    jobs.state = {
      repositories = [ "hub" ];
      paths = [ "/srv" ];
    };
  }) [ "repositories.hub.writerKey: set one of `age` and `file`, and only one." ];

  a-secret-does-not-come-from-the-store = refuses (with' {
    repositories.hub.writerKey = lib.mkForce { file = ./cases.nix; };
    repositories.other = {
      url = "/mnt/other";
      writerKey.file = "${builtins.storeDir}/0000-key";
    };
    jobs.state = {
      repositories = [ "hub" "other" ];
      paths = [ "/srv" ];
    };
  }) (
    map
      (name: "repositories.${name}.writerKey.file lies in the configuration, and would be copied to the store, where everyone on the host can read it. Write the path of a file of the host as a string, or encrypt the secret and use `.age`.")
      [ "hub" "other" ]
  );

  # --- 3-2-1 ---------------------------------------------------------------------------

  three-copies-on-two-media-with-one-elsewhere-are-enough = {
    modules = with' {
      policy.require321 = true;
      repositories.hub.copy.media = "zfs";
      repositories.hub.mirrors.friend = {
        media = "disk";
        offsite = true;
      };
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
      };
    };
    expect.warnings = [ ];
  };

  a-shortfall-says-what-lacks-and-what-to-add = refuses (with' {
    policy.require321 = true;
    jobs.state = {
      repositories = [ "hub" ];
      paths = [ "/srv" ];
    };
  }) [ "jobs.state: `policy.require321` asks for 3 copies on 2 kinds of media, 1 of them elsewhere. This job has 2 copies instead of 3 (the live data is one): add a repository, or a mirror of one in `services.hearth-backup.mirrors`, or say in its `mirrors` who else makes one; one kind of media (disk) instead of 2: add a repository on another kind; no copy elsewhere: add a repository or a mirror with `copy.offsite = true`. `hub` does not say what kind of copy it is: set `repositories.<name>.copy`." ];

  # --- warnings ------------------------------------------------------------------------

  nobody-else-can-restore = {
    modules = with' {
      recipients = lib.mkForce [ "age1host" ];
      hostRecipients = [ "age1host" ];
      policy.restoresTestedBy = lib.mkForce null;
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
        quiesce.services = [ "gone.service" ];
      };
    };
    expect.warnings = [
      "${path}.recipients: nobody but this host can restore: if it is lost, so are the backups. Add the key of a person or of another machine with `hearth-backup key add-recipient`, and name it here."
      ''${path}.drills: nothing tries a restore from `hub`, and what was never restored may not be a backup. Let a machine that has a restore key do it, by `drills.<name>.repository = "hub"`, and say here which in `policy.restoresTestedBy`, such as "drills on vault, monthly", or who does it by hand.''
      "${path}.jobs.state.quiesce.services: this host has no unit `gone.service`; the run would fail to stop it."
    ];
  };

  recipients-are-not-declared = {
    modules = with' {
      recipients = lib.mkForce [ ];
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
      };
    };
    expect.warnings = [
      "${path}.recipients: is empty, so nothing checks that somebody other than this host can restore. Name the keys that were given to `hearth-backup init`; `hearth-backup key recipients` lists them."
    ];
  };

  schedules-collide = {
    modules = with' {
      jobs.one = {
        repositories = [ "hub" ];
        paths = [ "/srv/one" ];
        schedule = "daily";
        randomizedDelay = "0";
      };
      jobs.two = {
        repositories = [ "hub" ];
        paths = [ "/srv/two" ];
        schedule = [ "12:00" "00:00" ];
        randomizedDelay = "0s";
      };
      jobs.three = {
        repositories = [ "hub" ];
        paths = [ "/srv/three" ];
        schedule = "daily";
      };
    };
    expect.warnings = [
      "${path}.jobs: `one` and `two` begin at the same time on the same disk. Move one, set `randomizedDelay`, or let one wait with `after`."
    ];
  };

  # --- wrong combinations --------------------------------------------------------------

  a-repository-is-misspelt = refuses (job { repositories = [ "hubb" ]; }) [ "jobs.state.repositories: there is no repository `hubb`; did you mean `hub`?" ];
  a-job-goes-nowhere = refuses (job { repositories = [ ]; }) [ "jobs.state.repositories: names none; a job needs somewhere to go. There are: hub." ];
  a-job-goes-somewhere-twice = refuses (job { repositories = [ "hub" "hub" ]; }) [ "jobs.state.repositories: `hub` is named twice." ];
  a-job-saves-nothing = refuses (job { paths = [ ]; }) [ "jobs.state: has nothing to save; set `services`, `paths`, `autoDiscover`, databases, `commands`, `devices`, `lvmVolumes` or `containers`." ];
  there-are-no-jobs = refuses (with' { }) [ ''jobs: there is none, so nothing is saved. A first one: `jobs.state = { autoDiscover = true; repositories = [ "hub" ]; }`.'' ];
  a-service-is-misspelt = refuses (job { services = [ "vaultwarde" ]; }) [
    "jobs.state.services: nothing is known of `vaultwarde`. Did you mean `vaultwarden`? Name its directories in `paths` and its databases in `postgresql.databases`; what is known stands in nixos/presets.nix."
  ];
  a-service-is-not-enabled = refuses (job { services = [ "vaultwarden" ]; }) [
    "jobs.state.services: `vaultwarden` is not enabled on this host, so there is nothing to save. Remove it, or set `services.vaultwarden.enable = true`."
  ];
  a-job-has-the-name-of-other-units = refuses (with' { jobs.forget-hub = { repositories = [ "hub" ]; paths = [ "/srv" ]; }; }) [
    "jobs.forget-hub: a job's name must not be `hub` or `agent`, or begin with `forget-`, `prune-`, `check-`, `maintain-`, `notify-`, `mirror-`, `drill-`, `awake-` and `hub-`: units of that name do other things."
  ];
  a-name-becomes-no-unit = refuses (with' { jobs."a b" = { repositories = [ "hub" ]; paths = [ "/srv" ]; }; }) [
    "jobs.a b: a name consists of letters, digits, `-`, `_` and `.`, at most 64 of them: it becomes part of a unit's name."
  ];
  nothing-would-be-kept = refuses (job { retention.daily = 0; }) [
    "jobs.state.retention: would keep nothing; say what stays, such as `{ daily = 7; weekly = 4; }`, or leave it out to keep everything."
  ];
  there-is-no-postgresql = refuses (job { postgresql.databases = "all"; }) [
    "jobs.state.postgresql: this host has no PostgreSQL server. Set `services.postgresql.enable`, or say where it is with `host` or `through`."
  ];
  there-is-no-mysql = refuses (job { mysql.databases = "all"; }) [
    "jobs.state.mysql: this host has no such server. Set `services.mysql.enable`, or say where it is with `host` or `through`."
  ];
  one-server-is-called-by-two-names =
    refuses (job { mysql.databases = "all"; mariadb.databases = "all"; } ++ [ { services.mysql = { enable = true; package = package "mariadb-server"; }; } ])
      [ "jobs.state: sets both `mysql` and `mariadb` for the host's own server; `services.mysql.package` says which it is, set that one." ];
  what-is-frozen-is-not-thawed = refuses (job { quiesce.freeze = [ { command = [ "f" ]; } ]; }) [
    "jobs.state.quiesce.thaw: is empty, but `freeze` is not; what is frozen must be thawed."
  ];
  containers-without-volumes = refuses (job { containers = { }; }) [
    ''jobs.state.containers: names no volumes and no labels; `volumes = [ "*" ]` stands for all.''
  ];
  a-window-is-empty = refuses (job { window = { from = "22:00"; to = "22:00"; }; }) [
    "jobs.state.window: ends when it begins; leave it out for a job that may run at any time."
  ];
  a-job-waits-for-none = refuses (job { after = [ "stat" ]; }) [ "jobs.state.after: there is no other job `stat`; there are none." ];
  a-repository-is-somewhere-relative = refuses (with' { repositories.hub.url = "backup"; jobs.state = { repositories = [ "hub" ]; paths = [ "/srv" ]; }; }) [
    "repositories.hub.url: `backup` is not absolute; services run in no particular directory."
  ];
  a-repository-is-in-the-store = refuses (with' { repositories.hub.url = "${builtins.storeDir}/0000-q"; jobs.state = { repositories = [ "hub" ]; paths = [ "/srv" ]; }; }) [
    "repositories.hub.url: `${builtins.storeDir}/0000-q` lies in the store, where nothing can be written. Write the path as a string."
  ];
  two-repositories-are-one = refuses (with' { repositories.twin = hub; jobs.state = { repositories = [ "hub" "twin" ]; paths = [ "/srv" ]; }; }) [
    "repositories: `twin` lies where another repository does: a job would save twice to one place."
  ];
}
// import ./far.nix { inherit lib with' hub path package refuses; }
// import ./hub.nix { inherit lib with' path package refuses; }
// import ./notify.nix { inherit lib with' path refuses; }
// import ./monitoring.nix { inherit with' path refuses; }
// import ./drills.nix { inherit lib with' package path refuses; }
