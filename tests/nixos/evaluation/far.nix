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
    modules = to {
      cloud = cloud // {
        credentials.age = ./cases.nix;
      };
      friend = friend // {
        identity.age = ./cases.nix;
      };
    };
    expect = {
      secretNames = [ "hearth-backup-cloud-credentials" "hearth-backup-friend-identity" ];
      units."hearth-backup-state.service" = [
        "LoadCredential=cloud-credentials:/run/agenix/hearth-backup-cloud-credentials"
        "LoadCredential=friend-identity:/run/agenix/hearth-backup-friend-identity"
      ];
    };
  };

  # --- wrong combinations --------------------------------------------------------------

  a-key-of-a-bucket-does-not-come-from-the-store = refuses (to { cloud = cloud // { credentials.file = ./cases.nix; }; }) [
    "repositories.cloud.credentials.file lies in the configuration, and would be copied to the store, where everyone on the host can read it. Write the path of a file of the host as a string, or encrypt the secret and use `.age`."
  ];
  a-hub-is-for-later = refuses (to { hub = hub // { url = "https://hub.example/q"; }; }) [
    "repositories.hub.url: `https://hub.example/q`: repositories lie in directories (/mnt/backup/q), on servers (sftp://HOST/PATH) and in buckets (s3://BUCKET/PREFIX), not at https://."
  ];
  there-is-no-ssh-scheme = refuses (to { hub = hub // { url = "ssh://friend/q"; }; }) [
    "repositories.hub.url: `ssh://friend/q`: repositories lie in directories (/mnt/backup/q), on servers (sftp://HOST/PATH) and in buckets (s3://BUCKET/PREFIX), not at ssh://."
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
        "repositories.cloud.identity: is for servers (sftp://...), and the URL names none; leave it out."
        "repositories.cloud.knownHosts: is for servers (sftp://...), and the URL names none; leave it out."
        "repositories.friend.connections: is for buckets (s3://...), and the URL names none; leave it out."
        "repositories.friend.credentials: is for buckets (s3://...), and the URL names none; leave it out."
      ];
}
