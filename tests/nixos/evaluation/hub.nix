# Hosts with repositories at a hub, and hubs, in the words of cases.nix.
{
  lib,
  with',
  path,
  package,
  refuses,
}:
let
  home = {
    url = "https://backup.example/q#hb1abc";
    writerKey.file = "/root/q.key";
    token.file = "/run/secrets/token";
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
  tokenHash = "hbh_b97b3ea0_c33daba3ad3bbbb0a424890ed3c49635f4d838c47cee312e5ee9d538c4dda4d0";
  # A hub that one host comes to.
  plainHub =
    settings:
    lib.recursiveUpdate {
      enable = true;
      hosts.laptop = { inherit tokenHash; };
    } settings;
  atHub = settings: [
    {
      services.hearth-backup = {
        enable = false;
        policy.restoresTestedBy = "tests";
        hub = plainHub settings;
      };
    }
  ];
  # What tmpfiles makes for a hub.
  directory = path: map (name: "'d' '${name}' '0700' 'hearth-backup-hub' 'hearth-backup-hub' '-' ") [ path "${path}/repositories" ];
in
{
  # --- hosts -----------------------------------------------------------------------------

  hubs-and-services-are-reached = {
    modules = with' {
      repositories = {
        inherit home;
        friend = {
          url = "ssh://backup@friend.example:2222/q";
          writerKey.file = "/root/friend.key";
          identity.file = "/run/secrets/friend";
          knownHosts = "[friend.example]:2222 ssh-ed25519 AAAAfriend";
        };
        lab = {
          url = "http://10.0.0.1:8420/q";
          allowPlainHttp = true;
          writerKey.file = "/root/lab.key";
          token.age = ./cases.nix;
          prune.enable = true;
        };
        here = {
          url = "http://127.0.0.1:8420/q";
          writerKey.file = "/root/here.key";
          token.file = "/run/secrets/here";
        };
        cloud = {
          url = "opendal+webdav://cloud.example/dav/q?username=q";
          writerKey.file = "/root/cloud.key";
          credentials.file = "/run/secrets/dav";
          connections = 2;
        };
      };
      jobs.state = {
        repositories = [ "home" "friend" "lab" "here" "cloud" ];
        paths = [ "/srv" "/var/tmp/kept" ];
        retention.daily = 7;
      };
    };
    expect = {
      warnings = [ ];
      secretNames = [ "hearth-backup-lab-token" ];
      settings = {
        "repositories.home.url" = home.url;
        "repositories.home.token" = "credential:home-token";
        "repositories.home.allowPlainHttp" = null;
        "repositories.lab.token" = "credential:lab-token";
        "repositories.lab.allowPlainHttp" = true;
        "repositories.friend.token" = null;
        "repositories.friend.identity" = "credential:friend-identity";
        "repositories.cloud.credentials" = "credential:cloud-credentials";
      };
      units = {
        "hearth-backup-state.service" = [
          "After=network-online.target"
          "Wants=network-online.target"
          "PrivateNetwork=false"
          "LoadCredential=home-token:/run/secrets/token"
          "LoadCredential=lab-token:/run/agenix/hearth-backup-lab-token"
          "LoadCredential=friend-identity:/run/secrets/friend"
          "LoadCredential=cloud-credentials:/run/secrets/dav"
          "openssh"
          "HEARTH_SSH=ssh -F /nix/store"
          # A pack waits there, and the job saves some of it.
          "ReadWritePaths=/var/tmp"
          "!https://"
        ];
        # The hub sees to these itself.
        "hearth-backup-forget-home.service" = null;
        "hearth-backup-prune-home.service" = null;
        "hearth-backup-forget-friend.timer" = null;
        "hearth-backup-check-home.service" = [
          "LoadCredential=home-token:/run/secrets/token"
          "PrivateNetwork=false"
          "!openssh"
        ];
        "hearth-backup-prune-lab.service" = [ "LoadCredential=lab-token:/run/agenix/hearth-backup-lab-token" ];
        "hearth-backup-forget-cloud.service" = [ "LoadCredential=cloud-credentials:/run/secrets/dav" ];
      };
    };
  };

  a-repository-has-the-name-of-another-secret = refuses (to { report = home; }) [
    "repositories.report: a repository's name must not be `report`, or begin with `hub-host-`, `hub-mirror-` or `drill-`: secrets of that name are for other things."
  ];
  a-hub-lets-nobody-in-without-a-token = refuses (to { home = home // { token = null; }; }) [
    "repositories.home.token is not set, and the hub lets nobody in without. Whoever runs it makes one, by `hearth-backup hub token new` or `hub token add`; encrypt it into your configuration and set `repositories.home.token.age = ./q-token.age;`, or name a file of the host with `.file`."
  ];
  tokens-stay-out-of-the-store-and-off-plain-lines =
    refuses
      (to {
        home = home // {
          token.file = ./cases.nix;
        };
        lab = home // {
          url = "http://backup.lan/q";
        };
        pass = home // {
          url = "https://q:hidden@backup.example/other";
        };
      })
      [
        "repositories.home.token.file lies in the configuration, and would be copied to the store, where everyone on the host can read it. Write the path of a file of the host as a string, or encrypt the secret and use `.age`."
        "repositories.lab.url: by http:// everybody on the way would see the token. Use https:// or ssh://, or set `allowPlainHttp` if the line is protected otherwise, such as by WireGuard."
        "repositories.pass.url: holds a password or a key, and would be copied to the store, where everyone on the host can read it. Set `token` instead."
      ];
  what-a-hub-does-not-need-is-refused =
    refuses
      (to {
        home = home // {
          identity.file = "/run/secrets/friend";
          connections = 4;
          allowPlainHttp = true;
        };
        friend = home // {
          url = "ssh://friend.example/Q";
        };
      })
      [
        "repositories.friend.token: is for hubs (https://...), and the URL names none; leave it out."
        "repositories.friend.url: `Q` cannot be a repository at a hub: names are 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit."
        "repositories.home.allowPlainHttp: is for hubs without TLS (http://...), and the URL names none; leave it out."
        "repositories.home.connections: is for buckets (s3://...) and services (opendal+...), and the URL names none; leave it out."
        "repositories.home.identity: is for servers and hubs behind ssh (sftp://..., ssh://...), and the URL names none; leave it out."
      ];

  # --- who is told, and who may start jobs ---------------------------------------------------

  runs-are-reported-and-started-at-a-hub = {
    modules = with' {
      repositories = { inherit home; };
      reportTo = {
        url = "https://backup.example/q";
        token.age = ./cases.nix;
        jobs = [ "state" "media" ];
      };
      agent.enable = true;
      jobs.state = {
        repositories = [ "home" ];
        paths = [ "/srv" ];
      };
      jobs.media = {
        repositories = [ "hub" ];
        paths = [ "/media" ];
      };
      jobs.private = {
        repositories = [ "hub" ];
        paths = [ "/root" ];
      };
      repositories.usb.url = "/mnt/usb/q";
      mirrors.usb = {
        from = "hub";
        to = "usb";
      };
    };
    expect = {
      warnings = [ ];
      settings.reportTo = {
        url = "https://backup.example/q";
        token = "credential:report-token";
        jobs = [ "state" "media" ];
      };
      secretNames = [ "hearth-backup-report-token" ];
      units = {
        # What is saved goes to a disk here; the report of it does not.
        "hearth-backup-media.service" = [
          "LoadCredential=report-token:/run/agenix/hearth-backup-report-token"
          "After=network-online.target"
          "PrivateNetwork=false"
          "NotifyAccess=main"
          "!home-token"
        ];
        "hearth-backup-check-hub.service" = [
          "LoadCredential=report-token:/run/agenix/hearth-backup-report-token"
          "After=network-online.target hearth-backup-media.service hearth-backup-private.service hearth-backup-prune-hub.service"
          "PrivateNetwork=false"
          "NotifyAccess=main"
        ];
        "hearth-backup-mirror-usb.service" = [ "LoadCredential=report-token:/run/agenix/hearth-backup-report-token" "PrivateNetwork=false" ];
        "hearth-backup-agent.service" = [
          "Type=notify"
          "User=hearth-backup-agent"
          "Restart=always"
          "WantedBy=multi-user.target"
          "LoadCredential=report-token:/run/agenix/hearth-backup-report-token"
          "CapabilityBoundingSet="
          "PrivateNetwork=false"
          "PrivateUsers=true"
          "!writer-key"
          "!openssh"
        ];
      };
      polkit = [
        "subject.user == \"hearth-backup-agent\""
        "[\"hearth-backup-media.service\",\"hearth-backup-state.service\"]"
        "action.lookup(\"verb\") == \"start\""
        "!private"
      ];
    };
  };

  a-hub-behind-ssh-is-told-by-ssh = {
    modules = with' {
      reportTo = {
        url = "ssh://backup@friend.example/q";
        identity.age = ./cases.nix;
        knownHosts = "friend.example ssh-ed25519 AAAAfriend";
      };
      agent.enable = true;
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
      };
    };
    expect = {
      settings."reportTo.identity" = "credential:report-identity";
      settings."reportTo.token" = null;
      units = {
        "hearth-backup-state.service" = [ "openssh" "HEARTH_SSH=ssh -F /nix/store" "LoadCredential=report-identity:/run/agenix/hearth-backup-report-identity" ];
        "hearth-backup-agent.service" = [ "openssh" "HEARTH_SSH=ssh -F /nix/store" "LoadCredential=report-identity:/run/agenix/hearth-backup-report-identity" ];
      };
      polkit = [ "[\"hearth-backup-state.service\"]" ];
    };
  };

  reports-go-to-hubs =
    refuses
      (with' {
        reportTo = {
          url = "http://backup.lan/Q";
          identity.file = "/run/secrets/friend";
          jobs = [ "stat" ];
        };
        jobs.state = {
          repositories = [ "hub" ];
          paths = [ "/srv" ];
        };
      })
      [
        "reportTo.identity: is for ssh://, and the URL names none; leave it out."
        "reportTo.jobs: there is no job `stat`; did you mean `state`?"
        "reportTo.token is not set, and the hub lets nobody in without. It is the same as that of the repository there."
        "reportTo.url: `Q` cannot be a repository at a hub: names are 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit."
        "reportTo.url: by http:// everybody on the way would see the token. Use https:// or ssh://, or set `allowPlainHttp` if the line is protected otherwise, such as by WireGuard."
      ];
  reports-do-not-go-to-disks =
    refuses
      (with' {
        reportTo = {
          url = "/mnt/hub";
          allowPlainHttp = true;
        };
        jobs.state = {
          repositories = [ "hub" ];
          paths = [ "/srv" ];
        };
      })
      [ "reportTo.url: `/mnt/hub`: reports go to hubs, https://HUB/NAME or ssh://USER@HUB/NAME." ];
  a-key-needs-no-token =
    refuses
      (with' {
        reportTo = {
          url = "ssh://q:hidden@friend.example/q";
          token.file = "/run/secrets/token";
        };
        jobs.state = {
          repositories = [ "hub" ];
          paths = [ "/srv" ];
        };
      })
      [
        "reportTo.token: is not needed for ssh://, where the key decides; leave it out."
        "reportTo.url: holds a password or a key, and would be copied to the store, where everyone on the host can read it. Set `identity` instead."
      ];
  an-agent-hears-nobody = refuses (with' {
    agent.enable = true;
    jobs.state = {
      repositories = [ "hub" ];
      paths = [ "/srv" ];
    };
  }) [ "agent.enable: there is nobody whom the agent could hear. Say which hub in `reportTo`." ];

  # --- hubs ------------------------------------------------------------------------------------

  a-hub-needs-nothing-else = {
    modules = atHub { };
    expect = {
      warnings = [ ];
      hub = {
        host = "q";
        stateDir = "/var/lib/hearth-backup-hub/state";
        hub = {
          dataDir = "/var/lib/hearth-backup-hub";
          listen = [ "systemd" ];
          hosts.laptop = {
            role = "writer";
            repository = "laptop";
            inherit tokenHash;
          };
        };
      };
      tmpfiles = directory "/var/lib/hearth-backup-hub";
      ports = [ ];
      units = {
        "hearth-backup-hub.socket" = [
          "ListenStream=127.0.0.1:8420"
          "FreeBind=true"
          "WantedBy=sockets.target"
          "!SocketGroup"
        ];
        "hearth-backup-hub.service" = [
          ''"hub" "serve"''
          "Type=notify"
          "Requires=hearth-backup-hub.socket"
          "After=hearth-backup-hub.socket"
          "WantedBy=multi-user.target"
          "User=hearth-backup-hub"
          "WatchdogSec=60s"
          "LimitNOFILE=65536"
          "Restart=always"
          "PrivateNetwork=true"
          "IPAddressDeny=any"
          "RestrictAddressFamilies=AF_UNIX"
          "CapabilityBoundingSet="
          "ProtectHome=true"
          "ReadWritePaths=/var/lib/hearth-backup-hub"
          "RequiresMountsFor=/var/lib/hearth-backup-hub"
          "X-NotSocketActivated=true"
          "!LoadCredential"
        ];
        "hearth-backup-hub-maintain.service" = [
          ''"hub" "maintain" "--only" "forget" "--only" "prune" "--only" "verify"''
          "User=hearth-backup-hub"
          "PrivateNetwork=true"
          "IOSchedulingClass=idle"
          "NotifyAccess=main"
          "MemoryMax=2G"
          "X-RestartIfChanged=false"
          "!OnFailure"
        ];
        "hearth-backup-hub-maintain.timer" = [
          "OnCalendar=04:30"
          "Persistent=true"
          "RandomizedDelaySec=15min"
        ];
        "hearth-backup-notify-hub@.service" = null;
        "hearth-backup-state.service" = null;
      };
    };
  };

  every-option-of-a-hub-reaches-the-engine = {
    modules = atHub {
      dataDir = "/tank/hearth";
      listen = [ "0.0.0.0" "fd00::1" "/run/other.sock" ];
      port = 9000;
      socketGroup = "caddy";
      openFirewall = true;
      plainHttp = true;
      openStatus = true;
      quota = "500G";
      quotaObjects = 2000000;
      quotaWarning = 90;
      retention.default = {
        last = 1;
        hourly = 24;
        daily = 14;
        weekly = 8;
        monthly = 12;
        yearly = 2;
        within = "30d";
      };
      maxForget = 50;
      prune = {
        grace = "3d";
        maxUnused = 5;
      };
      verifyWithin = "60d";
      keepReports = "100d";
      maintenance = {
        schedule = "01:00";
        randomizedDelay = "0";
        limits = {
          memory = "512M";
          time = "12h";
        };
      };
      notify = {
        ntfy = {
          url = "https://ntfy.example";
          topic = "hub";
          token.age = ./cases.nix;
          priority = 5;
        };
        command = [ "/bin/tell" ];
        units = [ "alert.service" ];
      };
      hosts = {
        laptop = {
          quota = "200G";
          quotaObjects = 1000;
          retention = {
            last = 1;
            hourly = 1;
            daily = 7;
            weekly = 1;
            monthly = 1;
            yearly = 1;
            within = "1d";
          };
        };
        secretive.token.age = ./cases.nix;
        filed.token.file = "/run/secrets/filed";
        admin = {
          inherit tokenHash;
          role = "maintainer";
          repository = "laptop";
        };
        grafana = {
          inherit tokenHash;
          role = "viewer";
        };
      };
      repositories.shared = {
        quota = "1T";
        quotaObjects = 5;
        retention = {
          last = 1;
          hourly = 1;
          daily = 30;
          weekly = 1;
          monthly = 1;
          yearly = 1;
          within = "1d";
        };
      };
      mirrors.b2 = {
        url = "s3://family/{repository}?provider=b2&region=us-west-004";
        repositories = [ "laptop" "shared" ];
        schedule = "02:00";
        randomizedDelay = "1h";
        persistent = false;
        credentials.age = ./cases.nix;
        limitUpload = "2MB";
        retention = {
          last = 1;
          hourly = 1;
          daily = 7;
          weekly = 1;
          monthly = 12;
          yearly = 1;
          within = "1d";
        };
        prune = true;
        verify = 3;
        media = "cloud";
        offsite = true;
        limits = {
          memory = null;
          time = "6h";
        };
      };
      mirrors.friend = {
        url = "ssh://hearth-backup-hub@friend.example/{repository}";
        identity.age = ./cases.nix;
        knownHosts = "friend.example ssh-ed25519 AAAAfriend";
      };
      mirrors.other = {
        url = "https://hub.friend.example/me-{repository}";
        token.age = ./cases.nix;
      };
      mirrors.usb.url = "/mnt/usb/hub-{repository}";
      mirrors.off = {
        enable = false;
        url = "nowhere";
      };
    };
    expect = {
      warnings = [ ];
      golden = "hub";
      ports = [ 9000 ];
      tmpfiles = directory "/tank/hearth";
      secretNames = [
        "hearth-backup-hub-host-secretive"
        "hearth-backup-hub-mirror-b2-credentials"
        "hearth-backup-hub-mirror-friend-identity"
        "hearth-backup-hub-mirror-other-token"
        "hearth-backup-hub-ntfy-token"
      ];
      units = {
        "hearth-backup-hub.socket" = [
          "ListenStream=0.0.0.0:9000"
          "ListenStream=[fd00::1]:9000"
          "ListenStream=/run/other.sock"
          "SocketGroup=caddy"
          "SocketMode=0660"
        ];
        "hearth-backup-hub.service" = [
          "LoadCredential=hub-host-secretive:/run/agenix/hearth-backup-hub-host-secretive"
          "LoadCredential=hub-host-filed:/run/secrets/filed"
          "\nX-Restart-Triggers=/nix/store/"
          "RequiresMountsFor=/tank/hearth"
          "ReadWritePaths=/tank/hearth"
          "!hub-mirror"
          "!ntfy"
          "!OnFailure"
        ];
        "hearth-backup-hub-maintain.service" = [
          "OnFailure=hearth-backup-notify-hub@hearth-backup-hub-maintain.service alert.service"
          "After=hearth-backup-hub-mirror-b2.service hearth-backup-hub-mirror-friend.service hearth-backup-hub-mirror-other.service hearth-backup-hub-mirror-usb.service"
          "MemoryMax=512M"
          "TimeoutStartSec=12h"
          "!LoadCredential"
        ];
        "hearth-backup-hub-maintain.timer" = [ "OnCalendar=01:00" "RandomizedDelaySec=0" ];
        "hearth-backup-hub-mirror-b2.service" = [
          ''"hub" "maintain" "--only" "mirror" "--mirror" "b2"''
          "After=network-online.target"
          "Wants=network-online.target"
          "OnFailure=hearth-backup-notify-hub@hearth-backup-hub-mirror-b2.service alert.service"
          "User=hearth-backup-hub"
          "LoadCredential=hub-mirror-b2-credentials:/run/agenix/hearth-backup-hub-mirror-b2-credentials"
          "PrivateNetwork=false"
          "TimeoutStartSec=6h"
          "!MemoryMax"
          "!openssh"
          "!other"
          "!friend"
        ];
        "hearth-backup-hub-mirror-b2.timer" = [ "OnCalendar=02:00" "Persistent=false" "RandomizedDelaySec=1h" ];
        "hearth-backup-hub-mirror-friend.service" = [
          "LoadCredential=hub-mirror-friend-identity:/run/agenix/hearth-backup-hub-mirror-friend-identity"
          "openssh"
          "HEARTH_SSH=ssh -F /nix/store"
        ];
        "hearth-backup-hub-mirror-other.service" = [ "LoadCredential=hub-mirror-other-token:/run/agenix/hearth-backup-hub-mirror-other-token" "!HEARTH_SSH" ];
        "hearth-backup-hub-mirror-usb.service" = [
          "RequiresMountsFor=/mnt/usb"
          "ReadWritePaths=-/mnt/usb"
          "PrivateNetwork=true"
          "After=hearth-backup-hub-mirror-b2.service hearth-backup-hub-mirror-friend.service hearth-backup-hub-mirror-other.service"
          "!network-online"
        ];
        "hearth-backup-hub-mirror-off.service" = null;
        "hearth-backup-notify-hub@.service" = [
          ''"notify" "--hub"''
          "--unit %i"
          "LoadCredential=hub-ntfy-token:/run/agenix/hearth-backup-hub-ntfy-token"
          "User=hearth-backup-hub"
        ];
      };
    };
  };

  a-hub-behind-nginx-is-reached-by-nginx-only = {
    modules = atHub { nginx.virtualHost = "backup.fort.example"; } ++ [
      {
        services.nginx = {
          enable = true;
          virtualHosts."backup.fort.example" = {
            enableACME = true;
            forceSSL = true;
          };
        };
      }
    ];
    expect = {
      warnings = [ ];
      units."hearth-backup-hub.socket" = [
        "ListenStream=/run/hearth-backup-hub.sock"
        "SocketGroup=nginx"
        "!:8420"
      ];
      nginx = {
        proxyPass = "http://unix:/run/hearth-backup-hub.sock";
        extraConfig = ''
          client_max_body_size 0;
          proxy_http_version 1.1;
          proxy_request_buffering off;
          proxy_buffering off;
          proxy_read_timeout 1h;
          proxy_send_timeout 1h;
        '';
      };
    };
  };

  a-hub-speaks-tls-itself = {
    modules = atHub {
      listen = [ "::" ];
      openFirewall = true;
      tls = {
        certificate = "/var/lib/acme/hub/fullchain.pem";
        key = "/var/lib/acme/hub/key.pem";
      };
    };
    expect = {
      warnings = [ ];
      ports = [ 8420 ];
      units."hearth-backup-hub.socket" = [ "ListenStream=[::]:8420" ];
    };
  };

  hosts-come-to-a-hub-by-ssh = {
    modules = atHub {
      hosts.laptop = lib.mkForce {
        sshKeys = [ "ssh-ed25519 AAAAlaptop laptop" ];
        quota = "200G";
      };
    } ++ [ { services.openssh.enable = true; } ];
    expect = {
      warnings = [ ];
      hub = {
        host = "q";
        stateDir = "/var/lib/hearth-backup-hub/state";
        hub = {
          dataDir = "/var/lib/hearth-backup-hub";
          listen = [ "systemd" ];
          repositories.laptop.quota = "200G";
        };
      };
      authorized = [
        ''restrict,command="''
        ''--repository laptop --role writer" ssh-ed25519 AAAAlaptop laptop''
      ];
    };
  };

  a-hub-keeps-its-state-below-the-persist-root = {
    modules = atHub { } ++ [ { services.hearth-backup.persistRoot = "/persist/system"; environment.persistence."/persist/system" = { }; } ];
    expect = {
      tmpfiles = directory "/persist/system/var/lib/hearth-backup-hub";
      persistence."/persist/system" = [ "/var/lib/hearth-backup-hub" ];
      units."hearth-backup-hub.service" = [ "ReadWritePaths=/persist/system/var/lib/hearth-backup-hub" ];
    };
  };

  a-hub-is-a-host-with-jobs-too = {
    modules = [ { services.hearth-backup.hub = plainHub { notify.ntfy = { url = "https://ntfy.example"; topic = "hub"; token.file = "/run/secrets/ntfy"; }; }; } ] ++ with' {
      jobs.state = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
      };
    };
    expect = {
      warnings = [ ];
      settings."hub" = null;
      settings."jobs.state.paths" = [ "/srv" ];
      units."hearth-backup-state.service" = [ "PrivateNetwork=true" ];
      units."hearth-backup-hub.service" = [ "PrivateNetwork=true" ];
      units."hearth-backup-notify-hub@.service" = [ "LoadCredential=hub-ntfy-token:/run/secrets/ntfy" ];
    };
  };

  what-may-be-meant-at-a-hub-is-asked = {
    modules =
      atHub {
        hosts = lib.mkForce { };
        nginx.virtualHost = "backup.fort.example";
        mirrors.usb = {
          url = "/mnt/usb/{repository}";
          repositories = [ "laptop" ];
        };
      }
      ++ [ { services.nginx.enable = true; } ];
    expect.warnings = [
      "${path}.hub.hosts: is empty, so nobody comes whom `hearth-backup-hub token add` does not let in. Declare a host: `hearth-backup hub token new` makes its token, and the hash for `hub.hosts.<name>.tokenHash`."
      "${path}.hub.nginx.virtualHost: `services.nginx.virtualHosts.\"backup.fort.example\"` has no TLS, so tokens go there in clear. Set `enableACME` and `forceSSL` there, unless another proxy before it does."
      "${path}.hub.mirrors.usb.repositories: no host declared here goes to `laptop`; there are none. That is as it should be if `hub token add` made it."
    ];
  };

  hosts-at-a-hub-contradict-each-other =
    refuses
      (atHub {
        hosts = {
          laptop.quota = "200G";
          desktop = {
            inherit tokenHash;
            repository = "laptop";
            quota = "300G";
          };
          none = { };
          both = {
            inherit tokenHash;
            token.file = "/run/secrets/both";
          };
          shown.tokenHash = "hbt_1_2";
          Loud = {
            inherit tokenHash;
            repository = "loud";
          };
          lost = {
            inherit tokenHash;
            repository = null;
          };
          forgetful = {
            inherit tokenHash;
            retention.daily = 0;
          };
          people = {
            inherit tokenHash;
            role = "operator";
            quota = "1G";
            sshKeys = [ "ssh-ed25519 AAAA" ];
          };
          stored.token.file = ./cases.nix;
        };
        repositories."a b".retention.daily = 0;
        retention.default.daily = 0;
      })
      [
        "hub.repositories.laptop.quota: `desktop` and `laptop` share this repository and say different things of it. Say it once, here, and leave it out at the hosts."
        "hub.hosts.none.tokenHash: is missing, so nobody can come by this name. `hearth-backup hub token new` makes a token, for the host, and its hash, for here; or name `sshKeys`."
        "hub.hosts.both.tokenHash: and `token` are two answers to one question; leave one out."
        "hub.hosts.shown.tokenHash: is no hash of a token: those begin with `hbh_`. If it is the token itself, it is in the store now, where everyone on the host can read it: make a new one by `hearth-backup hub token new`."
        "hub.hosts.Loud: a name at a hub is 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit."
        "hub.hosts.lost.repository: is null, and a writer needs one; leave it out for one of its own."
        "hub.hosts.forgetful.retention: would keep nothing; say what stays, such as `{ daily = 7; weekly = 4; }`, or leave it out to keep everything."
        "hub.hosts.people: a operator has no repository, and so no quota and no retention; leave them out."
        "hub.hosts.people.sshKeys: there is no sshd on this host: set `services.openssh.enable = true`."
        "hub.hosts.people.sshKeys: a operator comes with a token only; leave them out."
        "hub.hosts.stored.token.file lies in the configuration, and would be copied to the store, where everyone on the host can read it. Write the path of a file of the host as a string, or encrypt the secret and use `.age`."
        "hub.repositories.a b: a name at a hub is 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit."
        "hub.repositories.a b.retention: would keep nothing; say what stays, such as `{ daily = 7; weekly = 4; }`, or leave it out to keep everything."
        "hub.retention.default: would keep nothing; say what stays, such as `{ daily = 7; weekly = 4; }`, or leave it out to keep everything."
      ];

  mirrors-of-a-hub-need-places =
    refuses
      (atHub {
        mirrors = {
          one.url = "s3://family/all";
          ftp.url = "ftp://friend/{repository}";
          relative.url = "usb/{repository}";
          stored.url = "${builtins.storeDir}/0000/{repository}";
          within.url = "/var/lib/hearth-backup-hub/copies/{repository}";
          plain = {
            url = "http://hub.lan/{repository}";
            token.file = "/run/secrets/token";
          };
          secret.url = "s3://AKIA:hidden@family/{repository}";
          tokenless.url = "https://hub.friend.example/{repository}";
          "A B" = {
            url = "/mnt/usb/{repository}";
            retention.daily = 0;
            token.file = "/run/secrets/token";
            credentials.file = "/run/secrets/b2";
            identity.file = "/run/secrets/friend";
            knownHosts = "friend ssh-ed25519 AAAA";
          };
        };
      })
      [
        "hub.mirrors.one.url: `s3://family/all` is one place, and each repository needs its own: write `{repository}` where its name shall stand, or name one in `repositories`."
        "hub.mirrors.ftp.url: `ftp://friend/{repository}`: copies lie in directories (/mnt/usb/{repository}), at hubs (https://HUB/{repository}, ssh://USER@HUB/{repository}), on servers (sftp://HOST/{repository}), in buckets (s3://BUCKET/{repository}) and at other services (opendal+webdav://HOST/{repository}), not at ftp://."
        "hub.mirrors.relative.url: `usb/{repository}` is not absolute; services run in no particular directory."
        "hub.mirrors.stored.url: `${builtins.storeDir}/0000/{repository}` lies in the store, where nothing can be written."
        "hub.mirrors.within.url: `/var/lib/hearth-backup-hub/copies/{repository}` lies in the hub's own directory: a copy there is lost with it."
        "hub.mirrors.plain.url: by http:// everybody on the way would see the token. Use https:// or ssh://."
        "hub.mirrors.secret.url: holds a password or a key, and would be copied to the store, where everyone on the host can read it. Set `credentials` instead."
        "hub.mirrors.tokenless.token is not set, and the other hub lets nobody in without. Whoever runs it makes one for a maintainer, by `hearth-backup hub token new` or `hub token add`."
        "hub.mirrors.A B: a name at a hub is 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit."
        "hub.mirrors.A B.retention: would keep nothing; say what stays, such as `{ daily = 7; weekly = 4; }`, or leave it out to keep everything."
        "hub.mirrors.A B.token: is for hubs (https://...), and the URL names none; leave it out."
        "hub.mirrors.A B.credentials: is for buckets (s3://...) and services (opendal+...), and the URL names none; leave it out."
        "hub.mirrors.A B.identity: is for servers and hubs behind ssh (sftp://..., ssh://...), and the URL names none; leave it out."
        "hub.mirrors.A B.knownHosts: is for servers and hubs behind ssh (sftp://..., ssh://...), and the URL names none; leave it out."
      ];

  a-hub-that-nobody-reaches = refuses (atHub { openFirewall = true; }) [
    "hub.openFirewall: opens port 8420, at which the hub is not reached from other machines: it listens at 127.0.0.1."
  ];
  a-hub-that-listens-nowhere =
    refuses
      (atHub {
        listen = [ ];
        dataDir = "${builtins.storeDir}/0000-hub";
      })
      [
        ''hub.listen: names no place, so nobody can come; `[ "127.0.0.1" ]` is for a proxy on this host.''
        "hub.dataDir: `${builtins.storeDir}/0000-hub` lies in the store, where nothing can be written."
      ];
  tokens-would-go-in-clear = refuses (atHub { listen = [ "0.0.0.0" "127.0.0.1" ]; }) [
    "hub.listen: `0.0.0.0` is reached from other machines, and tokens would go there in clear. Set `tls`, or `nginx.virtualHost`, or `plainHttp` if the line is protected otherwise, such as by WireGuard."
  ];
  half-a-certificate = refuses (atHub { tls.key = "${builtins.storeDir}/0000-key.pem"; }) [
    "hub.tls: needs `certificate` and `key`, both or none."
    "hub.tls.key: lies in the store, where everyone on the host can read it. Name a file of the host."
  ];
  there-is-no-nginx =
    refuses
      (atHub {
        nginx.virtualHost = "backup.fort.example";
        openFirewall = true;
      })
      [
        "hub.nginx.virtualHost: there is no nginx on this host: set `services.nginx.enable = true`."
        "hub.openFirewall: opens port 8420, at which the hub is not reached from other machines: it listens at nginx's socket only; nginx's ports are `networking.firewall.allowedTCPPorts = [ 80 443 ]`."
      ];
}
