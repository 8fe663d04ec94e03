# Assertions and warnings of drills: each says which option, what is wrong, and what to write instead.
{ config, lib, ... }:
let
  own = import ./lib.nix { inherit lib; };
  cfg = config.services.hearth-backup;
  drills = lib.filterAttrs (_: drill: drill.enable) cfg.drills;
  jobs = lib.filterAttrs (_: job: job.enable) cfg.jobs;
  mirrors = lib.filterAttrs (_: mirror: mirror.enable) cfg.mirrors;
  quoted = names: own.enumerate (map (name: "`${name}`") names);
  say = path: text: "services.hearth-backup.${path}: ${text}";
  unless = condition: path: text: {
    assertion = condition;
    message = say path text;
  };
  isKnown = repository: cfg.repositories ? ${repository};

  ofDrill =
    name: drill:
    let
      at = "drills.${name}";
      inherit (drill) amount;
      servers = lib.filter (server: drill.${server} != null) [ "postgresql" "mariadb" ];
      strangers = known: asked: lib.filter (one: !lib.elem one known) (lib.attrNames asked);
    in
    [
      (unless (own.isGoodName name) at own.goodName)
      (unless (isKnown drill.repository) "${at}.repository" "there is no repository `${drill.repository}`; ${own.suggest drill.repository (lib.attrNames cfg.repositories)}")
      (unless (
        !lib.isAttrs amount || (amount.files == null) != (amount.paths == null)
      ) "${at}.amount" "says either how many `files` or which `paths`; to restore everything leave it out.")
      (unless (
        amount != "databases" || servers != [ ] || drill.sqlite != null
      ) "${at}.amount" "is `databases`, but there is no `postgresql`, `mariadb` or `sqlite`; nothing would be tested.")
      (unless (!drill.fullHost || amount == "everything") "${at}.amount" "must be `everything` for a whole host (`fullHost`); leave it out.")
      (unless (drill.scratch == null || drill.tmpfs == null) "${at}.scratch" "and `tmpfs` are two answers to one question; leave one out.")
      (unless (drill.scratch == null || !own.isWithin builtins.storeDir drill.scratch) "${at}.scratch" "`${toString drill.scratch}` lies in the store, where nothing can be written.")
      (unless (
        drill.sqlite == null || drill.sqlite.databases != [ ] || drill.sqlite.discover
      ) "${at}.sqlite.databases" "names none; `discover = true` opens those among the restored files.")
      (
        let
          unasked = if drill.sqlite == null then [ ] else strangers drill.sqlite.databases drill.sqlite.assertions;
        in
        unless (unasked == [ ]) "${at}.sqlite.assertions" "${quoted unasked} is not among `databases`; nobody would ask it."
      )
    ]
    ++ map (
      server:
      let
        options = drill.${server};
        unasked = if options.databases == "all" then [ ] else strangers options.databases options.assertions;
      in
      unless (unasked == [ ]) "${at}.${server}.assertions" "${quoted unasked} is not among `databases`; ${own.suggest (lib.head unasked) options.databases}"
    ) servers;

  # Where jobs of this host have their data: their repositories, and what mirrors bring elsewhere.
  places = lib.filter isKnown (lib.unique (lib.concatMap (own.reachedFrom mirrors) (lib.concatMap (job: job.repositories) (lib.attrValues jobs))));
  untried = lib.filter (place: !lib.any (drill: drill.repository == place) (lib.attrValues drills)) places;
in
{
  config = lib.mkIf cfg.enable {
    assertions = lib.concatLists (lib.mapAttrsToList ofDrill drills);
    warnings = lib.optional (untried != [ ] && cfg.policy.restoresTestedBy == null) (
      say "drills" "nothing tries a restore from ${quoted untried}, and what was never restored may not be a backup. Let a machine that has a restore key do it, by `drills.<name>.repository = \"${
        lib.head (untried ++ [ "" ])
      }\"`, and say here which in `policy.restoresTestedBy`, such as \"drills on vault, monthly\", or who does it by hand."
    );
  };
}
