# Hosts with repositories in buckets and on other machines, in the words of cases.nix.
{
  lib,
  with',
  hub,
  path,
  package,
  refuses,
}:
let
  cloud = {
    url = "s3://family/q?provider=b2&region=us-west-004#hb1abc";
    writerKey.file = "/root/cloud.key";
    credentials.file = "/run/secrets/b2";
  };
  friend = {
    url = "sftp://q@friend.example:2222/q";
    writerKey.file = "/root/friend.key";
    identity.file = "/run/secrets/friend";
    knownHosts = "[friend.example]:2222 ssh-ed25519 AAAAfriend";
  };
  # A job that goes to these.
  to =
    repositories:
    with' {
      inherit repositories;
      jobs.state = {
        repositories = lib.attrNames repositories;
        paths = [ "/srv" ];
      };
    };
in
{
  a-bucket-and-a-friend-are-reached = {
    modules = with' {
      repositories = {
        cloud = cloud // {
          connections = 16;
          limitUpload = "10MB";
          limitDownload = "50MB";
        };
        inherit friend;
      };
      jobs.state = {
        repositories = [ "hub" "cloud" "friend" ];
        paths = [ "/srv" ];
        retention.daily = 7;
      };
      jobs.near = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
      };
    };
    expect = {
      warnings = [ ];
      settings = {
        "repositories.cloud.url" = cloud.url;
        "repositories.cloud.credentials" = "credential:cloud-credentials";
        "repositories.cloud.connections" = 16;
        "repositories.cloud.limitUpload" = "10MB";
        "repositories.cloud.limitDownload" = "50MB";
        "repositories.cloud.writerKey" = "credential:cloud-writer-key";
        "repositories.friend.identity" = "credential:friend-identity";
        "repositories.friend.credentials" = null;
      };
      units = {
        "hearth-backup-state.service" = [
          "After=network-online.target"
          "Wants=network-online.target"
          "PrivateNetwork=false"
          "RestrictAddressFamilies=AF_INET"
          "LoadCredential=cloud-writer-key:/root/cloud.key"
          "LoadCredential=cloud-credentials:/run/secrets/b2"
          "LoadCredential=friend-identity:/run/secrets/friend"
          "openssh"
          "HEARTH_SSH=ssh -F /nix/store"
          "!IPAddressDeny"
          "!s3://"
          "!sftp://"
          "PrivateTmp=true"
        ];
        "hearth-backup-near.service" = [
          "PrivateNetwork=true"
          "IPAddressDeny=any"
          "!network-online"
          "!cloud"
          "!friend"
          "!openssh"
          "!HEARTH_SSH"
        ];
        "hearth-backup-forget-friend.service" = [
          "After=network-online.target hearth-backup-state.service"
          "PrivateNetwork=false"
          "LoadCredential=friend-identity:/run/secrets/friend"
          "openssh"
          "HEARTH_SSH=ssh -F /nix/store"
        ];
        "hearth-backup-prune-cloud.service" = [
          "Wants=network-online.target"
          "PrivateNetwork=false"
          "LoadCredential=cloud-credentials:/run/secrets/b2"
          "!friend"
          "!openssh"
        ];
        "hearth-backup-check-hub.service" = [
          "PrivateNetwork=true"
          "!network-online"
          "!openssh"
        ];
      };
    };
  };

  a-friend-is-known-to-the-host-itself = {
    modules = to { friend = friend // { knownHosts = ""; }; };
    expect.units."hearth-backup-state.service" = [ "openssh" "!HEARTH_SSH" ];
  };

  words-for-ssh-reach-units-that-connect = {
    modules = to { inherit hub; friend = friend // { knownHosts = ""; }; } ++ [
      {
        services.hearth-backup.sshConfig = "ProxyJump bastion.example";
        programs.ssh.package = package "openssh-other";
      }
    ];
    expect.units = {
      "hearth-backup-state.service" = [ "HEARTH_SSH=ssh -F /nix/store" "openssh-other" ];
      "hearth-backup-check-hub.service" = [ "!HEARTH_SSH" ];
    };
  };

  packs-for-a-bucket-wait-in-the-hosts-own-tmp-if-the-job-saves-that = {
    modules = with' {
      repositories = { inherit cloud; };
      jobs.state = {
        repositories = [ "cloud" ];
        paths = [ "/var/tmp/kept" ];
      };
      jobs.near = {
        repositories = [ "hub" ];
        paths = [ "/var/tmp/kept" ];
      };
    };
    expect.units = {
      "hearth-backup-state.service" = [ "PrivateTmp=false" "ReadWritePaths=/var/tmp" ];
      "hearth-backup-near.service" = [ "PrivateTmp=false" "!ReadWritePaths=/var/tmp" ];
    };
  };

  agenix-holds-what-opens-a-bucket-and-a-server = {
    modules = with' {
      repositories = {
        cloud = cloud // {
          credentials.age = ./cases.nix;
        };
        friend = friend // {
          identity.age = ./cases.nix;
        };
      };
      jobs.state = {
        repositories = [ "cloud" ];
        paths = [ "/srv" ];
      };
      mirrors.offsite = {
        from = "cloud";
        to = "friend";
        notify.ntfy = {
          url = "https://ntfy.example";
          topic = "mirrors";
          token.age = ./cases.nix;
        };
      };
    };
    expect = {
      secretNames = [ "hearth-backup-cloud-credentials" "hearth-backup-friend-identity" "hearth-backup-mirror-offsite-ntfy-token" ];
      units = {
        "hearth-backup-state.service" = [
          "LoadCredential=cloud-credentials:/run/agenix/hearth-backup-cloud-credentials"
          "!friend-identity"
        ];
        "hearth-backup-mirror-offsite.service" = [
          "LoadCredential=cloud-credentials:/run/agenix/hearth-backup-cloud-credentials"
          "LoadCredential=friend-identity:/run/agenix/hearth-backup-friend-identity"
        ];
      };
    };
  };

  # --- mirrors ---------------------------------------------------------------------------

  every-option-of-a-mirror-reaches-the-engine = {
    modules = with' {
      repositories = {
        inherit cloud;
        usb = {
          url = "/mnt/usb/q";
          foreignOwner = true;
          prune.grace = "3d";
        };
      };
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
      };
      mirrors.offsite = {
        from = "hub";
        to = "cloud";
        schedule = [ "03:00" "15:00" ];
        randomizedDelay = "1h";
        persistent = false;
        retention = {
          last = 1;
          hourly = 24;
          daily = 7;
          weekly = 4;
          monthly = 12;
          yearly = 2;
          within = "30d";
        };
        prune = true;
        verify = 10;
        limits = {
          memory = "512M";
          time = "12h";
        };
        notify = {
          ntfy = {
            url = "https://ntfy.example";
            topic = "mirrors";
            token.file = "/run/secrets/ntfy";
            priority = 3;
          };
          command = [ "/bin/tell" ];
          units = [ "alert.service" ];
        };
      };
      mirrors.onwards = {
        from = "cloud";
        to = "usb";
      };
      mirrors.off = {
        enable = false;
        from = "nowhere";
        to = "nowhere";
      };
    };
    expect = {
      warnings = [ ];
      settings = {
        "mirrors.offsite" = {
          from = "hub";
          to = "cloud";
          retention = {
            last = 1;
            hourly = 24;
            daily = 7;
            weekly = 4;
            monthly = 12;
            yearly = 2;
            within = "30d";
          };
          prune = true;
          verify = 10;
          notify = {
            ntfy = {
              url = "https://ntfy.example";
              topic = "mirrors";
              tokenFile = "credential:mirror-offsite-ntfy-token";
              priority = 3;
            };
            command = [ "/bin/tell" ];
          };
        };
        "mirrors.onwards" = {
          from = "cloud";
          to = "usb";
        };
        "mirrors.off" = null;
        "repositories.usb.writerKey" = null;
        "repositories.usb.prune.grace" = "3d";
      };
      units = {
        "hearth-backup-mirror-offsite.service" = [
          "Description=Copy the backups in hub to cloud"
          ''"mirror" "offsite"''
          "After=network-online.target hearth-backup-state.service"
          "Wants=network-online.target"
          "OnFailure=hearth-backup-notify-mirror-offsite@hearth-backup-mirror-offsite.service alert.service"
          "RequiresMountsFor=/mnt/backup/q"
          "RequiresMountsFor=/var/lib/hearth-backup"
          "LoadCredential=hub-writer-key:/root/q.key"
          "LoadCredential=cloud-credentials:/run/secrets/b2"
          # One key says which repository it is.
          "!cloud-writer-key"
          "!ntfy"
          "PrivateNetwork=false"
          "CapabilityBoundingSet="
          "ReadWritePaths=/var/lib/hearth-backup"
          # It is only read.
          "!ReadWritePaths=-/mnt/backup/q"
          "IOSchedulingClass=idle"
          "MemoryMax=512M"
          "TimeoutStartSec=12h"
          "X-RestartIfChanged=false"
        ];
        "hearth-backup-mirror-offsite.timer" = [
          "OnCalendar=03:00"
          "OnCalendar=15:00"
          "RandomizedDelaySec=1h"
          "Persistent=false"
        ];
        "hearth-backup-notify-mirror-offsite@.service" = [
          ''"notify" "offsite" "--mirror"''
          "--unit %i"
          "LoadCredential=mirror-offsite-ntfy-token:/run/secrets/ntfy"
          "!cloud"
        ];
        "hearth-backup-mirror-onwards.service" = [
          "After=network-online.target hearth-backup-mirror-offsite.service"
          "RequiresMountsFor=/mnt/usb/q"
          "ReadWritePaths=-/mnt/usb/q"
          "CapabilityBoundingSet=CAP_DAC_OVERRIDE"
          "MemoryMax=2G"
          "TimeoutStartSec=infinity"
          "!OnFailure"
        ];
        "hearth-backup-mirror-onwards.timer" = [
          "OnCalendar=02:00"
          "RandomizedDelaySec=15min"
          "Persistent=true"
        ];
        "hearth-backup-notify-mirror-onwards@.service" = null;
        "hearth-backup-prune-cloud.service" = [ "After=network-online.target hearth-backup-mirror-offsite.service hearth-backup-forget-cloud.service" ];
        "hearth-backup-prune-hub.service" = [ "!mirror" ];
        # Without a key of its own a mirror keeps house by itself.
        "hearth-backup-prune-usb.service" = null;
        "hearth-backup-check-usb.service" = null;
        "hearth-backup-mirror-off.service" = null;
      };
    };
  };

  whom-a-job-names-is-told-of-the-copies-of-its-repository = {
    modules = with' {
      repositories = {
        usb.url = "/mnt/usb/q";
        inherit friend;
      };
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
        notify.units = [ "alert.service" ];
      };
      mirrors.one = {
        from = "hub";
        to = "usb";
      };
      mirrors.two = {
        from = "usb";
        to = "friend";
      };
    };
    expect.units = {
      "hearth-backup-mirror-one.service" = [
        "OnFailure=alert.service"
        "PrivateNetwork=true"
        "!network-online"
      ];
      "hearth-backup-mirror-two.service" = [
        "OnFailure=alert.service"
        "LoadCredential=friend-identity:/run/secrets/friend"
        "LoadCredential=friend-writer-key:/root/friend.key"
        "HEARTH_SSH=ssh -F"
        "openssh"
      ];
    };
  };

  a-host-may-only-copy = {
    modules = with' {
      recipients = [ ];
      repositories = lib.mkForce {
        theirs.url = "sftp://q@hub.example/q#hb1abc";
        ours.url = "/srv/copies/q";
      };
      mirrors.q = {
        from = "theirs";
        to = "ours";
      };
    };
    expect = {
      warnings = [ ];
      units."hearth-backup-mirror-q.service" = [ "!LoadCredential" "ReadWritePaths=-/srv/copies/q" ];
    };
  };

  mirrors-are-copies = {
    modules = with' {
      policy.require321 = true;
      repositories.hub.copy.media = "disk";
      repositories.usb = {
        url = "/mnt/usb/q";
        copy.media = "usb";
      };
      repositories.cloud = cloud // {
        copy = {
          media = "cloud";
          offsite = true;
        };
      };
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
      };
      mirrors.near = {
        from = "hub";
        to = "usb";
      };
      mirrors.far = {
        from = "usb";
        to = "cloud";
      };
    };
    expect.warnings = [ ];
  };

  a-mirror-of-another-repository-is-no-copy = refuses (with' {
    policy.require321 = true;
    repositories.hub.copy.media = "disk";
    repositories.other = hub // {
      url = "/mnt/other";
    };
    repositories.cloud = cloud // {
      copy = {
        media = "cloud";
        offsite = true;
      };
    };
    jobs.state = {
      repositories = [ "hub" ];
      paths = [ "/srv" ];
    };
    mirrors.far = {
      from = "other";
      to = "cloud";
    };
  }) [ "jobs.state: `policy.require321` asks for 3 copies on 2 kinds of media, 1 of them elsewhere. This job has 2 copies instead of 3 (the live data is one): add a repository, or a mirror of one in `services.hearth-backup.mirrors`, or say in its `mirrors` who else makes one; one kind of media (disk) instead of 2: add a repository on another kind; no copy elsewhere: add a repository or a mirror with `copy.offsite = true`." ];

  three-copies-of-the-examples = {
    modules = [ ../../../docs/examples/three-copies.nix ];
    expect = {
      warnings = [ ];
      settings = {
        "mirrors.cloud.retention" = {
          daily = 7;
          monthly = 12;
        };
        "repositories.cloud.credentials" = "credential:cloud-credentials";
        "repositories.friend.writerKey" = null;
      };
      secretNames = [ "hearth-backup-cloud-credentials" "hearth-backup-disk-writer-key" "hearth-backup-friend-identity" ];
      units = {
        "hearth-backup-state.service" = [ "PrivateNetwork=true" ];
        "hearth-backup-mirror-cloud.service" = [
          "LoadCredential=disk-writer-key:/run/agenix/hearth-backup-disk-writer-key"
          "LoadCredential=cloud-credentials:/run/agenix/hearth-backup-cloud-credentials"
          "!friend"
        ];
        "hearth-backup-mirror-friend.service" = [ "HEARTH_SSH=ssh -F" "LoadCredential=friend-identity:/run/agenix/hearth-backup-friend-identity" ];
        "hearth-backup-mirror-friend.timer" = [ "OnCalendar=weekly" ];
        "hearth-backup-prune-disk.timer" = [ "OnCalendar=Sun 04:30" ];
        "hearth-backup-prune-cloud.service" = null;
      };
    };
  };

  # --- wrong combinations --------------------------------------------------------------

  a-key-of-a-bucket-does-not-come-from-the-store = refuses (to { cloud = cloud // { credentials.file = ./cases.nix; }; }) [
    "repositories.cloud.credentials.file lies in the configuration, and would be copied to the store, where everyone on the host can read it. Write the path of a file of the host as a string, or encrypt the secret and use `.age`."
  ];
  there-is-no-ftp = refuses (to { hub = hub // { url = "ftp://friend/q"; }; }) [
    "repositories.hub.url: `ftp://friend/q`: repositories lie in directories (/mnt/backup/q), at hubs (https://HUB/NAME, ssh://USER@HUB/NAME), on servers (sftp://HOST/PATH), in buckets (s3://BUCKET/PREFIX) and at other services (opendal+webdav://HOST/PATH), not at ftp://."
  ];
  a-server-is-written-as-for-scp = refuses (to { hub = hub // { url = "q@friend:/srv/q"; }; }) [
    "repositories.hub.url: `q@friend:/srv/q` is not absolute; services run in no particular directory. A directory of another machine is sftp://HOST/PATH."
  ];
  passwords-in-urls-are-refused-and-not-repeated =
    refuses
      (to {
        friend = friend // { url = "sftp://q:hidden@friend.example/q"; };
        cloud = cloud // { url = "s3://AKIA:hidden@family/q"; };
      })
      [
        "repositories.cloud.url: holds a password or a key, and would be copied to the store, where everyone on the host can read it. Set `credentials` instead."
        "repositories.friend.url: holds a password or a key, and would be copied to the store, where everyone on the host can read it. Set `identity` instead."
      ];
  what-a-place-does-not-need-is-refused =
    refuses
      (to {
        friend = friend // {
          credentials.file = "/run/secrets/b2";
          connections = 4;
        };
        cloud = cloud // {
          identity.file = "/run/secrets/friend";
          knownHosts = "friend ssh-ed25519 AAAA";
        };
      })
      [
        "repositories.cloud.identity: is for servers and hubs behind ssh (sftp://..., ssh://...), and the URL names none; leave it out."
        "repositories.cloud.knownHosts: is for servers and hubs behind ssh (sftp://..., ssh://...), and the URL names none; leave it out."
        "repositories.friend.connections: is for buckets (s3://...) and services (opendal+...), and the URL names none; leave it out."
        "repositories.friend.credentials: is for buckets (s3://...) and services (opendal+...), and the URL names none; leave it out."
      ];
  mirrors-of-nothing =
    refuses
      (with' {
        repositories.usb.url = "/mnt/usb/q";
        jobs.state = {
          repositories = [ "hub" ];
          paths = [ "/srv" ];
        };
        mirrors.one = {
          from = "hubb";
          to = "usbb";
        };
        mirrors."a b" = {
          from = "hub";
          to = "usb";
          retention.daily = 0;
        };
        mirrors.same = {
          from = "hub";
          to = "hub";
        };
      })
      [
        "mirrors.one.from: there is no repository `hubb`; did you mean `hub` or `usb`?"
        "mirrors.one.to: there is no repository `usbb`; did you mean `usb`?"
        "mirrors.a b: a name consists of letters, digits, `-`, `_` and `.`, at most 64 of them: it becomes part of a unit's name."
        "mirrors.a b.retention: would keep nothing; say what stays, such as `{ daily = 7; weekly = 4; }`, or leave it out to keep everything."
        "mirrors.same.to: `hub` is what shall be copied; a mirror needs a place of its own."
      ];
  mirrors-in-a-circle =
    refuses
      (with' {
        repositories.usb.url = "/mnt/usb/q";
        repositories.tape.url = "/mnt/tape/q";
        jobs.state = {
          repositories = [ "hub" ];
          paths = [ "/srv" ];
        };
        mirrors.one = {
          from = "hub";
          to = "usb";
        };
        mirrors.two = {
          from = "usb";
          to = "tape";
        };
        mirrors.three = {
          from = "tape";
          to = "hub";
        };
      })
      (
        [ "repositories.usb.url: does not say which repository it must be, and there is no `writerKey` that does: mirror `two` could be given another one. Write `#hb1...` at its end; `hearth-backup init` printed it." ]
        ++ map (end: "mirrors.${end.name}: leads from `${end.from}` to where `${end.from}` is a copy of: mirrors go in a circle. Let one of them go.") [
          {
            name = "one";
            from = "hub";
          }
          {
            name = "two";
            from = "usb";
          }
          {
            name = "three";
            from = "tape";
          }
        ]
      );
  two-repositories-are-brought-to-one-place = refuses (with' {
    repositories.usb.url = "/mnt/usb/q";
    repositories.other = hub // {
      url = "/mnt/other";
    };
    jobs.state = {
      repositories = [ "hub" ];
      paths = [ "/srv" ];
    };
    mirrors.one = {
      from = "hub";
      to = "usb";
    };
    mirrors.two = {
      from = "other";
      to = "usb";
    };
  }) [ "mirrors: `one` and `two` bring different repositories to `usb`; a mirror is a copy of one. Give each a place of its own." ];
  a-job-has-the-name-of-a-mirror = refuses (with' { jobs.mirror-usb = { repositories = [ "hub" ]; paths = [ "/srv" ]; }; }) [
    "jobs.mirror-usb: a job's name must not be `hub` or `agent`, or begin with `forget-`, `prune-`, `check-`, `maintain-`, `notify-`, `mirror-`, `drill-`, `awake-` and `hub-`: units of that name do other things."
  ];
  a-job-goes-to-a-mirror-without-a-key = refuses (with' {
    repositories.usb.url = "/mnt/usb/q";
    jobs.state = {
      repositories = [ "hub" "usb" ];
      paths = [ "/srv" ];
    };
    mirrors.one = {
      from = "hub";
      to = "usb";
    };
  }) [ "repositories.usb.writerKey is not set. `hearth-backup init` writes a writer key; encrypt it into your configuration and set `repositories.usb.writerKey.age = ./q-writer.age;`, or name a file of the host with `.file`." ];
}
