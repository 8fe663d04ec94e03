# Which repositories are copied to other places.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };

  mirror = types.submodule {
    options = {
      enable = own.flag true "Whether there is such a mirror.";
      from = mkOption {
        type = types.str;
        example = "hub";
        description = "The repository that is copied, by its name in `repositories`.";
      };
      to = mkOption {
        type = types.str;
        example = "cloud";
        description = ''
          Where to, by name. An empty place becomes the same repository, with the same id, keys and snapshots, so its URL ends with the same `#hb1...` or
          none, and it needs no `writerKey`. A directory must be there before the first run: `mkdir /mnt/usb/q`.
        '';
      };
      schedule = own.schedule "02:00" "When it is brought up to date. `systemctl start hearth-backup-mirror-<name>` does it at any time.";
      randomizedDelay = own.randomizedDelay "15min";
      persistent = own.flag true "Whether a time at which the host was off is made up for when it starts.";
      retention = own.retention ''
        What the copy keeps of the snapshots of each host and job, whatever the original keeps; all that it was ever brought if absent.
      '';
      prune = own.flag false "Whether space is given back in the copy afterwards, as `repositories.<name>.prune` of the place says.";
      verify = mkOption {
        type = types.ints.between 0 100;
        default = 0;
        example = 10;
        description = "How much of the copy is read back and hashed each time, in percent, another part each day.";
      };
      limits = {
        memory = own.memory;
        time = own.time;
      };
      notify = own.notify "what becomes of bringing the copy up to date. If nobody is named here or for all, those are told whom the jobs name that go to the original";
    };
  };
in
{
  options.services.hearth-backup.mirrors = mkOption {
    type = types.attrsOf mirror;
    default = { };
    example = lib.literalExpression ''
      {
        offsite = {
          from = "hub";
          to = "cloud";
          retention = { daily = 7; monthly = 12; };
          prune = true;
          verify = 10;
        };
      }
    '';
    description = ''
      Copies of whole repositories in other places, by name; see `docs/mirrors.md`. Each becomes `hearth-backup-mirror-<name>.service` and
      `.timer`. They count for `policy.require321` as what the `copy` of the place says.
    '';
  };
}
