{
  description = "hearth-backup: fast, small, trustworthy backups for self-hosted machines";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    # For the tests only.
    agenix = {
      url = "github:ryantm/agenix";
      inputs = {
        nixpkgs.follows = "nixpkgs";
        darwin.follows = "";
        home-manager.follows = "";
        systems.follows = "";
      };
    };
  };

  outputs =
    {
      self,
      nixpkgs,
      agenix,
    }:
    let
      inherit (nixpkgs) lib;
      eachSystem =
        make:
        lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: make nixpkgs.legacyPackages.${system});
      packagesOf = pkgs: self.packages.${pkgs.stdenv.hostPlatform.system};

      # The programs that tests call.
      testTools = pkgs: [
        pkgs.acl
        pkgs.age
        pkgs.attr
        pkgs.btrfs-progs
        pkgs.e2fsprogs
        pkgs.etcd
        pkgs.libcap
        pkgs.mariadb
        pkgs.openssh
        pkgs.postgresql
        pkgs.python3
        pkgs.redis
        pkgs.sqlite
        pkgs.xfsprogs
        pkgs.zstd
      ];

      # Each is a small .nix file with machines and a .py file with what is done on them.
      machineTests = [
        "agenix"
        "databases"
        "far-copies"
        "host-recovery"
        "hub"
        "hub-compromised-host"
        "hub-lost"
        "hub-mirrors"
        "impermanence"
        "interrupted"
        "monitoring"
        "local-repository"
        "snapshots"
        "upgrade"
      ];
    in
    {
      packages = eachSystem (pkgs: {
        default = pkgs.callPackage ./nixos/package.nix { };
        # One file that runs on any Linux, such as a friend's machine.
        static = pkgs.pkgsStatic.callPackage ./nixos/package.nix { };
      });

      overlays.default = final: _: { hearth-backup = final.callPackage ./nixos/package.nix { }; };

      nixosModules.default =
        { pkgs, ... }:
        {
          imports = [ ./nixos/module.nix ];
          services.hearth-backup.package = lib.mkDefault (packagesOf pkgs).default;
        };

      apps = eachSystem (pkgs: {
        default = {
          type = "app";
          program = lib.getExe (packagesOf pkgs).default;
          meta = { inherit ((packagesOf pkgs).default.meta) description; };
        };
      });

      templates.default = {
        path = ./nixos/template;
        description = "A host that is backed up to a disk, with its secrets, and a hub for several";
        welcomeText = "See README.md in this folder: from nothing to a restored file in ten minutes.";
      };

      devShells = eachSystem (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (packagesOf pkgs).default ];
          packages = testTools pkgs ++ [
            pkgs.cargo-deny
            pkgs.cargo-fuzz
            pkgs.clippy
            pkgs.rustfmt
            pkgs.shellcheck
          ];
        };
      });

      checks = eachSystem (
        pkgs:
        let
          package = (packagesOf pkgs).default;
          hosts = import ./tests/nixos/evaluation/evaluate.nix {
            inherit lib;
            hostOf =
              modules:
              import (nixpkgs + "/nixos/lib/eval-config.nix") {
                system = null;
                modules = modules ++ [
                  agenix.nixosModules.default
                  ./tests/nixos/evaluation/nixos.nix
                  { nixpkgs.pkgs = pkgs; }
                ];
              };
            render = import ./tests/nixos/evaluation/render.nix { inherit lib; };
          };
        in
        {
          package = package.overrideAttrs (previous: {
            src = lib.cleanSource self;
            cargoTestFlags = [ ];
            nativeCheckInputs = (previous.nativeCheckInputs or [ ]) ++ testTools pkgs;
          });
          clippy = package.overrideAttrs (previous: {
            src = lib.cleanSource self;
            nativeBuildInputs = previous.nativeBuildInputs ++ [ pkgs.clippy ];
            buildPhase = "cargo clippy --release --offline --all-targets -- -D warnings";
            installPhase = "touch $out";
          });
          module =
            pkgs.runCommand "hearth-backup-module"
              {
                nativeBuildInputs = [
                  (pkgs.python3.withPackages (python: [ python.jsonschema ]))
                  pkgs.systemd
                ];
                passAsFile = [ "hosts" ];
                hosts = builtins.unsafeDiscardStringContext (builtins.toJSON hosts);
              }
              ''
                cp -r ${lib.cleanSource self} tree
                python3 tree/tests/nixos/evaluation/check.py "$hostsPath" --program ${lib.getExe package}
                touch $out
              '';
        }
        // lib.genAttrs machineTests (
          name:
          pkgs.testers.runNixOSTest {
            imports = [ ./tests/nixos/${name}.nix ];
            defaults.imports = [
              self.nixosModules.default
              agenix.nixosModules.default
            ];
          }
        )
      );

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);
    };
}
