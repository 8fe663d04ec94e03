# Where backups go.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };

  copy = {
    media = mkOption {
      type = types.str;
      example = "cloud";
      description = "The kind of media that it lies on, in a word of yours: zfs, usb, cloud. Two copies on one kind count as one kind.";
    };
    offsite = own.flag false "Whether it lies where a fire or a thief would not reach it together with this host.";
  };

  keeping =
    what: schedule:
    {
      enable = own.flag true "Whether this host ${what}; turn it off where somebody else does.";
      schedule = own.schedule schedule "When.";
      randomizedDelay = own.randomizedDelay "30min";
    };

  repository = types.submodule {
    options = {
      url = mkOption {
        type = types.str;
        example = "/mnt/backup/q#hb1...";
        description = ''
          Where it lies: a directory, `sftp://USER@HOST:PORT/PATH` on another machine, or `s3://BUCKET/PREFIX?...` in a bucket (`docs/stores.md`
          has the parameters of each service), with `#hb1...` at the end to say which repository it must be (`hearth-backup init` prints it).
        '';
      };
      credentials = own.secret ''
        The access key of the bucket, for `s3://`: a file like `~/.aws/credentials`, or with lines `AWS_ACCESS_KEY_ID=...` and
        `AWS_SECRET_ACCESS_KEY=...`. Without it the unit has only what you put into its environment.
      '';
      connections = own.maybe (types.ints.between 1 256) "How many requests the bucket gets at the same time; 8 if absent." { example = 16; };
      limitUpload = own.maybe own.byteSize "How many bytes may be written to it in a second, by each service." { example = "10MB"; };
      limitDownload = own.maybe own.byteSize "How many bytes may be read from it in a second." { example = "50MB"; };
      identity = own.secret "The private key of SSH, for `sftp://`. Without it `ssh` takes what it finds, such as root's own keys.";
      knownHosts = mkOption {
        type = types.lines;
        default = "";
        example = "[friend.example]:2222 ssh-ed25519 AAAAC3Nz...";
        description = ''
          The host keys of its server, for `sftp://`, as `ssh-keyscan -p 2222 friend.example` prints them: lines of
          {manpage}`sshd(8)`, "SSH_KNOWN_HOSTS FILE FORMAT". Hosts in `programs.ssh.knownHosts` and those that root knows are known too. One that is not known
          is refused.
        '';
      };
      writerKey = own.secret ''
        This host's writer key, which `hearth-backup init` or `hearth-backup key add-writer` made. It cannot read backups. Only a repository that
        nothing but mirrors use can do without.
      '';
      copy = mkOption {
        type = types.nullOr (types.submodule { options = copy; });
        default = null;
        example = {
          media = "zfs";
          offsite = false;
        };
        description = "What kind of copy this is, for `policy.require321`. A repository that says nothing counts as a copy on no media of its own, here.";
      };
      foreignOwner = own.flag false ''
        Whether the directory belongs to another user than root, as on a share or a disk without owners. Units that write to it may then
        override permissions (CAP_DAC_OVERRIDE), which they else cannot.
      '';
      mirrors = mkOption {
        type = types.attrsOf (types.submodule { options = copy; });
        default = { };
        example = {
          friend = {
            media = "disk";
            offsite = true;
          };
        };
        description = "Copies of this repository that somebody else makes, such as the machine that it lies on. They count for `policy.require321`.";
      };
      forget = keeping "forgets snapshots by the retention of its jobs" "04:00";
      prune = keeping "gives back the space of what no snapshot needs" "Sun 04:30" // {
        grace = own.maybe types.str "How long what is no longer needed stays before it is deleted; `24h` if absent." { example = "3d"; };
        maxUnused = own.maybe (types.ints.between 0 100) "How much of the packs that stay may be unused, in percent; 10 if absent." { };
      };
      check = keeping "checks that everything is there and whole" "Sat 04:30" // {
        readPacks = own.maybe (types.ints.between 0 100) ''
          How much of what is stored is read each time, in percent, another part each day; with 0, the default, only that all is there.
        '' { example = 10; };
      };
    };
  };
in
{
  options.services.hearth-backup.repositories = mkOption {
    type = types.attrsOf repository;
    default = { };
    description = ''
      Where backups go, by name. A repository is made once, by hand: `hearth-backup init --repo URL --writer-key q.key --recipient age1...`.
    '';
  };
}
