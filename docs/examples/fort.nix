# A cluster with impermanence: what was an aspect with two restic jobs, a dump into /tmp and a password in
# each host. The hub and its mirrors come with the hub; until then the repository is on a share of ursula's.
{
  services.hearth-backup = {
    enable = true;
    recipients = [ "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kdjzkcz" ];
    repositories.ursula = {
      url = "/mnt/ursula/q";
      writerKey.age = ./q-writer.age;
    };
    jobs.system = {
      autoDiscover = true; # all of /var/lib that services own, from the persist root, and PostgreSQL
      exclude = [ "/var/lib/docker" "/var/lib/containers" "*.log" ];
      repositories = [ "ursula" ];
      schedule = "daily";
      randomizedDelay = "1h";
      retention = { daily = 7; weekly = 4; monthly = 6; };
    };
  };
}
