# A host saves to its own disk, to a bucket and to a friend, and a mirror of the disk lies in the bucket too. The host burns, and a new one
# gets everything back from each. The server's key in far-copies/ is nobody's: the host must know it before there is a server.
{
  name = "hearth-backup-far-copies";

  nodes = {
    # The bucket's service: Garage, alone on one disk.
    bucket =
      { pkgs, ... }:
      {
        environment.systemPackages = [ pkgs.garage_2 ];
        environment.etc."garage.toml".text = ''
          metadata_dir = "/var/lib/garage/meta"
          data_dir = "/var/lib/garage/data"
          db_engine = "sqlite"
          replication_factor = 1
          rpc_bind_addr = "127.0.0.1:3901"
          rpc_public_addr = "127.0.0.1:3901"
          rpc_secret = "0000000000000000000000000000000000000000000000000000000000000000"
          [s3_api]
          s3_region = "garage"
          api_bind_addr = "0.0.0.0:3900"
        '';
        systemd.services.garage = {
          wantedBy = [ "multi-user.target" ];
          serviceConfig = {
            ExecStart = "${pkgs.garage_2}/bin/garage server";
            StateDirectory = "garage";
          };
        };
        networking.firewall.allowedTCPPorts = [ 3900 ];
        virtualisation.memorySize = 1024;
      };

    # An account that sees nothing but its own directory, as docs/stores.md has it.
    friend = {
      services.openssh = {
        enable = true;
        extraConfig = ''
          Match User q
            ChrootDirectory /srv/backup
            ForceCommand internal-sftp
            AllowTcpForwarding no
        '';
      };
      # Made for this test, like the keys of nixpkgs' nixos/tests/ssh-keys.nix: nothing else trusts it.
      environment.etc."ssh/ssh_host_ed25519_key" = {
        source = ./far-copies/host_key;
        mode = "0600";
      };
      users.users.q.isNormalUser = true;
      systemd.tmpfiles.rules = [
        "d /srv/backup 0755 root root -"
        "d /srv/backup/q 0700 q users -"
      ];
    };

    host =
      { lib, ... }:
      {
        imports = [ ./common/host.nix ];
        services.hearth-backup = {
          host = "q";
          policy.require321 = true;
          repositories = {
            disk.copy.media = "disk";
            cloud = {
              url = "s3://backups/direct?provider=garage&endpoint=http://bucket:3900";
              writerKey.file = "/root/cloud-writer.key";
              credentials.file = "/root/bucket.credentials";
              connections = 4;
              copy = {
                media = "cloud";
                offsite = true;
              };
            };
            friend = {
              url = "sftp://q@friend/q/vault";
              writerKey.file = "/root/friend-writer.key";
              identity.file = "/root/friend.id";
              knownHosts = "friend ${lib.readFile ./far-copies/host_key.pub}";
              copy = {
                media = "disk";
                offsite = true;
              };
            };
            copy = {
              url = "s3://backups/mirror?provider=garage&endpoint=http://bucket:3900";
              credentials.file = "/root/bucket.credentials";
              copy.media = "cloud";
            };
          };
          jobs.state = {
            paths = [ "/var/lib/app" ];
            repositories = [ "cloud" "friend" ];
            retention.daily = 7;
          };
          mirrors.far = {
            from = "disk";
            to = "copy";
            prune = true;
            verify = 100;
            notify.units = [ "told.service" ];
          };
        };
        systemd.services.told = {
          script = "touch /run/told";
          serviceConfig.Type = "oneshot";
        };
        users.users.app = {
          isSystemUser = true;
          uid = 777;
          group = "app";
        };
        users.groups.app.gid = 777;
      };

    new = {
      imports = [ ./common/host.nix ];
      services.hearth-backup.jobs.state.paths = [ "/var/lib/app" ];
    };
  };

  testScript =
    builtins.readFile ./common/prelude.py
    + ''
      friend_is = "friend ${builtins.replaceStrings [ "\n" ] [ "" ] (builtins.readFile ./far-copies/host_key.pub)}"
    ''
    + builtins.readFile ./far-copies.py;
}
