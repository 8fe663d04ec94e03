# What all machines of the tests have: the module, and a job that goes to a repository on the machine's own disk.
{ lib, pkgs, ... }:
{
  imports = [ ../../../nixos/module.nix ];
  environment.systemPackages = [
    pkgs.age
    pkgs.jq
    pkgs.python3
    pkgs.sqlite
  ];
  services.hearth-backup = {
    enable = true;
    policy.restoresTestedBy = "this test";
    repositories.disk = {
      url = lib.mkDefault "/srv/backup/q";
      writerKey.file = lib.mkDefault "/root/q-writer.key";
    };
    jobs.state = {
      repositories = [ "disk" ];
      # Tests start jobs by hand.
      schedule = lib.mkDefault null;
      retries.count = lib.mkDefault 0;
    };
  };
  virtualisation.memorySize = 2048;
}
