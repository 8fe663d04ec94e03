# Three copies on two kinds of media, two of them elsewhere: the host's data, and its repository on a disk, which is mirrored
# into a bucket and to a friend. Whoever steals the host's keys cannot read any of it.
{
  services.hearth-backup = {
    enable = true;
    recipients = [ "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kdjzkcz" ];
    policy = {
      require321 = true;
      restoresTestedBy = "by hand on the laptop, first Sunday of the month";
      liveMedia = "ssd";
    };

    repositories = {
      disk = {
        url = "/mnt/backup/q";
        writerKey.age = ./q-writer.age;
        copy.media = "hdd";
      };
      cloud = {
        url = "s3://family-backups/q?provider=b2&region=us-west-004";
        credentials.age = ./b2.age;
        copy = {
          media = "cloud";
          offsite = true;
        };
      };
      friend = {
        url = "sftp://q@friend.example:2222/vault";
        identity.age = ./friend.age;
        knownHosts = "[friend.example]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILWNTp3gQjr8CLiiWT4cTPZSMPslNoiRvMfuPbUtAXGE";
        copy = {
          media = "hdd";
          offsite = true;
        };
      };
    };

    jobs.state = {
      autoDiscover = true;
      paths = [ "/home" ];
      repositories = [ "disk" ];
      retention = { daily = 7; weekly = 4; monthly = 6; };
    };

    mirrors = {
      cloud = {
        from = "disk";
        to = "cloud";
        retention = { daily = 7; monthly = 12; };
        prune = true;
        verify = 3; # percent a day: all of it within about a month; what is read from a bucket may cost
      };
      friend = {
        from = "disk";
        to = "friend";
        schedule = "weekly";
        verify = 10;
      };
    };
  };
}
