# Machines that try restores, in the words of cases.nix.
{
  lib,
  with',
  package,
  path,
  refuses,
}:
let
  # A machine that saves nothing, and tries what others save.
  vault = drills: [
    {
      services.hearth-backup = {
        repositories = {
          cloud = {
            url = "s3://family-backups/q?region=us-west-004#hb1abc";
            credentials.file = "/run/secrets/b2";
          };
          disk.url = "/mnt/backup/q#hb1abc";
        };
        inherit drills;
      };
    }
  ];
  key.file = "/root/drill.key";
  of = repository: settings: { inherit repository key; } // settings;
  tried = settings: vault { d = of "disk" settings; };
  job = {
    repositories = [ "hub" ];
    paths = [ "/srv" ];
  };
  untried =
    quoted: first:
    ''${path}.drills: nothing tries a restore from ${quoted}, and what was never restored may not be a backup. Let a machine that has a restore key do it, by `drills.<name>.repository = "${first}"`, and say here which in `policy.restoresTestedBy`, such as "drills on vault, monthly", or who does it by hand.'';
  # A hub of two repositories, one of which has a mirror more.
  keeper = settings: [
    {
      services.hearth-backup = lib.recursiveUpdate {
        hub = {
          enable = true;
          hosts.q.tokenHash = "hbh_b97b3ea0_c33daba3ad3bbbb0a424890ed3c49635f4d838c47cee312e5ee9d538c4dda4d0";
          hosts.admin = {
            tokenHash = "hbh_b97b3ea0_c33daba3ad3bbbb0a424890ed3c49635f4d838c47cee312e5ee9d538c4dda4d0";
            role = "maintainer";
            repository = "q";
          };
          hosts.prometheus = {
            tokenHash = "hbh_b97b3ea0_c33daba3ad3bbbb0a424890ed3c49635f4d838c47cee312e5ee9d538c4dda4d0";
            role = "viewer";
          };
          repositories.r.quota = "1T";
          mirrors.usb.url = "/mnt/usb/{repository}";
          mirrors.friend = {
            url = "sftp://friend.example/backups/{repository}";
            repositories = [ "q" ];
          };
        };
      } settings;
    }
  ];
  atHub =
    quoted:
    ''${path}.hub: nothing tries a restore from ${quoted}, which it keeps, and what was never restored may not be a backup. Let a machine that has a restore key do it, by `drills.<name>` there, and say here which in `policy.restoresTestedBy`, such as "drills on vault, monthly", or who does it by hand.'';
  atMirrors =
    quoted: first:
    ''${path}.hub.mirrors: nothing tries a restore from ${quoted}: a mirror has keys and lines of its own, and a drill of the hub's repository says nothing of it. Let a machine that has a restore key do it, by `drills.<name>` there with `mirror = "${first}"`, and say here which in `policy.restoresTestedBy`, such as "drills on vault, monthly", or who does it by hand.'';
in
{
  a-copy-in-the-cloud-is-tried = {
    modules = vault { cloud = of "cloud" { }; };
    expect = {
      # Who tries needs no job, no writer key, and no word on who tries.
      warnings = [ ];
      settings = {
        "drills.cloud" = {
          repository = "cloud";
          key = "credential:drill-cloud-key";
        };
      };
      units = {
        "hearth-backup-drill-cloud.service" = [
          ''"drill" "cloud" "--config"''
          ''"settle" "cloud" "--kind" "drill" "--config"''
          "LoadCredential=drill-cloud-key:/root/drill.key"
          "LoadCredential=cloud-credentials:/run/secrets/b2"
          "Wants=network-online.target"
          "PrivateNetwork=false"
          "ProtectSystem=strict"
          "ReadWritePaths=/var/lib/hearth-backup"
          # bubblewrap makes namespaces, and a /proc in them.
          "RestrictNamespaces=false"
          "ProtectKernelTunables=false"
          "RestrictAddressFamilies=AF_NETLINK"
          # Nodes that were saved are made, and nobody opens them.
          "DeviceAllow=block-* m"
          "IOSchedulingClass=idle"
          "TimeoutStartSec=infinity"
          "bubblewrap"
          "!postgresql"
          "!mariadb"
          "!MemoryMax"
          "!Delegate"
          "!OnFailure"
        ];
        "hearth-backup-drill-cloud.timer" = [
          "OnCalendar=monthly"
          "RandomizedDelaySec=1h"
          "Persistent=true"
        ];
      };
    };
  };

  every-option-of-a-drill-reaches-the-engine = {
    modules =
      vault {
        everything = of "disk" {
          enable = true;
          host = "q";
          job = "state";
          snapshot = "random";
          amount.paths = [ "/var/lib" ];
          scratch = "/srv/scratch";
          compareWithSource = 5;
          postgresql = {
            databases = [ "shop" ];
            assertions.shop = [ "SELECT count(*) > 0 FROM customers" ];
            package = package "postgresql-with-timescaledb";
            settings.shared_preload_libraries = "timescaledb";
          };
          mariadb = {
            databases = "all";
            assertions.blog = [ "SELECT count(*) FROM posts" ];
            package = package "mariadb-1011";
            settings.innodb_strict_mode = "OFF";
          };
          sqlite = {
            databases = [ "/var/lib/app.db" ];
            discover = true;
            assertions."/var/lib/app.db" = [ "SELECT 1" ];
          };
          smoke = {
            command = [ "git" "fsck" ];
            timeout = "5min";
            sandbox = false;
            readable = [ "/srv/expected" ];
          };
          bootTarget = "basic.target";
          bootTimeout = "1min";
          timeLimit = "6h";
          schedule = "weekly";
          randomizedDelay = "2h";
          persistent = false;
          every = "7d";
          limits.memory = "4G";
          path = [ (package "git") ];
        };
        memory = of "disk" {
          tmpfs = "4GiB";
          amount.files = 1000;
        };
        boots = {
          repository = "cloud";
          key.age = ./cases.nix;
          fullHost = true;
        };
        off = of "disk" { enable = false; };
      }
      ++ [ { services.hearth-backup.notify.command = [ "/bin/tell" ]; } ];
    expect = {
      warnings = [ ];
      golden = true;
      secretNames = [ "hearth-backup-drill-boots-key" ];
      tmpfiles = [
        "'d' '/srv/scratch' '0700' 'root' 'root' '-' "
        "'d' '/var/lib/hearth-backup' '0700' 'root' 'root' '-' "
      ];
      units = {
        "hearth-backup-drill-everything.service" = [
          "OnFailure=hearth-backup-notify-drill-everything@hearth-backup-drill-everything.service"
          "OnSuccess=hearth-backup-notify-drill-everything@hearth-backup-drill-everything.service.service"
          "ReadWritePaths=-/srv/scratch"
          "RequiresMountsFor=/srv/scratch"
          "RequiresMountsFor=/mnt/backup/q"
          # Nothing is written to what is tried.
          "!ReadWritePaths=-/mnt/backup/q"
          # What is no sandbox may want to reach anything.
          "PrivateNetwork=false"
          "postgresql-with-timescaledb"
          "mariadb-1011"
          "-git/bin"
          "MemoryMax=4G"
        ];
        "hearth-backup-drill-everything.timer" = [
          "OnCalendar=weekly"
          "RandomizedDelaySec=2h"
          "Persistent=false"
        ];
        "hearth-backup-drill-memory.service" = [
          "LoadCredential=drill-memory-key:/root/drill.key"
          "!drill-everything-key"
          "PrivateNetwork=true"
        ];
        # A container of root needs what root may.
        "hearth-backup-drill-boots.service" = [
          "Delegate=true"
          "!ProtectSystem"
          "!CapabilityBoundingSet"
          "util-linux"
        ];
        "hearth-backup-drill-off.service" = null;
        "hearth-backup-notify-drill-memory@.service" = [ ''"notify" "memory" "--drill"'' ];
      };
    };
  };

  servers-of-a-drill-are-those-of-the-host = {
    modules =
      tried {
        postgresql = { };
        mariadb = { };
        scratch = "/var/tmp/drills";
      }
      ++ [
        {
          services.hearth-backup.exclude = [
            "postgresql"
            "mysql"
          ];
          services.postgresql = {
            enable = true;
            package = package "postgresql-15";
          };
          services.mysql = {
            enable = true;
            package = package "mysql-8.4";
          };
        }
      ];
    expect = {
      settings."drills.d.postgresql" = {
        databases = "all";
      };
      tmpfiles = [ "'d' '/var/lib/hearth-backup' '0700' 'root' 'root' '-' " ];
      units."hearth-backup-drill-d.service" = [
        "postgresql-15"
        # It takes no dumps of MariaDB.
        "!mysql-8.4"
        "mariadb"
        # The unit has a /var/tmp of its own.
        "PrivateTmp=true"
        "!/var/tmp/drills"
      ];
    };
  };

  what-nobody-tries-is-a-warning = {
    modules = with' {
      policy.restoresTestedBy = lib.mkForce null;
      repositories.usb.url = "/mnt/usb/q";
      jobs.state = job;
      mirrors.usb = {
        from = "hub";
        to = "usb";
      };
    };
    expect.warnings = [ (untried "`hub` and `usb`" "hub") ];
  };
  each-copy-is-tried-by-itself = {
    modules = with' {
      policy.restoresTestedBy = lib.mkForce null;
      repositories.usb.url = "/mnt/usb/q";
      jobs.state = job;
      mirrors.usb = {
        from = "hub";
        to = "usb";
      };
      drills.usb = of "usb" { };
    };
    expect.warnings = [ (untried "`hub`" "hub") ];
  };
  what-is-tried-is-no-warning = {
    modules = with' {
      policy.restoresTestedBy = lib.mkForce null;
      jobs.state = job;
      drills.hub = of "hub" { };
    };
    expect.warnings = [ ];
  };

  what-others-try-is-said-of-each = {
    modules = with' {
      policy.restoresTestedBy = lib.mkForce { usb = "by hand"; };
      repositories.usb.url = "/mnt/usb/q";
      jobs.state = job;
      mirrors.usb = {
        from = "hub";
        to = "usb";
      };
    };
    expect.warnings = [ (untried "`hub`" "hub") ];
  };
  and-of-what-is-not-there-too = {
    modules = with' {
      policy.restoresTestedBy = lib.mkForce {
        hub = "by hand";
        hubb = "by hand";
      };
      jobs.state = job;
    };
    expect.warnings = [ "${path}.policy.restoresTestedBy: there is no repository or mirror `hubb` here; did you mean `hub`?" ];
  };

  # --- hubs -----------------------------------------------------------------------------

  what-nobody-tries-at-a-hub-is-a-warning = {
    modules = keeper { };
    expect.warnings = [
      (atHub "`q` and `r`")
      (atMirrors "`friend` and `usb`" "friend")
    ];
  };
  what-others-try-of-a-hub-is-said-of-each = {
    modules = keeper {
      policy.restoresTestedBy = {
        r = "by hand";
        usb = "drills on vault";
      };
    };
    expect.warnings = [
      (atHub "`q`")
      (atMirrors "`friend`" "friend")
    ];
  };
  one-text-is-for-all-of-a-hub = {
    modules = keeper { policy.restoresTestedBy = "drills on vault"; };
    expect.warnings = [ ];
  };
  # `friend` has one repository, `usb` both.
  drills-beside-a-hub-are-of-its-repositories-and-mirrors = {
    modules = keeper {
      enable = true;
      repositories = {
        q = {
          url = "https://backup.example/q#hb1abc";
          token.file = "/run/secrets/reader";
        };
        at-friend.url = "sftp://friend.example/backups/q#hb1abc";
        on-usb.url = "/mnt/usb/q#hb1abc";
      };
      drills = {
        q = of "q" { };
        friend = of "at-friend" { mirror = "friend"; };
        usb = of "on-usb" { mirror = "usb"; };
      };
    };
    expect = {
      warnings = [
        (atHub "`r`")
        (atMirrors "`usb`" "usb")
      ];
      settings."drills.friend.mirror" = "friend";
      settings."drills.q.mirror" = null;
    };
  };
  a-drill-of-a-mirror-is-none-of-the-repository = {
    modules = keeper {
      enable = true;
      hub.mirrors = lib.mkForce { };
      repositories.q.url = "/mnt/friend/q#hb1abc";
      policy.restoresTestedBy.r = "by hand";
      drills.q = of "q" { mirror = "friend"; };
    };
    expect.warnings = [ (atHub "`q`") ];
  };
  a-drill-of-a-mirror-that-cannot-be = refuses (tried { mirror = "The Friend"; }) [
    "drills.d.mirror: `The Friend` cannot be a mirror of a hub: names there are 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit."
  ];

  # --- what is refused ------------------------------------------------------------------

  a-drill-of-an-unknown-repository = refuses (vault { d = of "clod" { }; }) [
    "drills.d.repository: there is no repository `clod`; did you mean `cloud`?"
  ];
  a-drill-without-a-key = refuses (vault { d.repository = "disk"; }) [
    "drills.d.key is not set. `age-keygen -o drill.key` makes a restore key for this machine alone, and `hearth-backup key add-recipient` lets it read; encrypt it into your configuration and set `drills.d.key.age = ./drill.age;`, or name a file of the host with `.file`."
  ];
  a-key-of-a-drill-in-the-store = refuses (tried { key.file = ./cases.nix; }) [
    "drills.d.key.file lies in the configuration, and would be copied to the store, where everyone on the host can read it. Write the path of a file of the host as a string, or encrypt the secret and use `.age`."
  ];
  a-drill-whose-name-is-no-part-of-a-unit = refuses (vault { "a b" = of "disk" { }; }) [
    "drills.a b: a name consists of letters, digits, `-`, `_` and `.`, at most 64 of them: it becomes part of a unit's name."
  ];
  a-drill-restores-files-and-paths =
    refuses
      (tried {
        amount = {
          files = 5;
          paths = [ "/srv" ];
        };
      })
      [ "drills.d.amount: says either how many `files` or which `paths`; to restore everything leave it out." ];
  a-drill-of-databases-without-any = refuses (tried { amount = "databases"; }) [
    "drills.d.amount: is `databases`, but there is no `postgresql`, `mariadb` or `sqlite`; nothing would be tested."
  ];
  a-drill-of-a-part-of-a-host = refuses (tried { amount.files = 5; fullHost = true; }) [
    "drills.d.amount: must be `everything` for a whole host (`fullHost`); leave it out."
  ];
  a-drill-in-two-places = refuses (tried { scratch = "/srv/scratch"; tmpfs = "1GiB"; }) [
    "drills.d.scratch: and `tmpfs` are two answers to one question; leave one out."
  ];
  a-drill-in-the-store = refuses (tried { scratch = "${builtins.storeDir}/0000-q"; }) [
    "drills.d.scratch: `${builtins.storeDir}/0000-q` lies in the store, where nothing can be written."
  ];
  a-drill-asks-databases-that-it-does-not-load =
    refuses
      (tried {
        postgresql = {
          databases = [ "shop" ];
          assertions.shops = [ "SELECT 1" ];
        };
        sqlite.assertions."/a.db" = [ "SELECT 1" ];
      })
      [
        "drills.d.sqlite.databases: names none; `discover = true` opens those among the restored files."
        "drills.d.sqlite.assertions: `/a.db` is not among `databases`; nobody would ask it."
        "drills.d.postgresql.assertions: `shops` is not among `databases`; did you mean `shop`?"
      ];
}
