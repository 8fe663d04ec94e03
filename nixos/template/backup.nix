# What of this host is saved, where to, and who can restore.
{
  services.hearth-backup = {
    enable = true;

    # Your own keys, never this host's: `age-keygen`, or an SSH key that you have.
    recipients = [ "age1replace-this-with-your-public-key" ];

    # `hearth-backup init --repo /mnt/backup/q ...` made it, see README.md.
    repositories.disk = {
      url = "/mnt/backup/q";
      writerKey.age = ./secrets/q-writer.age;
      copy = {
        media = "usb";
        offsite = false;
      };
    };

    jobs.state = {
      # The state of every service of this host, its databases included.
      autoDiscover = true;
      paths = [ "/home" ];
      excludePresets = [
        "caches"
        "temporary"
        "logs"
      ];
      repositories = [ "disk" ];
      schedule = "02:00";
      retention = {
        daily = 7;
        weekly = 4;
        monthly = 6;
      };
    };

    policy.restoresTestedBy = "by hand, first Sunday of the month";
  };
}
