# A host whose only repository is at the hub of hub.nix, under the host's own name.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  name = config.networking.hostName;
  url = "http://hub:8420/${name}";
  token.file = "/root/hub.token";
in
{
  imports = [ ../../../nixos/module.nix ];
  environment.systemPackages = [
    pkgs.curl
    pkgs.jq
    pkgs.python3
  ];
  services.hearth-backup = {
    enable = true;
    policy.restoresTestedBy = "this test";
    repositories.hub = {
      inherit url token;
      allowPlainHttp = true;
      writerKey.file = "/root/writer.key";
      copy.media = "hub";
    };
    reportTo = {
      inherit url token;
      allowPlainHttp = true;
    };
    jobs.state = {
      paths = [ "/var/lib/app" ];
      repositories = [ "hub" ];
      schedule = null;
      retries.count = lib.mkDefault 0;
    };
  };
  virtualisation.memorySize = 1024;
}
