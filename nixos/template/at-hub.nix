# What of this host goes to the hub too, and who tells it: add this file to the host's modules once there is a hub.
{
  services.hearth-backup = {
    repositories.hub = {
      url = "https://backup.example.org/q";
      writerKey.age = ./secrets/q-hub-writer.age;
      token.age = ./secrets/q-token.age;
      copy.media = "hub";
      # The hub's own disk is one copy, and its mirror another.
      mirrors.usb.media = "usb";
    };
    jobs.state.repositories = [ "hub" ];

    # The hub's page shows each run, and may start one.
    reportTo = {
      url = "https://backup.example.org/q";
      token.age = ./secrets/q-token.age;
    };
    agent.enable = true;
  };
}
