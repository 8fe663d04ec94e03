# Whom this host tells of its runs, and who may start its jobs.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };
in
{
  options.services.hearth-backup = {
    reportTo = mkOption {
      default = null;
      example = lib.literalExpression ''
        {
          url = "https://backup.fort.example/q";
          token.age = ./q-token.age;
        }
      '';
      description = ''
        The hub that is told of each run of a job, of a mirror and of what keeps house: when, how it ended, how much was saved, its warnings and last lines. Its page
        shows them. Without it the hubs are told at which the repositories of the run lie.
      '';
      type = types.nullOr (
        types.submodule {
          options = {
            url = mkOption {
              type = types.str;
              example = "https://backup.fort.example/q";
              description = "The host's repository there: `https://HUB/NAME` or `ssh://USER@HUB/NAME`.";
            };
            token = own.secret "What the hub knows this host by, for `https://`; the same as that of its repository.";
            identity = own.secret "The private key of SSH, for `ssh://`. Without it `ssh` takes what it finds, such as root's own keys.";
            knownHosts = mkOption {
              type = types.lines;
              default = "";
              description = "The host keys of the hub, for `ssh://`, as in `repositories.<name>.knownHosts`.";
            };
            allowPlainHttp = own.flag false "Speak to a hub on another machine by `http://`. Whoever listens on the way learns the token.";
            jobs = own.maybe (types.listOf types.str) "The jobs that the hub may have started, where `agent.enable` is set; all if absent." {
              example = [ "state" ];
            };
          };
        }
      );
    };

    agent.enable = own.flag false ''
      Whether people may start this host's jobs at the hub in `reportTo`. The agent keeps one connection to the hub, so that this host opens no port. It runs as a
      user of its own, whom polkit lets start the services of `reportTo.jobs` and nothing else.
    '';
  };
}
