{
  description = "hearth-backup: fast, small, trustworthy backups for self-hosted machines";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      eachSystem =
        make:
        lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: make nixpkgs.legacyPackages.${system});
      manifest = (lib.importTOML ./Cargo.toml).package;

      # The programs that tests call.
      testTools = pkgs: [
        pkgs.acl
        pkgs.age
        pkgs.attr
        pkgs.libcap
        pkgs.openssh
        pkgs.python3
        pkgs.zstd
      ];
    in
    {
      packages = eachSystem (pkgs: {
        default = pkgs.rustPlatform.buildRustPackage {
          pname = manifest.name;
          inherit (manifest) version;
          src = lib.cleanSource self;
          cargoLock.lockFile = ./Cargo.lock;
          nativeBuildInputs = [
            pkgs.cmake
            pkgs.installShellFiles
          ];
          # cmake is for a crate, not for us.
          dontUseCmakeConfigure = true;
          # `checks` runs the tests; the sandbox lets them do less than a machine.
          doCheck = false;
          postInstall = ''
            for shell in bash fish zsh; do
              $out/bin/${manifest.name} completions "$shell" > ${manifest.name}.$shell
            done
            installShellCompletion ${manifest.name}.{bash,fish,zsh}
            $out/bin/${manifest.name} man manual
            installManPage manual/*
          '';
          meta = {
            inherit (manifest) description;
            homepage = manifest.repository;
            license = [
              lib.licenses.mit
              lib.licenses.asl20
            ];
            mainProgram = manifest.name;
            platforms = lib.platforms.linux;
          };
        };
      });

      devShells = eachSystem (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ self.packages.${pkgs.stdenv.hostPlatform.system}.default ];
          packages = testTools pkgs ++ [
            pkgs.cargo-deny
            pkgs.cargo-fuzz
            pkgs.clippy
            pkgs.rustfmt
            pkgs.shellcheck
          ];
        };
      });

      checks = eachSystem (pkgs: {
        tests = self.packages.${pkgs.stdenv.hostPlatform.system}.default.overrideAttrs (previous: {
          doCheck = true;
          nativeCheckInputs = (previous.nativeCheckInputs or [ ]) ++ testTools pkgs;
        });
      });

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);
    };
}
