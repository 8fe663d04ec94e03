# services.hearth-backup: backups declared in a host's configuration.
#
#   options/*  -->  resolve.nix: presets and discovery  -->  settings.nix: the engine's configuration file  --+--> units.nix + hardening.nix
#                     `--> coverage                          secrets.nix: credentials  ----------------------+
#                   policy.nix: assertions and warnings      persistence.nix: where state lies
{
  imports = [
    ./options/host.nix
    ./options/repositories.nix
    ./options/jobs.nix
    ./options/mirrors.nix
    ./resolve.nix
    ./settings.nix
    ./secrets.nix
    ./units.nix
    ./persistence.nix
    ./policy.nix
  ];
}
