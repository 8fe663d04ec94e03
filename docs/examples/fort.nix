# A cluster with impermanence: what was an aspect with two restic jobs, a dump into /tmp and a password in each host, and a hub of
# a REST server, a proxy and two timers that ran rclone. Import `host` on each host, and `hub` on one.
{
  host = {
    services.hearth-backup = {
      enable = true;
      recipients = [ "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kdjzkcz" ];
      repositories.hub = {
        url = "https://backup.fort.example/q";
        writerKey.age = ./q-writer.age;
        token.age = ./q-token.age;
      };
      reportTo = { url = "https://backup.fort.example/q"; token.age = ./q-token.age; };
      jobs.system = {
        autoDiscover = true; # all of /var/lib that services own, from the persist root, and PostgreSQL
        exclude = [ "/var/lib/docker" "/var/lib/containers" "*.log" ];
        repositories = [ "hub" ];
        schedule = "daily";
        randomizedDelay = "1h";
      };
    };
  };

  hub = {
    services.hearth-backup.policy.restoresTestedBy = {
      q = "drills on vault, weekly";
      b2 = "drills on vault, monthly";
      friend = "drills on vault, monthly";
    };
    services.hearth-backup.hub = {
      enable = true;
      dataDir = "/tank/hearth";
      nginx.virtualHost = "backup.fort.example";
      hosts.q = {
        tokenHash = "hbh_b97b3ea0_c33daba3ad3bbbb0a424890ed3c49635f4d838c47cee312e5ee9d538c4dda4d0"; # `hearth-backup hub token new`
        quota = "200G";
      };
      retention.default = { daily = 14; weekly = 8; monthly = 12; };
      mirrors.b2 = {
        url = "s3://fort-backups/{repository}?provider=b2&region=us-west-004";
        credentials.age = ./b2.age;
        schedule = "02:00";
        offsite = true;
      };
      mirrors.friend = {
        url = "ssh://hearth-backup-hub@friend.example/{repository}";
        identity.age = ./friend.age;
        knownHosts = "friend.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILWNTp3gQjr8CLiiWT4cTPZSMPslNoiRvMfuPbUtAXGE";
        schedule = "03:00";
        offsite = true;
      };
    };
    services.nginx.enable = true;
    services.nginx.virtualHosts."backup.fort.example" = { forceSSL = true; enableACME = true; };
  };
}
