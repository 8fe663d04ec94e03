# The machine that keeps the backups of the others, and cannot read them. Another disk of it has a copy.
{
  services.hearth-backup.policy.restoresTestedBy = "by hand, from the hub and from its mirror, first Sunday of the month";
  services.hearth-backup.hub = {
    enable = true;
    dataDir = "/var/lib/hearth-backup-hub";
    nginx.virtualHost = "backup.example.org";

    # `hearth-backup hub token new` prints a token, which the host gets, and the hash, which stands here. See README.md.
    hosts.q = {
      tokenHash = "hbh_replace-this-with-what-hub-token-new-printed";
      quota = "500G";
    };
    # You, with a token of your own: you make the repository and restore.
    hosts.you = {
      tokenHash = "hbh_replace-this-too";
      role = "maintainer";
      repository = "q";
    };

    retention.default = {
      daily = 14;
      weekly = 8;
      monthly = 12;
    };

    mirrors.usb = {
      url = "/mnt/usb/{repository}";
      schedule = "03:00";
      verify = 3;
    };
  };

  services.nginx = {
    enable = true;
    virtualHosts."backup.example.org" = {
      enableACME = true;
      forceSSL = true;
    };
  };
  security.acme = {
    acceptTerms = true;
    defaults.email = "you@example.org";
  };
  networking.firewall.allowedTCPPorts = [
    80
    443
  ];
}
