# A hub on this host: the server that keeps the backups of others.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };
  cfg = config.services.hearth-backup;

  quota = what: own.maybe own.byteSize "How many bytes ${what} may take; an upload that does not fit is refused before it begins.";
  quotaObjects = what: own.maybe types.ints.unsigned "How many objects ${what} may have." { };
  retention =
    what:
    own.retention "Which snapshots stay in each group of ${what}, by the time at which the hub received them, whatever a host says its time was.";

  address = types.strMatching "[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*|/.+" // {
    description = "IP address, or absolute path of a socket";
  };

  causes = [
    "silent"
    "failing"
    "warnings"
    "suspicious"
    "integrity"
    "upkeep"
    "mirror"
    "unverified"
    "untried"
    "quota"
    "disk"
  ];

  host = types.submodule ({ name, ... }: {
    options = {
      tokenHash = own.maybe types.singleLineStr ''
        What the hub knows of the token: `hearth-backup hub token new` prints a token, which the host gets, and this. It is no secret: nobody can
        make the token of it.
      '' { example = "hbh_..."; };
      token = own.secret "A file with that hash, for those who would rather not show who comes.";
      sshKeys = own.listOf types.singleLineStr ''
        SSH public keys that come as this host by `ssh://hearth-backup-hub@HUB/REPOSITORY`, without a token, and can do nothing else on this machine. It needs
        `services.openssh.enable`.
      '' { example = [ "ssh-ed25519 AAAA... q" ]; };
      role = mkOption {
        type = types.enum [ "writer" "reader" "maintainer" "viewer" "operator" ];
        default = "writer";
        description = ''
          What the token permits. `writer`: adds backups to its repository, for a host. `reader`: reads a repository. `maintainer`: does everything in it,
          `init` among it. `viewer` sees the state of all hosts, `operator` may also start their jobs; these two see nothing of any repository.
        '';
      };
      repository = mkOption {
        type = types.nullOr types.str;
        default = name;
        defaultText = lib.literalMD "the name";
        example = "q";
        description = ''
          The repository. Hosts with one of their own need not trust each other; several in one deduplicate against each other. Of no meaning for
          `viewer` and `operator`.
        '';
      };
      quota = quota "its repository" { example = "200G"; };
      quotaObjects = quotaObjects "its repository";
      retention = retention "its repository; `retention.default` if absent";
    };
  });

  repository = types.submodule {
    options = {
      quota = quota "it" { example = "1T"; };
      quotaObjects = quotaObjects "it";
      retention = retention "it; `retention.default` if absent";
    };
  };

  mirror = types.submodule {
    options = {
      enable = own.flag true "Whether there is such a mirror.";
      url = mkOption {
        type = types.str;
        example = "s3://family-backups/{repository}?provider=b2&region=us-west-004";
        description = ''
          Where to, with `{repository}` for the repository's name: a directory, `https://HUB/...` or `ssh://USER@HUB/...` at another hub, `sftp://`,
          `s3://` or `opendal+SERVICE://`, as in `repositories.<name>.url`. A directory must belong to the user `hearth-backup-hub`.
        '';
      };
      repositories = own.maybe (types.nonEmptyListOf types.str) "Only these; all if absent." { example = [ "q" ]; };
      schedule = own.schedule "03:00" "When it is brought up to date. `systemctl start hearth-backup-hub-mirror-<name>` does it at any time.";
      randomizedDelay = own.randomizedDelay "15min";
      persistent = own.flag true "Whether a time at which the host was off is made up for when it starts.";
      credentials = own.secret "The access key of its bucket, or the secret options of its service, as in `repositories.<name>.credentials`.";
      identity = own.secret "The private key of SSH, for `ssh://` and `sftp://`. Without it `ssh` takes what it finds, in `.ssh` of the hub's directory.";
      token = own.secret "The token for another hub, for `https://`: one of a maintainer there.";
      knownHosts = mkOption {
        type = types.lines;
        default = "";
        example = "friend.example ssh-ed25519 AAAAC3Nz...";
        description = "The host keys of its server, for `ssh://` and `sftp://`, as `ssh-keyscan` prints them. A server that is not known is refused.";
      };
      limitUpload = own.maybe own.byteSize "How many bytes may be written there in a second." { example = "2MB"; };
      retention = own.retention "What stays there, whatever the hub keeps; all that it was ever brought if absent.";
      prune = own.flag false "Whether space is given back there afterwards.";
      verify = mkOption {
        type = types.ints.between 0 100;
        default = 0;
        example = 3;
        description = "How much of it is read back and hashed each time, in percent, another part each day.";
      };
      media = own.maybe types.str "The kind of media that it lies on, in a word of yours: zfs, usb, cloud. The hub's page counts copies by it." {
        example = "cloud";
      };
      offsite = own.flag false "Whether it lies where a fire or a thief would not reach it together with the hub.";
      limits = {
        inherit (own) memory time;
      };
    };
  };
in
{
  options.services.hearth-backup.hub = {
    enable = lib.mkEnableOption "a hub, which keeps the backups of other hosts and cannot read them. It needs neither `services.hearth-backup.enable` nor jobs";

    dataDir = mkOption {
      type = own.absolutePath;
      default = "${if cfg.persistRoot == null then "" else cfg.persistRoot}/var/lib/hearth-backup-hub";
      defaultText = lib.literalExpression ''"''${persistRoot}/var/lib/hearth-backup-hub"'';
      example = "/tank/hearth";
      description = ''
        Where it keeps everything: repositories below `repositories`, tokens and reports. It belongs to the user `hearth-backup-hub`, and so must everything in
        it: `hearth-backup-hub` in a root shell is `hearth-backup hub` as that user.
      '';
    };

    listen = mkOption {
      type = types.listOf address;
      default = if cfg.hub.nginx.virtualHost == null then [ "127.0.0.1" ] else [ ];
      defaultText = lib.literalMD "`[ \"127.0.0.1\" ]`; none with `nginx.virtualHost`";
      example = [ "0.0.0.0" "::" ];
      description = ''
        Addresses at which it listens, at `port`, and paths of sockets for a proxy on this host. Those that other machines reach need `tls` or
        `plainHttp`. An address may come up later than the hub, as one of WireGuard does.
      '';
    };
    port = mkOption {
      type = types.port;
      default = 8420;
      description = "The port.";
    };
    socketGroup = own.maybe types.str "Who may use sockets with a path, such as a proxy's group; only root and nginx, as which `nginx.virtualHost` comes, if absent." {
      example = "caddy";
    };
    openFirewall = own.flag false "Whether the firewall lets others reach the port.";
    plainHttp = own.flag false ''
      Listen without TLS at addresses that other machines reach, for lines that are protected otherwise, such as by WireGuard. Hosts then need
      `allowPlainHttp`.
    '';
    tls = {
      certificate = own.maybe own.absolutePath ''
        The certificate in PEM, with those between it and its authority, if the hub speaks TLS itself and not through a proxy. Both files are read again
        when they change, and the user `hearth-backup-hub` must be able to read them: with ACME,
        `users.users.hearth-backup-hub.extraGroups = [ "acme" ]`.
      '' { example = "/var/lib/acme/backup.fort.example/fullchain.pem"; };
      key = own.maybe own.absolutePath "Its key in PEM." { example = "/var/lib/acme/backup.fort.example/key.pem"; };
    };
    nginx.virtualHost = own.maybe types.str ''
      Answer as this virtual host of nginx, over a socket that only nginx can use. Bodies of any size pass without being kept. Certificates are
      for your own options, such as `services.nginx.virtualHosts.<name>.enableACME` and `forceSSL`.
    '' { example = "backup.fort.example"; };
    openStatus = own.flag false "Show the page, the status and metrics without a token: behind a proxy that asks who it is, or in a network that may see them.";

    hosts = mkOption {
      type = types.attrsOf host;
      default = { };
      example = lib.literalExpression ''
        {
          q = {
            tokenHash = "hbh_...";
            quota = "200G";
          };
          admin = {
            tokenHash = "hbh_...";
            role = "maintainer";
            repository = "q";
          };
        }
      '';
      description = "Hosts and people who may come, by name. `hearth-backup-hub token add` lets in others, without a change here.";
    };

    repositories = mkOption {
      type = types.attrsOf repository;
      default = { };
      description = "What is special about repositories, by name, where it is not said at the host; such as of one that several hosts share.";
    };

    quota = quota "each repository" { example = "500G"; };
    quotaObjects = quotaObjects "each repository";
    quotaWarning = own.maybe (types.ints.between 0 100) "How much of a quota may be used before hosts and people are warned, in percent; 80 if absent." { };

    retention.default = retention "each repository; all if absent";
    maxForget = own.maybe (types.ints.between 0 100) "How much of a group one run may forget, in percent; 90 if absent. It stops rather than forget more." { };
    prune = {
      grace = own.maybe types.str "How long what is no longer needed stays before it is deleted; `24h` if absent." { example = "3d"; };
      maxUnused = own.maybe (types.ints.between 0 100) "How much of the packs that stay may be unused, in percent; 10 if absent." { };
    };
    verifyWithin = own.maybe types.str "In which time every stored byte is read and hashed once; `30d` if absent, never with `0d`." { example = "60d"; };
    keepReports = own.maybe types.str "How long reports of hosts' runs stay; `400d` if absent." { };
    maintenance = {
      schedule = own.schedule "04:30" "When the hub forgets, prunes and verifies. `systemctl start hearth-backup-hub-maintain` does it at any time.";
      randomizedDelay = own.randomizedDelay "15min";
      limits = {
        inherit (own) memory time;
      };
    };

    mirrors = mkOption {
      type = types.attrsOf mirror;
      default = { };
      example = lib.literalExpression ''
        {
          cloud = {
            url = "s3://family-backups/{repository}?provider=b2&region=us-west-004";
            credentials.age = ./b2.age;
            retention = { daily = 7; monthly = 12; };
            prune = true;
            offsite = true;
          };
        }
      '';
      description = "Copies of the repositories in other places, by name. Each becomes `hearth-backup-hub-mirror-<name>.service` and `.timer`.";
    };

    notify = own.notify "what becomes of maintenance and mirrors";
    watch = {
      schedule = own.schedule "*:0/5" ''
        When the hub looks what has become wrong, and what is right again, and tells it to those in `notify`, if there is anybody: among it that a host has been
        silent when a run of it was due.
      '';
      tell = own.maybe (types.listOf (types.enum causes)) "Of what; of all if absent. Hosts that tell of their failures by themselves cannot tell that they are silent." {
        example = [ "silent" "mirror" "disk" ];
      };
      drillWithin = own.maybe types.str "In which time a restore from each repository shall have been tried; nobody is told of it if absent." {
        example = "35d";
      };
    };

    settings = mkOption {
      type = types.attrs;
      readOnly = true;
      description = "The engine's configuration of the hub as these options make it, see `docs/hub.md`. It has no secrets.";
    };
  };
}
