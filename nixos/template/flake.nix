{
  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    hearth-backup = {
      url = "github:hearth-backup/hearth-backup";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    agenix = {
      url = "github:ryantm/agenix";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    {
      nixpkgs,
      hearth-backup,
      agenix,
      ...
    }:
    {
      nixosConfigurations.q = nixpkgs.lib.nixosSystem {
        system = "x86_64-linux";
        modules = [
          hearth-backup.nixosModules.default
          agenix.nixosModules.default
          ./host.nix
          ./backup.nix
          # ./at-hub.nix # once there is a hub
        ];
      };
      # If you have another machine to keep the backups of all.
      nixosConfigurations.hub = nixpkgs.lib.nixosSystem {
        system = "x86_64-linux";
        modules = [
          hearth-backup.nixosModules.default
          ./hub-host.nix
          ./hub.nix
        ];
      };
    };
}
