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
}
