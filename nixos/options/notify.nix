# Who is told what becomes of runs, and of what: the same for jobs, mirrors, repositories, the hub, and all of them.
{ own, lib }:
let
  inherit (lib) mkOption types;
  occasion = types.enum [ "start" "success" "warning" "failure" "recovery" ];
  on = own.maybe (types.listOf occasion) "Of what it is told, instead of what `on` says for all." { example = [ "failure" ]; };
  onOfWatchers =
    usual: own.maybe (types.listOf occasion) "Of what it is told; ${usual} if absent. A recovery is a success to it." { };
  warnings = own.maybe (types.enum [ "failure" "success" ]) "What a run with warnings counts as; a failure if absent, so that somebody looks." { };
  receiver = options: description: own.maybe (types.submodule { inherit options; }) description { };
  text = types.singleLineStr;
in
what: {
  enable = own.flag true "Whether anybody is told; `false` also where `services.hearth-backup.notify` names somebody.";
  on = own.maybe (types.listOf occasion) "Of what people are told: a list of `start`, `success`, `warning`, `failure` and `recovery`, which is the first good run after a failed one. Warnings, failures and recoveries if absent." {
    example = [ "failure" "recovery" ];
  };
  timeout = own.maybe types.str "How long it may take to tell a receiver, with all tries; a minute if absent." { example = "30s"; };
  ntfy = receiver {
    url = mkOption {
      type = types.str;
      example = "https://ntfy.example";
      description = "The server.";
    };
    topic = mkOption {
      type = types.str;
      example = "backups";
      description = "The topic.";
    };
    token = own.secret "The access token, if the topic needs one.";
    priority = own.maybe (types.ints.between 1 5) "How urgent a failure is; 4 if absent." { };
    priorities = mkOption {
      type = types.attrsOf (types.ints.between 1 5);
      default = { };
      example = {
        success = 1;
      };
      description = "How urgent something else is: a start and a success 2, a warning and a recovery 3 if absent.";
    };
    tags = own.listOf text "Further tags; ntfy shows those that are names of emoji as such." { };
    inherit on;
  } "Tell a topic of ntfy ${what}.";
  healthchecks = receiver {
    url = own.secret "The check's URL, such as `https://hc-ping.com/UUID`: whoever knows it can tell the check anything.";
    server = own.maybe types.str "Where a slug is known: `https://hc-ping.com` if absent." { example = "https://checks.example/ping"; };
    slug = own.maybe types.str "The check's slug, instead of `url`." { };
    pingKey = own.secret "The project's ping key, with `slug`.";
    create = own.flag false "Whether a check of the slug is made if there is none.";
    inherit warnings;
    on = onOfWatchers "starts, successes, warnings and failures";
  } "Tell a check of Healthchecks.io, or of a server that is like it, of every run.";
  uptimeKuma = receiver {
    url = own.secret "The push URL that Kuma shows, such as `https://kuma.example/api/push/TOKEN`.";
    inherit warnings;
    on = onOfWatchers "successes, warnings and failures";
  } "Tell a monitor of Uptime Kuma, of the type `Push`, of every run.";
  email = receiver {
    server = mkOption {
      type = types.str;
      example = "mail.example.org";
      description = "The mail server.";
    };
    port = own.maybe types.port "Its port; 587, 465 or 25, by `tls`, if absent." { };
    tls = own.maybe (types.enum [ "starttls" "implicit" "none" ]) "How the connection is protected: `starttls` if absent, `implicit` for TLS from the beginning, `none` only to this machine." { };
    allowPlain = own.flag false "Allow `tls = \"none\"` to another machine. Whoever listens reads the text, and the password.";
    caFile = own.maybe (types.either types.path types.str) "Certificates (PEM) that sign the server's, besides those that the system trusts." { };
    user = own.maybe types.str "The name to log in with." { };
    password = own.secret "The password, with `user`.";
    from = mkOption {
      type = text;
      example = "Backups <backup@example.org>";
      description = "Who writes.";
    };
    to = mkOption {
      type = types.nonEmptyListOf text;
      example = [ "me@example.org" ];
      description = "Who gets it.";
    };
    inherit on;
  } "Write to people ${what}.";
  webhook = receiver {
    url = own.maybe types.str "Where to, if the URL is no secret. In it, as in `headers`, `json` and `body`, `{title}`, `{text}` and others stand for what there is to tell: see `docs/notifications.md`." { };
    secretUrl = own.secret "Where to, if whoever knows the URL may use it.";
    method = own.maybe (types.enum [ "GET" "POST" "PUT" ]) "How it is asked; `POST` if absent." { };
    headers = mkOption {
      type = types.attrsOf text;
      default = { };
      description = "Headers, by name.";
    };
    secretHeaders = mkOption {
      type = types.attrsOf own.secretType;
      default = { };
      example = lib.literalExpression "{ Authorization.age = ./hook-header.age; }";
      description = "Headers whose values are secrets.";
    };
    json = own.maybe types.raw "The body as JSON, in whose texts `{title}` and others are replaced. All there is to tell if there is neither this nor `body`." {
      example = {
        content = "**{title}**\n{text}";
      };
    };
    body = own.maybe types.str "The body as plain text." { };
    longestText = own.maybe types.ints.positive "Most bytes of `{text}`; 3800 if absent." { example = 1900; };
    inherit on;
  } "Tell any other service that takes requests of HTTP ${what}.";
  command = own.maybe own.words "Run a program that gets the message on its standard input." { };
  units = own.listOf types.str "Units of yours that are started when a run has failed (`OnFailure=`)." { example = [ "alert@%n.service" ]; };
}
