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

  inherit (import ../lib.nix { inherit lib; }) isAtHub;

  keeping =
    what: schedule:
    {
      enable = own.flag true "Whether this host ${what}; turn it off where somebody else does.";
      schedule = own.schedule schedule "When.";
      randomizedDelay = own.randomizedDelay "30min";
    };

  # At a hub a host may only add, and the hub itself sees to these.
  unlessAtHub =
    url: options:
    options
    // {
      enable = options.enable // {
        default = !isAtHub url;
        defaultText = lib.literalMD "`true`; at a hub `false`, where a host may only add and the hub sees to it";
      };
    };

  repository = types.submodule ({ config, ... }: {
    options = {
      url = mkOption {
        type = types.str;
        example = "https://backup.example/q#hb1...";
        description = ''
          Where it lies: a directory; at a hub, `https://HUB/NAME` or `ssh://USER@HUB/NAME`; `sftp://USER@HOST:PORT/PATH` on another machine;
          `s3://BUCKET/PREFIX?...` in a bucket; or `opendal+SERVICE://...` at another service, which the package must be built for, such as by
          `pkgs.hearth-backup.override { services = [ "webdav" ]; }` (`docs/stores.md` has the parameters of each). `#hb1...` at the end says which
          repository it must be (`hearth-backup init` prints it).
        '';
      };
      token = own.secret ''
        What the hub knows this host by, for `https://`: whoever runs the hub made it by `hearth-backup hub token new` or `hub token add`. A job needs one of a
        writer; keeping house there, one of a maintainer; a mirror, one of a reader where it copies from and of a maintainer where it copies to.
      '';
      allowPlainHttp = own.flag false ''
        Speak to a hub on another machine by `http://`. Whoever listens on the way learns the token: for a line that is protected otherwise, such as by
        WireGuard.
      '';
      credentials = own.secret ''
        The access key of the bucket, for `s3://`: a file like `~/.aws/credentials`, or with lines `AWS_ACCESS_KEY_ID=...` and
        `AWS_SECRET_ACCESS_KEY=...`. For `opendal+`, lines with the secret options of its service. Without it the unit has only what you put into its
        environment.
      '';
      connections = own.maybe (types.ints.between 1 256) "How many requests the bucket or service gets at the same time; 8 if absent." { example = 16; };
      limitUpload = own.maybe own.byteSize "How many bytes may be written to it in a second, by each service." { example = "10MB"; };
      limitDownload = own.maybe own.byteSize "How many bytes may be read from it in a second." { example = "50MB"; };
      identity = own.secret "The private key of SSH, for `ssh://` and `sftp://`. Without it `ssh` takes what it finds, such as root's own keys.";
      knownHosts = mkOption {
        type = types.lines;
        default = "";
        example = "[friend.example]:2222 ssh-ed25519 AAAAC3Nz...";
        description = ''
          The host keys of its server, for `ssh://` and `sftp://`, as `ssh-keyscan -p 2222 friend.example` prints them: lines of
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
      forget = unlessAtHub config.url (keeping "forgets snapshots by the retention of its jobs" "04:00");
      prune = unlessAtHub config.url (keeping "gives back the space of what no snapshot needs" "Sun 04:30") // {
        grace = own.maybe types.str "How long what is no longer needed stays before it is deleted; `24h` if absent." { example = "3d"; };
        maxUnused = own.maybe (types.ints.between 0 100) "How much of the packs that stay may be unused, in percent; 10 if absent." { };
      };
      notify = own.notify "what becomes of keeping house there. If nobody is named here or for all, those are told whom the jobs name that go there";
      check = keeping "checks that everything is there and whole" "Sat 04:30" // {
        readPacks = own.maybe (types.ints.between 0 100) ''
          How much of what is stored is read each time, in percent, another part each day; with 0, the default, only that all is there.
        '' { example = 10; };
      };
    };
  });
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
