# The page of all options, docs/nixos-options.md, from their declarations: tests/nixos/evaluation/run compares it.
{
  lib,
  # A host with the module and nothing else.
  host,
}:
let
  inherit (lib) concatMapStrings optionalString;
  prefix = "services.hearth-backup.";
  options = lib.filter (option: !option.internal && option.visible && lib.hasPrefix prefix option.name) (
    lib.optionAttrSetToDocList (lib.getAttrFromPath [ "services" "hearth-backup" ] host.options)
  );
  text = value: if value._type or "" == "literalMD" then value.text else "`${lib.trim (lib.replaceStrings [ "\n" ] [ " " ] value.text)}`";
  # Roles of the NixOS manual, such as {manpage}`x(5)`, are only its own.
  plain = description: lib.replaceStrings [ "{manpage}" "{option}" ] [ "" "" ] (lib.trim (description.text or description));
  lines = value: lib.splitString "\n" value;
  one =
    option:
    let
      example = option.example.text or "";
    in
    ''
      ### `${lib.removePrefix prefix option.name}`

      ${plain option.description}

      - type: ${lib.replaceStrings [ "\n" ] [ " " ] option.type}
    ''
    + optionalString (option ? default) "- default: ${text option.default}\n"
    + optionalString option.readOnly "- read only\n"
    + optionalString (option ? example) (
      if lib.length (lines example) == 1 then "- example: `${example}`\n" else "- example:\n\n  ```nix\n${concatMapStrings (line: "  ${line}\n") (lines example)}  ```\n"
    )
    + "\n";
  under = name: lib.filter (option: lib.hasPrefix "${prefix}${name}" option.name) options;
  other = lib.filter (option: !lib.any (name: lib.hasPrefix "${prefix}${name}" option.name) [ "drills" "jobs" "mirrors" "repositories" ]) options;
in
''
  # Options of `services.hearth-backup`

  Made from the module; how they work together is in [nixos.md](nixos.md).

  ## The host

''
+ concatMapStrings one other
+ "## Repositories\n\n"
+ concatMapStrings one (under "repositories")
+ "## Mirrors\n\n"
+ concatMapStrings one (under "mirrors")
+ "## Jobs\n\n"
+ concatMapStrings one (under "jobs")
+ "## Drills\n\n"
+ concatMapStrings one (under "drills")
