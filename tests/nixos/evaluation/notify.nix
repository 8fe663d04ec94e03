# Hosts that tell people and services what becomes of runs, in the words of cases.nix.
{ lib, with', path, refuses }:
let
  # Every way to tell, with every option.
  everything = secret: {
    enable = true;
    on = [ "success" "failure" ];
    timeout = "30s";
    ntfy = {
      url = "https://ntfy.example";
      topic = "backups";
      token = secret;
      priority = 5;
      priorities.success = 1;
      tags = [ "rex" ];
      on = [ "failure" ];
    };
    healthchecks = {
      server = "https://checks.example/ping";
      slug = "rex-state";
      pingKey = secret;
      create = true;
      warnings = "success";
      on = [ "start" "success" ];
    };
    uptimeKuma = {
      url = secret;
      warnings = "failure";
      on = [ "success" "failure" ];
    };
    email = {
      server = "mail.example.org";
      port = 2525;
      tls = "starttls";
      allowPlain = false;
      caFile = "/etc/ssl/home.pem";
      user = "me";
      password = secret;
      from = "Backups <backup@example.org>";
      to = [ "me@example.org" ];
      on = [ "failure" "recovery" ];
    };
    webhook = {
      url = "https://hooks.example/{host}";
      method = "POST";
      headers.X-Job = "{name}";
      secretHeaders.Authorization = secret;
      json.content = "**{title}**";
      longestText = 1900;
      on = [ "failure" ];
    };
    command = [ "/bin/tell" ];
    units = [ "alert.service" ];
  };
  # The options that exclude some of those.
  others = secret: {
    healthchecks.url = secret;
    webhook = {
      secretUrl = secret;
      body = "{title}";
    };
  };
  everywhere = notify: {
    notify = notify;
    repositories.hub.notify = notify;
    repositories.usb = {
      url = "/mnt/usb";
      inherit notify;
    };
    jobs.state = {
      repositories = [ "hub" ];
      paths = [ "/srv" ];
      inherit notify;
    };
    mirrors.usb = {
      from = "hub";
      to = "usb";
      inherit notify;
    };
    drills.usb = {
      repository = "usb";
      key.file = "/root/drill.key";
      inherit notify;
    };
    hub = {
      enable = true;
      hosts.laptop.tokenHash = "hbh_b97b3ea0_c33daba3ad3bbbb0a424890ed3c49635f4d838c47cee312e5ee9d538c4dda4d0";
      mirrors.friend.url = "sftp://friend.example/backups/{repository}";
      inherit notify;
    };
  };
  plain = settings: with' (lib.recursiveUpdate {
    jobs.state = {
      repositories = [ "hub" ];
      paths = [ "/srv" ];
    };
  } settings);
  check.healthchecks.url.file = "/run/secrets/check";
in
{
  every-way-of-telling-reaches-the-engine = {
    modules = with' (everywhere (everything { file = "/run/secrets/s"; }));
    expect = {
      golden = true;
      units = {
        "hearth-backup-state.service" = [
          "OnFailure=hearth-backup-notify-state@hearth-backup-state.service alert.service"
          "OnSuccess=hearth-backup-notify-state@hearth-backup-state.service.service"
          "hearth-backup-notify-start-state.service"
        ];
        "hearth-backup-notify-state@.service" = [
          ''"notify" "state"''
          "--unit %i"
          "!--start"
          "LoadCredential=state-ntfy-token:/run/secrets/s"
          "LoadCredential=state-healthchecks-ping-key:/run/secrets/s"
          "LoadCredential=state-uptime-kuma-url:/run/secrets/s"
          "LoadCredential=state-email-password:/run/secrets/s"
          "LoadCredential=state-webhook-header-Authorization:/run/secrets/s"
          "!LoadCredential=mirror-"
          "!LoadCredential=notify-all"
          "ReadWritePaths=/var/lib/hearth-backup"
        ];
        "hearth-backup-notify-start-state.service" = [
          ''"notify" "state" "--start"''
          "--unit hearth-backup-state.service"
          "Before=hearth-backup-notify-state@hearth-backup-state.service hearth-backup-notify-state@hearth-backup-state.service.service"
          "LoadCredential=state-healthchecks-ping-key:/run/secrets/s"
        ];
        "hearth-backup-mirror-usb.service" = [
          "OnSuccess=hearth-backup-notify-mirror-usb@hearth-backup-mirror-usb.service.service"
          "hearth-backup-notify-start-mirror-usb.service"
        ];
        "hearth-backup-check-hub.service" = [
          "OnFailure=hearth-backup-notify-maintain-hub@hearth-backup-check-hub.service alert.service"
          "OnSuccess=hearth-backup-notify-maintain-hub@hearth-backup-check-hub.service.service"
          "Wants=hearth-backup-notify-start-maintain-hub@hearth-backup-check-hub.service"
        ];
        "hearth-backup-notify-maintain-hub@.service" = [ ''"notify" "hub" "--maintain"'' "LoadCredential=maintain-hub-ntfy-token:/run/secrets/s" ];
        # Several units have it, so it is told which.
        "hearth-backup-notify-start-maintain-hub@.service" = [
          ''"notify" "hub" "--maintain" "--start"''
          "--unit %i.service"
          "Before=hearth-backup-notify-maintain-hub@%i.service hearth-backup-notify-maintain-hub@%i.service.service"
          "LoadCredential=maintain-hub-ntfy-token:/run/secrets/s"
        ];
        "hearth-backup-hub-maintain.service" = [
          "OnSuccess=hearth-backup-notify-hub@hearth-backup-hub-maintain.service.service"
          "Wants=hearth-backup-notify-start-hub@hearth-backup-hub-maintain.service"
        ];
        "hearth-backup-hub-mirror-friend.service" = [ "Wants=network-online.target hearth-backup-notify-start-hub@hearth-backup-hub-mirror-friend.service" ];
        "hearth-backup-notify-hub@.service" = [ "LoadCredential=hub-ntfy-token:/run/secrets/s" "ReadWritePaths=/var/lib/hearth-backup-hub" ];
        "hearth-backup-notify-start-hub@.service" = [
          ''"notify" "--hub" "--start"''
          "--unit %i.service"
          "Before=hearth-backup-notify-hub@%i.service hearth-backup-notify-hub@%i.service.service"
          "LoadCredential=hub-ntfy-token:/run/secrets/s"
          "User=hearth-backup-hub"
          "ReadWritePaths=/var/lib/hearth-backup-hub"
        ];
      };
    };
  };

  secrets-of-telling-come-from-agenix-too = {
    modules = with' (
      everywhere (
        lib.recursiveUpdate (everything { age = ./cases.nix; }) {
          healthchecks = null;
          webhook = null;
        }
      )
    );
    expect.units."hearth-backup-notify-state@.service" = [
      "LoadCredential=state-email-password:/run/agenix/hearth-backup-state-email-password"
    ];
  };

  what-excludes-each-other-stands-in-two-hosts =
    let
      both = secret: {
        modules = with' (everywhere (others secret));
        expect.warnings = [ ];
      };
    in
    both { file = "/run/secrets/s"; };

  and-their-secrets-may-be-agenix-ones = {
    modules = with' (
      everywhere (
        lib.recursiveUpdate (others { age = ./cases.nix; }) {
          webhook.secretHeaders.X.age = ./cases.nix;
        }
      )
    );
    expect.units."hearth-backup-notify-start-state.service" = [
      "LoadCredential=state-healthchecks-url:/run/agenix/hearth-backup-state-healthchecks-url"
    ];
  };

  and-a-ping-key = {
    modules = with' (
      everywhere {
        healthchecks = {
          slug = "x";
          pingKey.age = ./cases.nix;
        };
      }
    );
    expect.settings."jobs.state.notify.healthchecks.pingKeyFile" = "credential:state-healthchecks-ping-key";
  };

  what-is-for-all-is-for-each-that-says-nothing = {
    modules = plain {
      notify = check // {
        units = [ "alert.service" ];
      };
      jobs.quiet = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
        notify.enable = false;
      };
      jobs.own = {
        repositories = [ "hub" ];
        paths = [ "/srv" ];
        notify.command = [ "/bin/tell" ];
      };
    };
    expect = {
      settings = {
        "notify.healthchecks.urlFile" = "credential:notify-all-healthchecks-url";
        "jobs.state.notify" = null;
        "jobs.quiet.notify" = { on = [ ]; };
        "jobs.own.notify" = { command = [ "/bin/tell" ]; };
      };
      units = {
        "hearth-backup-state.service" = [
          "OnFailure=hearth-backup-notify-state@hearth-backup-state.service alert.service"
          "Wants=hearth-backup-notify-start-state.service"
        ];
        "hearth-backup-notify-state@.service" = [ "LoadCredential=notify-all-healthchecks-url:/run/secrets/check" "MemoryDenyWriteExecute=true" ];
        "hearth-backup-notify-start-state.service" = [ "LoadCredential=notify-all-healthchecks-url:/run/secrets/check" ];
        "hearth-backup-quiet.service" = [ "!OnFailure" "!OnSuccess" "!notify" ];
        "hearth-backup-notify-quiet@.service" = null;
        "hearth-backup-own.service" = [
          "OnFailure=hearth-backup-notify-own@hearth-backup-own.service alert.service"
          "!hearth-backup-notify-start"
        ];
        "hearth-backup-notify-own@.service" = [ "!LoadCredential" "MemoryDenyWriteExecute=false" ];
        "hearth-backup-prune-hub.service" = [
          "OnSuccess=hearth-backup-notify-maintain-hub@hearth-backup-prune-hub.service.service"
          "Wants=hearth-backup-notify-start-maintain-hub@hearth-backup-prune-hub.service"
        ];
        "hearth-backup-notify-maintain-hub@.service" = [ "LoadCredential=notify-all-healthchecks-url:/run/secrets/check" ];
      };
    };
  };

  without-anybody-for-all-jobs-hear-of-what-concerns-their-repositories = {
    modules = plain { jobs.state.notify = check; };
    expect.units = {
      "hearth-backup-prune-hub.service" = [
        "OnFailure=hearth-backup-notify-state@hearth-backup-prune-hub.service"
        "OnSuccess=hearth-backup-notify-state@hearth-backup-prune-hub.service.service"
      ];
      "hearth-backup-notify-maintain-hub@.service" = null;
      "hearth-backup-notify-start-maintain-hub@.service" = null;
    };
  };

  who-does-not-want-to-hear-of-beginnings-does-not = {
    modules = with' (everywhere { command = [ "/bin/tell" ]; });
    expect.units = {
      "hearth-backup-notify-hub@.service" = [ ''"notify" "--hub"'' ];
      "hearth-backup-notify-start-hub@.service" = null;
      "hearth-backup-notify-start-maintain-hub@.service" = null;
      "hearth-backup-hub-maintain.service" = [ "!hearth-backup-notify-start" ];
      "hearth-backup-prune-hub.service" = [ "!hearth-backup-notify-start" ];
    };
  };

  a-job-cannot-be-called-as-another-units-notifier = refuses (plain {
    jobs.maintain-x = {
      repositories = [ "hub" ];
      paths = [ "/srv" ];
    };
  }) [
    "jobs.maintain-x: a job's name must not be `hub` or `agent`, or begin with `forget-`, `prune-`, `check-`, `maintain-`, `notify-`, `mirror-`, `drill-`, `awake-` and `hub-`: units of that name do other things."
  ];
}
