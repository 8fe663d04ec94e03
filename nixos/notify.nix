# Who is told what becomes of runs: from options to the engine's words, credentials and units.
#
#   notify (of everything) <-- replaced by -- notify of a job, a mirror, a repository or the hub
{ lib }:
let
  inherit (lib) optional;
  orNull = condition: value: if condition then value else null;
  unlessEmpty = value: orNull (value != [ ] && value != { } && value != false) value;
  receivers = [ "ntfy" "healthchecks" "uptimeKuma" "email" "webhook" "command" ];

  # Whether somebody is told at all.
  tells = notify: lib.any (receiver: notify.${receiver} != null) receivers;
  # What they want to hear of who watch over runs, and people.
  usual = {
    healthchecks = [ "start" "success" "warning" "failure" ];
    uptimeKuma = [ "success" "warning" "failure" ];
  };
  forPeople = [ "warning" "failure" "recovery" ];
  onOf =
    notify: receiver:
    let
      own = notify.${receiver}.on or null;
      beside = if notify.on != null then notify.on else forPeople;
    in
    if own != null then own else usual.${receiver} or beside;
in
rec {
  inherit tells;

  # The one of two that is in force, and the name under which its secrets are known; `all` is that for everything.
  inForce =
    all: name: notify:
    if !notify.enable then
      {
        inherit name;
        notify = notify // lib.genAttrs receivers (_: null);
        units = [ ];
      }
    else
      {
        name = if tells notify then name else nameOfAll;
        notify = if tells notify then notify else all;
        units = if notify.units != [ ] then notify.units else all.units;
      };

  # A job cannot have it.
  nameOfAll = "notify-all";

  wants = notify: occasion: lib.any (receiver: notify.${receiver} != null && lib.elem occasion (onOf notify receiver)) receivers;

  # Secrets, by what follows the name: the option, and its value.
  secretsOf =
    notify:
    let
      of =
        receiver: option: word:
        optional (notify.${receiver} != null && notify.${receiver}.${option} != null) {
          inherit word;
          option = "${receiver}.${option}";
          secret = notify.${receiver}.${option};
        };
    in
    of "ntfy" "token" "ntfy-token"
    ++ of "healthchecks" "url" "healthchecks-url"
    ++ of "healthchecks" "pingKey" "healthchecks-ping-key"
    ++ of "uptimeKuma" "url" "uptime-kuma-url"
    ++ of "email" "password" "email-password"
    ++ of "webhook" "secretUrl" "webhook-url"
    ++ lib.optionals (notify.webhook != null) (
      lib.mapAttrsToList (header: secret: {
        word = "webhook-header-${header}";
        option = "webhook.secretHeaders.${header}";
        inherit secret;
      }) notify.webhook.secretHeaders
    );

  # As the engine has it; null if there is nothing to say.
  settingsOf =
    name: notify:
    let
      credential = receiver: option: word: orNull (notify.${receiver}.${option} != null) "credential:${name}-${word}";
      # Of what it is told.
      table = receiver: values: orNull (notify.${receiver} != null) (values // { inherit (notify.${receiver}) on; });
    in
    if !notify.enable then
      { on = [ ]; }
    else
      orNull (tells notify) {
        inherit (notify) on timeout command;
        ntfy = table "ntfy" {
          inherit (notify.ntfy) url topic priority;
          priorities = unlessEmpty notify.ntfy.priorities;
          tags = unlessEmpty notify.ntfy.tags;
          tokenFile = credential "ntfy" "token" "ntfy-token";
        };
        healthchecks = table "healthchecks" {
          inherit (notify.healthchecks) server slug warnings;
          create = unlessEmpty notify.healthchecks.create;
          urlFile = credential "healthchecks" "url" "healthchecks-url";
          pingKeyFile = credential "healthchecks" "pingKey" "healthchecks-ping-key";
        };
        uptimeKuma = table "uptimeKuma" {
          inherit (notify.uptimeKuma) warnings;
          urlFile = credential "uptimeKuma" "url" "uptime-kuma-url";
        };
        email = table "email" {
          inherit (notify.email) server port tls user from to;
          caFile = orNull (notify.email.caFile != null) (toString notify.email.caFile);
          allowPlain = unlessEmpty notify.email.allowPlain;
          passwordFile = credential "email" "password" "email-password";
        };
        webhook = table "webhook" {
          inherit (notify.webhook) url method json body longestText;
          urlFile = credential "webhook" "secretUrl" "webhook-url";
          headers = unlessEmpty notify.webhook.headers;
          headerFiles = lib.mapAttrs (header: _: "credential:${name}-webhook-header-${header}") notify.webhook.secretHeaders;
        };
      };
}
