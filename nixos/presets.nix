# What of each NixOS service is worth saving, what of it is not, and what must stand still meanwhile.
#
#   NAME = config: {                         # NAME as in services.NAME; `config` is the host's configuration
#     enabled = true;                        # by default config.services.NAME.enable
#     paths = [ ];                           # its state, at its own place (not the persist root)
#     sqlite = true;                         # it keeps SQLite databases in its paths: copied as of one moment
#     postgresql = [ "db" ]; mysql = [ "db" ];   # databases on the host's own server, none if they are elsewhere
#     quiesce = [ "x.service" ];             # units to stop while a copy is taken, if files are not consistent otherwise
#     exclude = [ "/var/lib/x/cache/" ];     # caches, downloads and what is made anew; a `/` at the end for directories
#     units = [ "x.service" ];               # units to stop for a restore
#   };
#
# Options differ between releases, and a host without the service may have none of them: always `or` a default.
# Never name an option that a release renamed or removed, reading it warns or throws.
{ lib }:
let
  inherit (lib)
    concatMap
    elem
    filter
    filterAttrs
    hasPrefix
    optional
    optionals
    optionalString
    ;

  # --- paths --------------------------------------------------------------------------

  clean = path: lib.removeSuffix "/" (toString path);
  isWithin = dir: path: path == dir || hasPrefix "${dir}/" path;

  # Places of state, each once: nothing that another one contains, and nothing made at boot or in the store.
  state =
    paths:
    let
      made = [
        "/dev"
        "/nix"
        "/run"
        "/tmp"
        "/var/run"
      ];
      lasting = path: hasPrefix "/" path && !lib.any (dir: isWithin dir path) made;
      all = lib.unique (filter lasting (map clean (filter (path: path != null) paths)));
    in
    filter (path: !lib.any (dir: dir != path && isWithin dir path) all) all;

  # A directory named absolutely or below /var/lib.
  inVarLib = path: clean (if hasPrefix "/" path then path else "/var/lib/${path}");

  below = dir: map (entry: "${dir}/${entry}");

  # Directories to leave out, if they are in `dir`: what lies elsewhere is not this service's to decide.
  leftOut =
    dir: paths:
    map (path: "${path}/") (filter (isWithin dir) (map clean (filter (path: path != null) paths)));

  stateVersion = config: config.system.stateVersion or lib.trivial.release;

  # --- databases ----------------------------------------------------------------------

  # Whether a database's host is this one: a socket, a loopback address, or nothing said.
  isLocal =
    let
      here = builtins.match "/.*|localhost(:.*)?|127[.][0-9.]+(:.*)?|[[]?::1[]]?(:[0-9]+)?";
    in
    host: host == null || host == "" || here (toString host) != null;

  # The name of a database as a list, empty if it is not on this host's own server.
  pg =
    config: host: name:
    optional (name != null && isLocal host && (config.services.postgresql.enable or false)) name;
  my =
    config: host: name:
    optional (name != null && isLocal host && (config.services.mysql.enable or false)) name;

  # The same of SCHEME://USER:PASSWORD@HOST:PORT/NAME?host=SOCKET.
  ofUrl =
    schemes: of: config: url:
    let
      parts =
        if lib.isString url then
          builtins.match "(${schemes})([+][a-z0-9]+)?://([^/?]*@)?([^/?@]*)/([^/?]+)([?].*)?" url
        else
          null;
      query = builtins.elemAt parts 5;
      socket = if query == null then null else builtins.match ".*[?&]host=([^&]*).*" query;
      host = if socket == null then builtins.elemAt parts 3 else lib.head socket;
    in
    optionals (parts != null) (
      of config (lib.replaceStrings [ "%2F" ] [ "/" ] host) (builtins.elemAt parts 4)
    );
  pgUrl = ofUrl "postgres|postgresql" pg;
  myUrl = ofUrl "mysql|mariadb" my;

  # --- services that are alike ----------------------------------------------------------

  # Sonarr and its kin: posters are fetched again, their own backups would be saved twice.
  servarr =
    name: default: config:
    let
      cfg = config.services.${name} or { };
      dir = clean (cfg.dataDir or default);
      db = cfg.settings.postgres or { };
      inServer = (db.host or null) != null;
    in
    {
      paths = [ dir ];
      sqlite = !inServer;
      postgresql = optionals inServer (
        concatMap (pg config db.host) [
          (db.mainDb or db.maindb or "${name}-main")
          (db.logDb or db.logdb or "${name}-log")
        ]
      );
      exclude = below dir [
        "Backups/"
        "MediaCover/"
        "logs/"
        "logs.db*"
      ];
      units = [ "${name}.service" ];
    };

  # Gitea and its fork: indexes and queues (LevelDB) are made anew when they are missing.
  forge =
    name: config:
    let
      cfg = config.services.${name} or { };
      dir = clean (cfg.stateDir or "/var/lib/${name}");
      db = cfg.database or { };
      type = db.type or "sqlite3";
      host = if (db.socket or null) != null then db.socket else db.host or "127.0.0.1";
      database = db.name or name;
    in
    {
      paths = state [
        dir
        (cfg.customDir or null)
        (cfg.repositoryRoot or null)
        (cfg.lfs.contentDir or null)
        (if type == "sqlite3" then db.path or null else null)
      ];
      sqlite = type == "sqlite3";
      postgresql = optionals (type == "postgres") (pg config host database);
      mysql = optionals (type == "mysql") (my config host database);
      exclude =
        leftOut dir [
          (cfg.dump.backupDir or "${dir}/dump")
          (cfg.settings.log.ROOT_PATH or "${dir}/log")
        ]
        ++ below dir [
          "data/indexers/"
          "data/queues/"
          "data/repo-archive/"
          "data/tmp/"
        ];
      units = [ "${name}.service" ];
    };

  # Jellyseerr, of late Seerr.
  seerr = name: dir: {
    paths = [ (clean dir) ];
    sqlite = true;
    exclude = below (clean dir) [
      "cache/"
      "logs/"
    ];
    units = [ "${name}.service" ];
  };

  # --- the table ------------------------------------------------------------------------

  presets = {
    # Certificates can be ordered again, but not as often as one likes; the account's key cannot.
    acme = config: {
      enabled = config.security.acme.certs or { } != { };
      paths = [ "/var/lib/acme" ];
      units = [ ];
    };

    actual =
      config:
      let
        cfg = config.services.actual.settings or { };
      in
      {
        paths = state [
          (cfg.dataDir or "/var/lib/actual")
          (cfg.serverFiles or null)
          (cfg.userFiles or null)
        ];
        sqlite = true;
        units = [ "actual.service" ];
      };

    # Filter lists are fetched again; sessions and statistics are bbolt files that change all the time.
    adguardhome = config: {
      paths = [ "/var/lib/AdGuardHome" ];
      exclude = below "/var/lib/AdGuardHome/data" [
        "filters/"
        "sessions.db"
        "stats.db"
      ];
      units = [ "adguardhome.service" ];
    };

    # `dataDir` is a name below /var/lib. Libraries are known to the application only.
    audiobookshelf =
      config:
      let
        dir = inVarLib (config.services.audiobookshelf.dataDir or "audiobookshelf");
      in
      {
        paths = [ dir ];
        sqlite = true;
        exclude = below dir [
          "metadata/backups/"
          "metadata/cache/"
          "metadata/logs/"
          "metadata/streams/"
        ];
        units = [ "audiobookshelf.service" ];
      };

    authelia =
      config:
      let
        all = lib.mapAttrsToList (name: instance: { inherit name; } // instance);
        instances = filter (instance: instance.enable or false) (
          all (config.services.authelia.instances or { })
        );
        nameOf = instance: "authelia${optionalString (instance.name != "") "-${instance.name}"}";
        storage = instance: instance.settings.storage or { };
        # tcp://HOST:PORT or unix:///PATH
        host = server: lib.last (lib.splitString "://" (server.address or ""));
      in
      {
        enabled = instances != [ ];
        paths = state (
          concatMap (instance: [
            "/var/lib/${nameOf instance}"
            ((storage instance).local.path or null)
          ]) instances
        );
        sqlite = lib.any (instance: storage instance ? local) instances;
        postgresql = concatMap (
          instance:
          let
            server = (storage instance).postgres or null;
          in
          optionals (server != null) (pg config (host server) (server.database or "authelia"))
        ) instances;
        mysql = concatMap (
          instance:
          let
            server = (storage instance).mysql or null;
          in
          optionals (server != null) (my config (host server) (server.database or "authelia"))
        ) instances;
        units = map (instance: "${nameOf instance}.service") instances;
      };

    bazarr =
      config:
      let
        dir = clean (config.services.bazarr.dataDir or "/var/lib/bazarr");
      in
      {
        paths = [ dir ];
        sqlite = true;
        exclude = below dir [
          "backup/"
          "cache/"
          "log/"
        ];
        units = [ "bazarr.service" ];
      };

    # `dataDir` is absolute or a name below /var/lib. The library is saved too: it has a database of its own.
    calibre-web =
      config:
      let
        cfg = config.services.calibre-web or { };
      in
      {
        paths = state [
          (inVarLib (cfg.dataDir or "calibre-web"))
          (cfg.options.calibreLibrary or null)
        ];
        sqlite = true;
        units = [ "calibre-web.service" ];
      };

    # Databases are only ever appended to; indexes of views are made anew.
    couchdb =
      config:
      let
        cfg = config.services.couchdb or { };
        dir = clean (cfg.databaseDir or "/var/lib/couchdb");
      in
      {
        paths = state [
          dir
          (cfg.configFile or "/var/lib/couchdb/local.ini")
        ];
        exclude = [ "${dir}/.shards/" ];
        units = [ "couchdb.service" ];
      };

    # A memory-mapped database and its write-ahead log.
    etcd = config: {
      paths = [ (clean (config.services.etcd.dataDir or "/var/lib/etcd")) ];
      quiesce = [ "etcd.service" ];
      units = [ "etcd.service" ];
    };

    # Without the key of APP_KEY_FILE the database is not readable.
    firefly-iii =
      config:
      let
        cfg = config.services.firefly-iii or { };
        dir = clean (cfg.dataDir or "/var/lib/firefly-iii");
        settings = cfg.settings or { };
        type = settings.DB_CONNECTION or "sqlite";
        host = settings.DB_HOST or null;
        database = settings.DB_DATABASE or null;
      in
      {
        paths = state [
          dir
          (settings.APP_KEY_FILE or null)
        ];
        sqlite = type == "sqlite";
        postgresql = optionals (type == "pgsql") (pg config host database);
        mysql = optionals (type == "mysql") (my config host database);
        exclude = below dir [
          "cache/"
          "storage/framework/"
          "storage/logs/"
        ];
        units = [
          "phpfpm-firefly-iii.service"
          "firefly-iii-cron.timer"
          "firefly-iii-cron.service"
        ];
      };

    forgejo = forge "forgejo";

    freshrss =
      config:
      let
        cfg = config.services.freshrss or { };
        dir = clean (cfg.dataDir or "/var/lib/freshrss");
        db = cfg.database or { };
        type = db.type or "sqlite";
        pool = cfg.pool or "freshrss";
      in
      {
        paths = [ dir ];
        sqlite = type == "sqlite";
        postgresql = optionals (type == "pgsql") (
          pg config (db.host or null) (db.name or "freshrss")
        );
        mysql = optionals (type == "mysql") (my config (db.host or null) (db.name or "freshrss"));
        exclude = [ "${dir}/cache/" ];
        units = optional (pool != null) "phpfpm-${toString pool}.service" ++ [
          "freshrss-updater.timer"
          "freshrss-updater.service"
        ];
      };

    gitea = forge "gitea";

    grafana =
      config:
      let
        cfg = config.services.grafana or { };
        dir = clean (cfg.dataDir or "/var/lib/grafana");
        db = cfg.settings.database or { };
        type = db.type or "sqlite3";
      in
      {
        paths = state [
          dir
          (if type == "sqlite3" then db.path or null else null)
        ];
        sqlite = type == "sqlite3";
        postgresql = optionals (type == "postgres") (
          pg config (db.host or null) (db.name or "grafana")
        );
        mysql = optionals (type == "mysql") (my config (db.host or null) (db.name or "grafana"));
        exclude = below "${dir}/data" [
          "csv/"
          "log/"
          "pdf/"
          "png/"
        ];
        units = [ "grafana.service" ];
      };

    # Nodes trust the key beside the database.
    headscale =
      config:
      let
        cfg = config.services.headscale.settings or { };
        db = cfg.database or { };
        inServer = db.type or "sqlite" == "postgres";
      in
      {
        paths = state [
          "/var/lib/headscale"
          (if inServer then null else db.sqlite.path or null)
          (cfg.noise.private_key_path or null)
          (cfg.derp.server.private_key_path or null)
        ];
        sqlite = !inServer;
        postgresql = optionals inServer (
          pg config (db.postgres.host or null) (db.postgres.name or null)
        );
        units = [ "headscale.service" ];
      };

    # Before state version 21.03 it was called CodiMD.
    hedgedoc =
      config:
      let
        name = if lib.versionAtLeast (stateVersion config) "21.03" then "hedgedoc" else "codimd";
        cfg = config.services.hedgedoc.settings or { };
        db = cfg.db or { };
        url = cfg.dbURL or null;
        dialect = db.dialect or "sqlite";
        server =
          kinds: of:
          optionals (url == null && elem dialect kinds) (
            of config (db.host or null) (db.database or null)
          );
      in
      {
        paths = state [
          "/var/lib/${name}"
          (cfg.uploadsPath or null)
          (if url == null then db.storage or null else null)
        ];
        sqlite = url == null && dialect == "sqlite";
        postgresql =
          pgUrl config url
          ++ server [
            "postgres"
            "postgresql"
          ] pg;
        mysql =
          myUrl config url
          ++ server [
            "mysql"
            "mariadb"
          ] my;
        units = [ "hedgedoc.service" ];
      };

    # Its own backups are archives of the same files, and new ones every day.
    home-assistant =
      config:
      let
        cfg = config.services.home-assistant or { };
        dir = clean (cfg.configDir or "/var/lib/hass");
        url = cfg.config.recorder.db_url or null;
      in
      {
        paths = [ dir ];
        sqlite = true;
        postgresql = pgUrl config url;
        mysql = myUrl config url;
        exclude = below dir [
          "backups/"
          "deps/"
          "home-assistant.log*"
          "tts/"
        ];
        units = [ "home-assistant.service" ];
      };

    # Thumbnails and transcoded videos are made anew. It does not start without the file `.immich` in each directory.
    immich =
      config:
      let
        cfg = config.services.immich or { };
        dir = clean (cfg.mediaLocation or "/var/lib/immich");
      in
      {
        paths = [ dir ];
        postgresql = pg config (cfg.database.host or null) (cfg.database.name or "immich");
        exclude = below dir [
          "backups/*.sql.gz"
          "encoded-video/*/"
          "thumbs/*/"
        ];
        units = [
          "immich-server.service"
        ]
        ++ optional (cfg.machine-learning.enable or true) "immich-machine-learning.service";
      };

    # A bolt file and a storage engine with its write-ahead log.
    influxdb2 = config: {
      paths = [ "/var/lib/influxdb2" ];
      quiesce = [ "influxdb2.service" ];
      units = [ "influxdb2.service" ];
    };

    jellyfin =
      config:
      let
        cfg = config.services.jellyfin or { };
        dir = clean (cfg.dataDir or "/var/lib/jellyfin");
      in
      {
        paths = state [
          dir
          (cfg.configDir or null)
        ];
        sqlite = true;
        exclude = leftOut dir [
          (cfg.cacheDir or null)
          (cfg.logDir or "${dir}/log")
          "${dir}/data/trickplay"
          "${dir}/transcodes"
        ];
        units = [ "jellyfin.service" ];
      };

    # Up to 25.11; later ones call it seerr.
    jellyseerr =
      config:
      if (config.services or { }) ? seerr then
        presets.seerr config // { enabled = false; }
      else
        seerr "jellyseerr" (config.services.jellyseerr.configDir or "/var/lib/jellyseerr/config");

    kanidm =
      config:
      let
        cfg = config.services.kanidm or { };
      in
      {
        enabled = cfg.server.enable or (cfg.enableServer or false);
        paths = [ "/var/lib/kanidm" ];
        sqlite = true;
        units = [ "kanidm.service" ];
      };

    # The search index is Meilisearch's, and is made anew.
    karakeep = config: {
      paths = [ "/var/lib/karakeep" ];
      sqlite = true;
      units = [
        "karakeep-web.service"
        "karakeep-workers.service"
      ];
    };

    # Everything is in the database.
    keycloak =
      config:
      let
        db = config.services.keycloak.database or { };
        type = db.type or "postgresql";
        name = if db.createLocally or true then "keycloak" else db.name or "keycloak";
      in
      {
        postgresql = optionals (type == "postgresql") (pg config (db.host or null) name);
        mysql = optionals (type != "postgresql") (my config (db.host or null) name);
        units = [ "keycloak.service" ];
      };

    komga =
      config:
      let
        dir = clean (config.services.komga.stateDir or "/var/lib/komga");
      in
      {
        paths = [ dir ];
        sqlite = true;
        exclude = below dir [
          "logs/"
          "lucene/"
        ];
        units = [ "komga.service" ];
      };

    lidarr = servarr "lidarr" "/var/lib/lidarr/.config/Lidarr";

    linkwarden =
      config:
      let
        cfg = config.services.linkwarden or { };
      in
      {
        paths = [ (clean (cfg.storageLocation or "/var/lib/linkwarden")) ];
        postgresql = pg config (cfg.database.host or null) (cfg.database.name or "linkwarden");
        units = [
          "linkwarden.service"
          "linkwarden-worker.service"
        ];
      };

    lldap =
      config:
      let
        url = config.services.lldap.settings.database_url or "sqlite://./users.db?mode=rwc";
      in
      {
        # The server's key is here in any case.
        paths = [ "/var/lib/lldap" ];
        sqlite = hasPrefix "sqlite:" (toString url);
        postgresql = pgUrl config url;
        mysql = myUrl config url;
        units = [ "lldap.service" ];
      };

    # Chunks, an index and a write-ahead log that must fit together.
    loki =
      config:
      let
        cfg = config.services.loki or { };
      in
      {
        paths = state [
          (cfg.dataDir or "/var/lib/loki")
          (cfg.configuration.common.path_prefix or null)
        ];
        quiesce = [ "loki.service" ];
        units = [ "loki.service" ];
      };

    # Previews of links are fetched again, media of other servers perhaps not.
    matrix-synapse =
      config:
      let
        cfg = config.services.matrix-synapse or { };
        dir = clean (cfg.dataDir or "/var/lib/matrix-synapse");
        media = clean (cfg.settings.media_store_path or "${dir}/media_store");
        db = cfg.settings.database or { };
        inServer = db.name or "psycopg2" == "psycopg2";
      in
      {
        paths = state [
          dir
          media
          (cfg.settings.signing_key_path or null)
          (if inServer then null else db.args.database or null)
        ];
        sqlite = !inServer;
        postgresql = optionals inServer (
          pg config (db.args.host or null) (db.args.database or "matrix-synapse")
        );
        exclude = below media [
          "url_cache/"
          "url_cache_thumbnails/"
        ];
        units = [
          "matrix-synapse.service"
        ]
        ++ map (name: "matrix-synapse-worker-${name}.service") (lib.attrNames (cfg.workers or { }));
      };

    mealie =
      config:
      let
        cfg = config.services.mealie.settings or { };
        inServer = cfg.DB_ENGINE or "sqlite" == "postgres";
      in
      {
        paths = [ "/var/lib/mealie" ];
        sqlite = !inServer;
        postgresql = optionals inServer (
          if cfg ? POSTGRES_URL_OVERRIDE then
            pgUrl config cfg.POSTGRES_URL_OVERRIDE
          else
            optionals (cfg ? POSTGRES_SERVER) (
              pg config cfg.POSTGRES_SERVER (cfg.POSTGRES_DB or "mealie")
            )
        );
        units = [ "mealie.service" ];
      };

    memos =
      config:
      let
        cfg = config.services.memos or { };
        driver = cfg.settings.MEMOS_DRIVER or "sqlite";
      in
      {
        paths = state [
          (cfg.dataDir or "/var/lib/memos")
          (cfg.settings.MEMOS_DATA or null)
        ];
        sqlite = driver == "sqlite";
        postgresql = pgUrl config (cfg.settings.MEMOS_DSN or null);
        units = [ "memos.service" ];
      };

    # Regions are written in place for as long as it runs.
    minecraft-server =
      config:
      let
        dir = clean (config.services.minecraft-server.dataDir or "/var/lib/minecraft");
      in
      {
        paths = [ dir ];
        quiesce = [ "minecraft-server.service" ];
        exclude = below dir [
          "libraries/"
          "logs/"
          "versions/"
        ];
        units = [ "minecraft-server.service" ];
      };

    # Everything is in the database.
    miniflux =
      config:
      let
        cfg = config.services.miniflux or { };
        url = cfg.config.DATABASE_URL or null;
        word = key: if lib.isString url then builtins.match "(.* )?${key}=([^ ]*).*" url else null;
        value = key: if word key == null then null else lib.last (word key);
      in
      {
        postgresql =
          if cfg.createDatabaseLocally or true then
            pg config null "miniflux"
          else
            lib.unique (pgUrl config url ++ pg config (value "host") (value "dbname"));
        units = [ "miniflux.service" ];
      };

    # `dataDir` is a list, of which some may be on other hosts.
    minio =
      config:
      let
        cfg = config.services.minio or { };
        dirs = filter (hasPrefix "/") (map clean (cfg.dataDir or [ "/var/lib/minio/data" ]));
      in
      {
        paths = state (
          dirs
          ++ [
            (cfg.configDir or "/var/lib/minio/config")
            (cfg.certificatesDir or "/var/lib/minio/certs")
          ]
        );
        exclude = map (dir: "${dir}/.minio.sys/tmp/") dirs;
        units = [ "minio.service" ];
      };

    # Users and their rights are written at every start.
    mosquitto =
      config:
      let
        dir = clean (config.services.mosquitto.dataDir or "/var/lib/mosquitto");
      in
      {
        paths = [ dir ];
        exclude = below dir [
          "acl-*.conf"
          "passwd-*"
        ];
        units = [ "mosquitto.service" ];
      };

    # The key of all credentials is in .n8n/config.
    n8n =
      config:
      let
        cfg = config.services.n8n.environment or { };
        inServer = cfg.DB_TYPE or "sqlite" == "postgresdb";
        dir = clean (cfg.N8N_USER_FOLDER or "/var/lib/n8n");
      in
      {
        paths = [ dir ];
        sqlite = !inServer;
        postgresql = optionals inServer (
          pg config (cfg.DB_POSTGRESDB_HOST or null) (cfg.DB_POSTGRESDB_DATABASE or "n8n")
        );
        exclude = below dir [
          ".cache/"
          ".n8n/n8nEventLog*.log"
        ];
        units = [ "n8n.service" ];
      };

    navidrome =
      config:
      let
        cfg = config.services.navidrome.settings or { };
        dir = clean (cfg.DataFolder or "/var/lib/navidrome");
      in
      {
        paths = [ dir ];
        sqlite = true;
        exclude = leftOut dir [ (cfg.CacheFolder or "${dir}/cache") ];
        units = [ "navidrome.service" ];
      };

    # The clients: each is known to its peers by its key.
    netbird =
      config:
      let
        clients = config.services.netbird.clients or { };
        nameOf = name: client: client.suffixedName or "netbird-${name}";
      in
      {
        enabled = clients != { };
        paths = state (
          lib.mapAttrsToList (
            name: client: client.dir.state or "/var/lib/${nameOf name client}"
          ) clients
        );
        units = lib.mapAttrsToList (
          name: client: "${client.service.name or (nameOf name client)}.service"
        ) clients;
      };

    # `dataDir` has the secret key; static files are collected again.
    netbox =
      config:
      let
        cfg = config.services.netbox or { };
        dir = clean (cfg.dataDir or "/var/lib/netbox");
        db = cfg.settings.DATABASES.default or (cfg.settings.DATABASE or { });
      in
      {
        paths = state [
          dir
          (cfg.secretKeyFile or null)
        ];
        postgresql = pg config (db.HOST or null) (db.NAME or "netbox");
        exclude = [ "${dir}/static/" ];
        units = [
          "netbox.service"
          "netbox-rq.service"
        ];
      };

    # Apps from the store are in `home`, configuration and files in `datadir`. Previews are made anew.
    nextcloud =
      config:
      let
        cfg = config.services.nextcloud or { };
        home = clean (cfg.home or "/var/lib/nextcloud");
        dir = clean (cfg.datadir or home);
        files = clean (cfg.settings.datadirectory or "${dir}/data");
        db = cfg.config or { };
        type = db.dbtype or null;
      in
      {
        paths = state [
          home
          dir
          files
        ];
        sqlite = type == "sqlite";
        postgresql = optionals (type == "pgsql") (
          pg config (db.dbhost or null) (db.dbname or "nextcloud")
        );
        mysql = optionals (type == "mysql") (
          my config (db.dbhost or null) (db.dbname or "nextcloud")
        );
        exclude = below files [
          "appdata_*/css/"
          "appdata_*/js/"
          "appdata_*/preview/"
          "nextcloud.log*"
        ];
        units = [
          "phpfpm-nextcloud.service"
          "nextcloud-cron.timer"
          "nextcloud-cron.service"
        ]
        ++ optional (cfg.notify_push.enable or false) "nextcloud-notify_push.service";
      };

    # Attachments expire within hours.
    ntfy-sh =
      config:
      let
        cfg = config.services.ntfy-sh.settings or { };
      in
      {
        paths = state [
          "/var/lib/ntfy-sh"
          (cfg.auth-file or null)
          (cfg.cache-file or null)
        ];
        sqlite = true;
        exclude = leftOut "/var/lib/ntfy-sh" [
          (cfg.attachment-cache-dir or "/var/lib/ntfy-sh/attachments")
        ];
        units = [ "ntfy-sh.service" ];
      };

    # Its secret keys are made at the first start; without them the database's secrets cannot be read.
    outline =
      config:
      let
        cfg = config.services.outline or { };
        url = cfg.databaseUrl or "local";
        storage = cfg.storage or { };
      in
      {
        paths = state [
          "/var/lib/outline"
          (cfg.secretKeyFile or null)
          (cfg.utilsSecretFile or null)
          (if storage.storageType or "s3" == "local" then storage.localRootDir or null else null)
        ];
        postgresql = if url == "local" then pg config null "outline" else pgUrl config url;
        units = [ "outline.service" ];
      };

    # The search index is made anew by `paperless-manage document_index reindex`.
    paperless =
      config:
      let
        cfg = config.services.paperless or { };
        dir = clean (cfg.dataDir or "/var/lib/paperless");
        settings = cfg.settings or { };
        host = settings.PAPERLESS_DBHOST or null;
        engine = settings.PAPERLESS_DBENGINE or "postgresql";
        name = settings.PAPERLESS_DBNAME or "paperless";
        inServer = of: optionals (host != null) (of config host name);
      in
      {
        paths = state [
          dir
          (cfg.mediaDir or null)
          (cfg.consumptionDir or null)
        ];
        sqlite = host == null;
        postgresql = optionals (engine == "postgresql") (inServer pg);
        mysql = optionals (engine == "mariadb") (inServer my);
        exclude =
          below dir [
            "celerybeat-schedule.db"
            "index/"
            "log/"
          ]
          ++ optionals (cfg.exporter.enable or false) (
            leftOut dir [ (cfg.exporter.directory or "${dir}/export") ]
          );
        units = [
          "paperless-scheduler.service"
          "paperless-consumer.service"
          "paperless-web.service"
          "paperless-task-queue.service"
        ];
      };

    # The photos are saved too.
    photoprism =
      config:
      let
        cfg = config.services.photoprism or { };
        dir = clean (cfg.storagePath or "/var/lib/photoprism");
        settings = cfg.settings or { };
        inServer = settings.PHOTOPRISM_DATABASE_DRIVER or "sqlite" == "mysql";
        host = settings.PHOTOPRISM_DATABASE_SERVER or null;
      in
      {
        paths = state [
          dir
          (cfg.originalsPath or null)
        ];
        sqlite = !inServer;
        mysql = optionals inServer (
          my config host (settings.PHOTOPRISM_DATABASE_NAME or "photoprism")
        );
        exclude = [ "${dir}/cache/" ];
        units = [ "photoprism.service" ];
      };

    plex =
      config:
      let
        dir = clean (config.services.plex.dataDir or "/var/lib/plex");
      in
      {
        paths = [ dir ];
        sqlite = true;
        exclude = below "${dir}/Plex Media Server" [
          "Cache/"
          "Codecs/"
          "Crash Reports/"
          "Logs/"
          "Media/"
          "Updates/"
        ];
        units = [ "plex.service" ];
      };

    pocket-id =
      config:
      let
        cfg = config.services.pocket-id or { };
        dir = clean (cfg.dataDir or "/var/lib/pocket-id");
        url = cfg.settings.DB_CONNECTION_STRING or null;
      in
      {
        paths = [ dir ];
        sqlite = !(hasPrefix "postgres" (toString url));
        postgresql = pgUrl config url;
        exclude = [ "${dir}/data/GeoLite2-City.mmdb" ];
        units = [ "pocket-id.service" ];
      };

    # Blocks and a write-ahead log that must fit together. `stateDir` is a name below /var/lib.
    prometheus = config: {
      paths = [ (inVarLib (config.services.prometheus.stateDir or "prometheus2")) ];
      quiesce = [ "prometheus.service" ];
      units = [ "prometheus.service" ];
    };

    prowlarr = servarr "prowlarr" "/var/lib/prowlarr";

    radarr = servarr "radarr" "/var/lib/radarr/.config/Radarr";

    radicale =
      config:
      let
        settings = config.services.radicale.settings or { };
        dir = clean (settings.storage.filesystem_folder or "/var/lib/radicale/collections");
      in
      {
        paths = [ dir ];
        exclude = [ "${dir}/**/.Radicale.cache/" ];
        units = [ "radicale.service" ];
      };

    readarr = servarr "readarr" "/var/lib/readarr";

    # Snapshots are written beside and renamed: a copy is as old as the last one.
    redis =
      config:
      let
        servers = lib.attrNames (
          filterAttrs (_: server: server.enable or false) (config.services.redis.servers or { })
        );
        nameOf = server: "redis${optionalString (server != "") "-${server}"}";
      in
      {
        enabled = servers != [ ];
        paths = map (server: "/var/lib/${nameOf server}") servers;
        exclude = map (server: "/var/lib/${nameOf server}/temp-*.rdb") servers;
        units = map (server: "${nameOf server}.service") servers;
      };

    # `stateDir` is a name below /var/lib. What is being downloaded can be downloaded again.
    sabnzbd =
      config:
      let
        cfg = config.services.sabnzbd or { };
        dir = inVarLib (cfg.stateDir or "sabnzbd");
      in
      {
        paths = state [
          dir
          (cfg.configFile or null)
        ];
        sqlite = true;
        exclude = below dir [
          "Downloads/"
          "logs/"
        ];
        units = [ "sabnzbd.service" ];
      };

    # From 26.05 on; hosts older than that keep it in Jellyseerr's directory.
    seerr = config: seerr "seerr" (config.services.seerr.configDir or "/var/lib/seerr");

    sonarr = servarr "sonarr" "/var/lib/sonarr/.config/NzbDrone";

    # Not under `services`: by it everyone who ever logged in knows the host.
    ssh-host-keys = config: {
      enabled = config.services.openssh.enable or false;
      paths = concatMap (
        key:
        state [
          key.path
          "${key.path}.pub"
        ]
      ) (config.services.openssh.hostKeys or [ ]);
      units = [ ];
    };

    # The device's key and configuration. Folders have places of their own, the index is made anew.
    syncthing =
      config:
      let
        cfg = config.services.syncthing or { };
        home = clean (cfg.dataDir or "/var/lib/syncthing");
        dir = clean (cfg.configDir or "${home}/.config/syncthing");
      in
      {
        # A home directory of its own is saved as a whole, that of a user is not.
        paths = state ([ dir ] ++ optional (home == "/var/lib/syncthing") home);
        exclude = map (base: "${base}/index-*/") (
          lib.unique [
            dir
            (clean (cfg.databaseDir or dir))
          ]
        );
        units = [ "syncthing.service" ];
      };

    tandoor-recipes =
      config:
      let
        cfg = config.services.tandoor-recipes.extraConfig or { };
        inServer = cfg.DB_ENGINE or null == "django.db.backends.postgresql";
      in
      {
        paths = state [
          "/var/lib/tandoor-recipes"
          (cfg.MEDIA_ROOT or null)
        ];
        sqlite = !inServer;
        postgresql = optionals inServer (
          pg config (cfg.POSTGRES_HOST or null) (cfg.POSTGRES_DB or null)
        );
        units = [ "tandoor-recipes.service" ];
      };

    # Torrents and their progress, not what they download.
    transmission =
      config:
      let
        cfg = config.services.transmission or { };
        home = clean (cfg.home or "/var/lib/transmission");
      in
      {
        paths = [ home ];
        exclude = leftOut home [
          (cfg.settings.download-dir or "${home}/Downloads")
          (cfg.settings.incomplete-dir or "${home}/.incomplete")
        ];
        units = [ "transmission.service" ];
      };

    # It runs a MongoDB of its own.
    unifi = config: {
      paths = [ "/var/lib/unifi" ];
      quiesce = [ "unifi.service" ];
      exclude = below "/var/lib/unifi" [ "work/" ];
      units = [ "unifi.service" ];
    };

    uptime-kuma =
      config:
      let
        cfg = config.services.uptime-kuma.settings or { };
        type = cfg.UPTIME_KUMA_DB_TYPE or "sqlite";
      in
      {
        paths = [ (clean (cfg.DATA_DIR or "/var/lib/uptime-kuma")) ];
        sqlite = type == "sqlite";
        mysql = optionals (type == "mariadb") (
          my config (cfg.UPTIME_KUMA_DB_HOSTNAME or null) (cfg.UPTIME_KUMA_DB_NAME or null)
        );
        quiesce = optional (type == "embedded-mariadb") "uptime-kuma.service";
        units = [ "uptime-kuma.service" ];
      };

    # The directory's name is the old one on hosts older than 24.11.
    vaultwarden =
      config:
      let
        cfg = config.services.vaultwarden or { };
        settings = cfg.config or { };
        isOld = lib.versionOlder (stateVersion config) "24.11";
        name = if isOld then "bitwarden_rs" else "vaultwarden";
        dir = clean (settings.DATA_FOLDER or (settings.dataFolder or "/var/lib/${name}"));
        backend = cfg.dbBackend or "sqlite";
        url = settings.DATABASE_URL or (settings.databaseUrl or null);
        # The URL may be in a file of secrets; then only the usual name is known.
        usual =
          of: names:
          optionals (url == null && elem "vaultwarden" names) (of config null "vaultwarden");
      in
      {
        paths = [ dir ];
        sqlite = backend == "sqlite";
        postgresql = optionals (backend == "postgresql") (
          pgUrl config url ++ usual pg (config.services.postgresql.ensureDatabases or [ ])
        );
        mysql = optionals (backend == "mysql") (
          myUrl config url ++ usual my (config.services.mysql.ensureDatabases or [ ])
        );
        exclude = below dir [
          "icon_cache/"
          "tmp/"
        ];
        units = [ "vaultwarden.service" ];
      };

    vikunja =
      config:
      let
        cfg = config.services.vikunja or { };
        db = cfg.database or { };
        type = db.type or "sqlite";
      in
      {
        paths = state [
          "/var/lib/vikunja"
          (cfg.settings.files.basepath or null)
          (if type == "sqlite" then db.path or null else null)
        ];
        sqlite = type == "sqlite";
        postgresql = optionals (type == "postgres") (
          pg config (db.host or null) (db.database or "vikunja")
        );
        mysql = optionals (type == "mysql") (
          my config (db.host or null) (db.database or "vikunja")
        );
        units = [ "vikunja.service" ];
      };

    # Pages are in the database; `stateDirectoryName` is a name below /var/lib.
    wiki-js =
      config:
      let
        cfg = config.services.wiki-js or { };
        dir = inVarLib (cfg.stateDirectoryName or "wiki-js");
        db = cfg.settings.db or { };
        type = db.type or "postgres";
      in
      {
        paths = [ dir ];
        postgresql = optionals (type == "postgres") (pg config (db.host or null) (db.db or "wiki"));
        mysql = optionals (type == "mysql" || type == "mariadb") (
          my config (db.host or null) (db.db or "wiki")
        );
        exclude = [ "${dir}/cache/" ];
        units = [ "wiki-js.service" ];
      };

    # Devices and the network are in text files; configuration.yaml is written at every start.
    zigbee2mqtt =
      config:
      let
        dir = clean (config.services.zigbee2mqtt.dataDir or "/var/lib/zigbee2mqtt");
      in
      {
        paths = [ dir ];
        exclude = [ "${dir}/log/" ];
        units = [ "zigbee2mqtt.service" ];
      };

    # What is known of the devices is in a cache directory, that of a dynamic user. Its keys are the administrator's.
    zwave-js = config: {
      paths = state [
        "/var/cache/private/zwave-js"
        (config.services.zwave-js.secretsConfigFile or null)
      ];
      units = [ "zwave-js.service" ];
    };

    zwave-js-ui = config: {
      paths = [ "/var/lib/zwave-js-ui" ];
      exclude = below "/var/lib/zwave-js-ui" [
        ".config-db/"
        "zwavejs_*.log"
      ];
      units = [ "zwave-js-ui.service" ];
    };
  };
in
{
  inherit presets;

  # State directories of NixOS' own units whose loss nobody notices, relative to /var/lib, with all below them.
  # Not here, for it would be noticed: NetworkManager and iwd (passwords), bluetooth (pairings), boltd, fprint,
  # tailscale and tor (keys), caddy and traefik (certificates), machines, nixos (user ids).
  stateless = [
    "alloy" # how far logs were read
    "clamav" # signatures, fetched again
    "dhcpcd" # leases
    "dhparams" # made anew
    "fail2ban" # bans expire
    "fwupd"
    "geoclue"
    "karakeep-browser" # a browser's profile
    "lastlog"
    "logrotate"
    "n8n-task-runners" # a working directory
    "opentelemetry-collector" # buffers
    "power-profiles-daemon"
    "private/systemd/journal-upload" # how far it was read
    "rasdaemon"
    "systemd-networkd" # leases
    "systemd/backlight"
    "systemd/catalog"
    "systemd/coredump"
    "systemd/journal-upload"
    "systemd/network"
    "systemd/pstore"
    "systemd/random-seed"
    "systemd/rfkill"
    "systemd/timers" # when timers last ran
    "systemd/timesync"
    "udisks2"
    "unbound" # the root's key, fetched again
    "upower"
  ];
}
