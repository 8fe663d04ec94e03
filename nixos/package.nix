# The package. Its unit tests run with each build; `checks.package` in the flake runs all tests, with the servers that they need.
{
  lib,
  rustPlatform,
  rustc,
  cmake,
  installShellFiles,
  stdenv,
  # Features for services beside directories, hubs, SFTP and buckets: "webdav", "gcs", "azure".
  services ? [ ],
  # What the build is made of; the repository by default.
  src ? lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../src
      ../benches
      ../docs
      ../README.md
    ];
  },
}:
let
  manifest = (lib.importTOML ../Cargo.toml).package;
in
rustPlatform.buildRustPackage {
  pname = manifest.name;
  inherit (manifest) version;
  inherit src;
  cargoLock.lockFile = ../Cargo.lock;
  nativeBuildInputs = [
    cmake
    installShellFiles
  ];
  # cmake is for a crate, not for us.
  dontUseCmakeConfigure = true;
  cargoTestFlags = [ "--lib" ];
  buildFeatures = services;
  # The bucket's server of the tests needs this compiler, which nixos-25.11 does not have; the program does not.
  doCheck = lib.versionAtLeast rustc.version "1.92";
  # What was built cannot run here if it is for another machine.
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
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
}
