# A hub on port 8420 for the tests' own network, without TLS: two hosts with a repository each, and who looks after them.
{ lib, pkgs, ... }:
let
  tokens = import ../hub/tokens.nix;
  known = name: settings: { tokenHash = tokens.${name}.hash; } // settings;
in
{
  imports = [ ../../../nixos/module.nix ];
  environment.systemPackages = [
    pkgs.curl
    pkgs.jq
    pkgs.python3
  ];
  services.hearth-backup.policy.restoresTestedBy = "this test";
  services.hearth-backup.hub = {
    enable = true;
    listen = [ "0.0.0.0" ];
    plainHttp = true;
    openFirewall = true;
    hosts = {
      one = known "one" { };
      two = known "two" { };
      admin-one = known "admin-one" {
        role = "maintainer";
        repository = "one";
      };
      admin-two = known "admin-two" {
        role = "maintainer";
        repository = "two";
      };
      reader-one = known "reader-one" {
        role = "reader";
        repository = "one";
      };
      viewer = {
        token.file = "/etc/viewer.hash";
        role = "viewer";
      };
    };
    # Tests start these by hand.
    maintenance.schedule = lib.mkDefault null;
  };
  # In the store, as a hash may be; who has a secret does otherwise.
  environment.etc."viewer.hash".text = tokens.viewer.hash;
  virtualisation.memorySize = 1024;
}
