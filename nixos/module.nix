# services.hearth-backup: backups declared in a host's configuration.
#
#   options/*  -->  resolve.nix: presets and discovery  -->  settings.nix: the engine's configuration file  --+--> units.nix + hardening.nix
#                     `--> coverage                          secrets.nix: credentials  ----------------------+
#                   policy.nix: assertions and warnings      persistence.nix: where state lies      parts.nix: what units have in common
#   drills.nix and drill-policy.nix: restores that this machine tries      host-parts.nix: what units of jobs and of drills have in common
#   monitoring.nix: metrics, and what a Prometheus and a Grafana here are told
#   agent.nix: starts jobs for a hub
#   hub.nix and hub-policy.nix: a hub on this host, by itself
{
  imports = [
    ./options/host.nix
    ./options/repositories.nix
    ./options/jobs.nix
    ./options/mirrors.nix
    ./options/drills.nix
    ./options/reporting.nix
    ./options/monitoring.nix
    ./options/hub.nix
    ./resolve.nix
    ./settings.nix
    ./secrets.nix
    ./units.nix
    ./drills.nix
    ./persistence.nix
    ./policy.nix
    ./drill-policy.nix
    ./monitoring.nix
    ./agent.nix
    ./hub.nix
    ./hub-policy.nix
  ];
}
