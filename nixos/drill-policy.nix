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
  hub = cfg.hub;
  testedBy = cfg.policy.restoresTestedBy;
  # Somebody says who tries it; one text is for everything.
  isSpokenFor = place: lib.isString testedBy || lib.isAttrs testedBy && testedBy ? ${place};

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
      (unless (drill.mirror == null || own.isHubName drill.mirror) "${at}.mirror" "`${toString drill.mirror}` cannot be a mirror of a hub: names there are 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit.")
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
  untried = lib.filter (place: !isSpokenFor place && !lib.any (drill: drill.repository == place) (lib.attrValues drills)) places;

  # What a hub keeps, and brings elsewhere. Drills of this machine reach it by URLs that end with the name there.
  kept = own.keptAt hub;
  reaches = repository: drill: isKnown drill.repository && own.repositoryAt (lib.head (lib.splitString "?" cfg.repositories.${drill.repository}.url)) == repository;
  here = if cfg.enable then lib.attrValues drills else [ ];
  untriedAtHub = lib.filter (repository: !isSpokenFor repository && !lib.any (drill: drill.mirror == null && reaches repository drill) here) kept;
  isMirrorTried =
    name: mirror:
    let
      of = lib.filter (drill: drill.mirror == name) here;
      within = if mirror.repositories != null then mirror.repositories else kept;
    in
    # Tokens that are made by hand let in repositories of which nothing is known here.
    if within == [ ] then of != [ ] else lib.all (repository: lib.any (reaches repository) of) within;
  untriedMirrors = lib.attrNames (lib.filterAttrs (name: mirror: mirror.enable && !isSpokenFor name && !isMirrorTried name mirror) hub.mirrors);

  named = if lib.isAttrs testedBy then lib.attrNames testedBy else [ ];
  known = lib.optionals cfg.enable (lib.attrNames cfg.repositories) ++ lib.optionals hub.enable (kept ++ lib.attrNames hub.mirrors);
  strangers = lib.filter (name: !lib.elem name known) named;

  whoTries = "Let a machine that has a restore key do it, by";
  andSayWho = "and say here which in `policy.restoresTestedBy`, such as \"drills on vault, monthly\", or who does it by hand.";
in
{
  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = lib.concatLists (lib.mapAttrsToList ofDrill drills);
      warnings = lib.optional (untried != [ ]) (
        say "drills" "nothing tries a restore from ${quoted untried}, and what was never restored may not be a backup. ${whoTries} `drills.<name>.repository = \"${
          lib.head (untried ++ [ "" ])
        }\"`, ${andSayWho}"
      );
    })
    (lib.mkIf hub.enable {
      warnings =
        lib.optional (untriedAtHub != [ ]) (
          say "hub" "nothing tries a restore from ${quoted untriedAtHub}, which it keeps, and what was never restored may not be a backup. ${whoTries} `drills.<name>` there, ${andSayWho}"
        )
        ++ lib.optional (untriedMirrors != [ ]) (
          say "hub.mirrors" "nothing tries a restore from ${quoted untriedMirrors}: a mirror has keys and lines of its own, and a drill of the hub's repository says nothing of it. ${whoTries} `drills.<name>` there with `mirror = \"${
            lib.head (untriedMirrors ++ [ "" ])
          }\"`, ${andSayWho}"
        );
    })
    {
      warnings = lib.optional (strangers != [ ]) (
        say "policy.restoresTestedBy" "there is no repository or mirror ${quoted strangers} here; ${own.suggest (lib.head strangers) known}"
      );
    }
  ];
}
