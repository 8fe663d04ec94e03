//! Each mistake is told with its place and what was probably meant.

use super::*;

const GOOD: &str = r#"{
  "repositories": { "disk": { "url": "/mnt/backup", "writerKey": "/etc/hearth/q.key" } },
  "jobs": {
    "state": {
      "paths": ["/var/lib", "/srv/*"],
      "excludePresets": ["caches", "containerLayers"],
      "excludeLargerThan": "2GiB",
      "commands": { "vault.snap": { "command": ["vault", "snapshot"], "minimumSize": "1k" } },
      "repositories": ["disk"]
    }
  }
}"#;

fn error(text: &str, format: Format) -> String {
    Config::parse(text, format, "hearth.json").unwrap_err().to_string()
}

fn error_of(text: &str) -> String {
    error(text, Format::Json)
}

#[test]
fn a_configuration_is_read_from_json_and_from_toml_alike() {
    let json = Config::parse(GOOD, Format::Json, "x").unwrap();
    let toml = r#"
        [repositories.disk]
        url = "/mnt/backup"
        writerKey = "/etc/hearth/q.key"
        [jobs.state]
        paths = ["/var/lib", "/srv/*"]
        excludePresets = ["caches", "containerLayers"]
        excludeLargerThan = "2GiB"
        repositories = ["disk"]
        [jobs.state.commands."vault.snap"]
        command = ["vault", "snapshot"]
        minimumSize = 1024
    "#;
    let toml = Config::parse(toml, Format::Toml, "x").unwrap();
    assert_eq!(serde_json::to_value(&json).unwrap(), serde_json::to_value(&toml).unwrap());
    let job = json.job("state").unwrap();
    assert_eq!(job.exclude_larger_than, Some(ByteSize(2 << 30)));
    assert_eq!(job.commands["vault.snap"].success, [0]);
    assert_eq!(job.compression, 3);
}

#[test]
fn an_unknown_key_is_told_with_its_line_its_path_and_the_near_miss() {
    let text = GOOD.replace("\"excludeLargerThan\"", "\"exclude_larger_then\"");
    assert_eq!(
        error(&text, Format::Json),
        "hearth.json:7: jobs.state.exclude_larger_then: unknown key `exclude_larger_then`; did you mean `excludeLargerThan`?"
    );
    let toml = "[jobs.state]\npaths = []\ncomand = 1\n";
    assert_eq!(error(toml, Format::Toml), "hearth.json:3: jobs.state.comand: unknown key `comand`; did you mean `commands`?");
}

#[test]
fn an_unknown_value_and_a_wrong_type_are_told_with_their_place() {
    let text = GOOD.replace("\"caches\"", "\"cache\"");
    let message = error(&text, Format::Json);
    assert!(message.contains("jobs.state.excludePresets[0]: unknown value `cache`; did you mean `caches`?"), "{message}");
    let message = error(&GOOD.replace("\"2GiB\"", "\"2 potatoes\""), Format::Json);
    assert!(message.contains(":7: jobs.state.excludeLargerThan: `2 potatoes` is not a size"), "{message}");
    let message = error(&GOOD.replace("[\"/var/lib\", \"/srv/*\"]", "\"/var/lib\""), Format::Json);
    assert!(message.contains("jobs.state.paths: invalid type: string"), "{message}");
}

#[test]
fn text_that_is_neither_is_told_with_its_line() {
    assert!(error("{\n \"jobs\": {,} }", Format::Json).starts_with("hearth.json:2: "));
    assert!(error("a = 1\n[b", Format::Toml).starts_with("hearth.json:2: "));
    assert!(error("{} trailing", Format::Json).contains("trailing characters"));
}

#[test]
fn names_that_do_not_fit_together_are_told() {
    for (from, to, expected) in [
        ("[\"disk\"]", "[\"dsik\"]", "jobs.state.repositories[0]: there is no repository `dsik`; did you mean `disk`?"),
        ("[\"disk\"]", "[]", "jobs.state.repositories: names none"),
        ("[\"disk\"]", "[\"disk\", \"disk\"]", "jobs.state.repositories[1]: `disk` is named twice"),
        ("\"/srv/*\"", "\"srv\"", "jobs.state.paths[1]: `srv` is not absolute"),
        ("vault.snap", "a/b", "jobs.state.commands.a/b: must be the name of one file"),
        ("[\"vault\", \"snapshot\"]", "[]", "commands.vault.snap.command: is empty"),
        ("/etc/hearth/q.key", "q.key", "repositories.disk.writerKey: must be an absolute path"),
        ("\"state\"", "\"../state\"", "jobs.../state: names consist of"),
        ("\"paths\"", "\"quiesce\": { \"freeze\": [{ \"command\": [\"x\"] }] }, \"paths\"", "jobs.state.quiesce.thaw: is empty"),
        ("\"paths\"", "\"quiesce\": { \"services\": [\"--all\"] }, \"paths\"", "quiesce.services[0]: must be the name of a systemd unit"),
        ("\"paths\"", "\"limits\": { \"nice\": 20 }, \"paths\"", "jobs.state.limits.nice: must be from 0 to 19"),
        ("\"paths\"", "\"limits\": { \"threads\": 0 }, \"paths\"", "jobs.state.limits.threads: must be at least 1"),
        ("\"paths\"", "\"window\": { \"from\": \"01:00\", \"to\": \"01:00\" }, \"paths\"", "jobs.state.window: ends when it begins"),
        ("\"paths\"", "\"window\": { \"from\": \"25:00\", \"to\": \"01:00\" }, \"paths\"", "window.from: `25:00` is no time of day"),
        (
            "\"paths\"",
            "\"window\": { \"from\": \"1:00\", \"to\": \"01:00\" }, \"paths\"",
            "`1:00` is no time of day; write for example `22:00`",
        ),
        ("\"paths\"", "\"containers\": {}, \"paths\"", "jobs.state.containers: names no volumes and no labels"),
    ] {
        let message = error(&GOOD.replace(from, to), Format::Json);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn files_with_secrets_are_absolute_paths_or_credentials() {
    let with = |file: &str| Config::parse(&GOOD.replace("/etc/hearth/q.key", file), Format::Json, "x");
    let config = with("credential:disk_1.key").unwrap();
    assert_eq!(config.repository("disk").unwrap().writer_key.as_ref().unwrap().to_string(), "credential:disk_1.key");
    let error = with("q.key").unwrap_err().to_string();
    assert!(error.starts_with("x:2: repositories.disk.writerKey: must be an absolute path"), "{error}");
    for name in ["credential:", "credential:..", "credential:a/b"] {
        let error = with(name).unwrap_err().to_string();
        assert!(error.contains(&format!("repositories.disk.writerKey: `{name}` names no credential")), "{error}");
    }
    for server in ["postgresql", "mariadb", "mysql"] {
        let with = |file: &str| GOOD.replace("\"paths\"", &format!("\"{server}\": {{ \"passwordFile\": \"{file}\" }}, \"paths\""));
        assert!(Config::parse(&with("credential:db"), Format::Json, "x").is_ok());
        let message = error_of(&with("password"));
        assert!(message.contains(&format!("jobs.state.{server}.passwordFile: must be an absolute path")), "{message}");
    }
}

#[test]
fn how_house_is_kept_stands_with_jobs_and_repositories() {
    let text =
        GOOD.replace("\"url\"", r#""copy": { "media": "hdd", "offsite": true }, "prune": { "grace": "36h", "maxUnused": "5%" }, "url""#);
    let text = text.replace("\"paths\"", r#""retention": { "daily": 7, "within": "1m" }, "paths""#);
    let config = Config::parse(&text, Format::Json, "x").unwrap();
    let disk = config.repository("disk").unwrap();
    assert_eq!(disk.copy, Some(CopyKind { media: "hdd".into(), offsite: true }));
    let prune = disk.prune.unwrap();
    assert_eq!(prune.grace.map(|span| span.0.to_string()).as_deref(), Some("36h"));
    assert_eq!(prune.max_unused.map(Percent::get), Some(5));
    assert_eq!(disk.check.unwrap_or_default().read_packs.get(), 0);
    assert_eq!(config.jobs["state"].retention.unwrap().daily, 7);
    let again = serde_json::to_string(&config).unwrap();
    assert!(Config::parse(&again, Format::Json, "x").is_ok(), "what `config check --json` prints can be read: {again}");
}

#[test]
fn rates_have_a_unit_or_are_numbers_that_need_none() {
    let with = |rates: &str| Config::parse(&GOOD.replace("\"url\"", &format!("{rates}, \"url\"")), Format::Json, "x");
    let config = with(r#""limitUpload": "10B", "limitDownload": 2000000"#).unwrap();
    let again = serde_json::to_string(&config).unwrap();
    for config in [config, Config::parse(&again, Format::Json, "x").unwrap()] {
        let disk = config.repository("disk").unwrap();
        assert_eq!([disk.limit_upload, disk.limit_download].map(|rate| rate.map(ByteRate::get)), [Some(10), Some(2_000_000)]);
    }
    for (rate, why) in [("2", "write the unit"), ("\"999\"", "write the unit"), ("-1", "such as \"2MB\""), ("\"fast\"", "not a size")] {
        let error = with(&format!("\"limitUpload\": {rate}")).unwrap_err().to_string();
        assert!(error.contains("repositories.disk.limitUpload: ") && error.contains(why), "{error}");
    }
}

#[test]
fn house_that_cannot_be_kept_as_asked_for_is_told() {
    for (repository, expected) in [
        (r#""copy": { "offsite": true }"#, "repositories.disk.copy: missing field `media`"),
        (r#""copy": { "media": " " }"#, "repositories.disk.copy.media: is empty"),
        (r#""copy": { "media": "hdd", "offSite": true }"#, "unknown key `offSite`; did you mean `offsite`?"),
        (r#""prune": { "grace": "1 day or so" }"#, "repositories.disk.prune.grace: `1 day or so` is not a duration"),
        (r#""prune": { "grace": "1m" }"#, "repositories.disk.prune.grace: `1m` is not a duration: months and years differ"),
        (r#""prune": { "maxUnused": 101 }"#, "repositories.disk.prune.maxUnused: 101 is no share"),
        (r#""prune": { "maxUnused": -1 }"#, "repositories.disk.prune.maxUnused: -1 is no share"),
        (r#""prune": { "maxUnused": "ten" }"#, "repositories.disk.prune.maxUnused: `ten` is no share; write for example `10%`"),
        (r#""check": { "readPacks": 1000 }"#, "repositories.disk.check.readPacks: 1000 is no share"),
        (r#""check": { "readPacks": 1.5 }"#, "expected a whole number of percent from 0 to 100"),
        (r#""check": { "readpacks": 1 }"#, "unknown key `readpacks`; did you mean `readPacks`?"),
    ] {
        let message = error_of(&GOOD.replace("\"url\"", &format!("{repository}, \"url\"")));
        assert!(message.contains(expected), "{message}");
    }
    for (retention, expected) in [
        ("{}", "jobs.state.retention: keeps nothing; give at least one of last, hourly"),
        (r#"{ "daily": 0, "within": "0" }"#, "jobs.state.retention: keeps nothing"),
        (r#"{ "daily": -1 }"#, "jobs.state.retention.daily: invalid value: integer `-1`"),
        (r#"{ "within": "soon" }"#, "jobs.state.retention.within: `soon` is not a duration"),
        (r#"{ "keepDaily": 7 }"#, "jobs.state.retention.keepDaily: unknown key `keepDaily`; known are: last, hourly"),
    ] {
        let message = error_of(&GOOD.replace("\"paths\"", &format!("\"retention\": {retention}, \"paths\"")));
        assert!(message.contains(expected), "{message}");
    }
    let message = error_of(&GOOD.replacen('{', "{ \"recipients\": [\"age1abc\", \"me\"],", 1));
    assert!(message.contains("recipients[1]: `me` is no recipient; write age1..."), "{message}");
}

#[test]
fn places_that_cannot_be_read_elsewhere_are_told() {
    let with = |places: &str| {
        let text = GOOD.replacen("\"repositories\"", &format!("\"readFrom\": {places}, \"repositories\""), 1);
        Config::parse(&text, Format::Json, "x").map_err(|error| error.to_string())
    };
    for good in [
        r#"{ "/var/lib": "/persist/system/var/lib", "/var/lib/media": "/persist/media" }"#,
        r#"{ "/": "/persist/system", "/home": "/persist/home" }"#,
        r#"{ "/srv": "/srv/.snapshots/newest" }"#,
    ] {
        assert!(with(good).is_ok(), "{good}");
    }
    for (places, expected) in [
        (r#"{ "var/lib": "/persist" }"#, "readFrom.var/lib: `var/lib` must be an absolute path"),
        (r#"{ "/var/lib": "persist" }"#, "readFrom./var/lib: `persist` must be an absolute path"),
        (r#"{ "/var/lib": "/persist/../x" }"#, "`/persist/../x` must be an absolute path without `.`, `..`"),
        (r#"{ "/var/./lib": "/persist" }"#, "`/var/./lib` must be an absolute path without `.`, `..`"),
        (r#"{ "/var/lib/": "/persist" }"#, "`/var/lib/` must be an absolute path without `.`, `..` and a `/` too many"),
        (r#"{ "/var/lib": "/var/lib" }"#, "readFrom./var/lib: is read at its own place anyway"),
        (r#"{ "/a": "/b/c", "/b": "/d" }"#, "readFrom./a: /b/c lies in /b, which is read from /d itself"),
        (r#"{ "/a": 3 }"#, "readFrom./a: invalid type"),
    ] {
        let error = with(places).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn filesystem_snapshots_are_a_word_or_a_table() {
    let with = |value: &str| {
        let text = GOOD.replace("\"paths\"", &format!("\"filesystemSnapshots\": {value}, \"paths\""));
        Config::parse(&text, Format::Json, "x").map(|config| config.jobs["state"].filesystem_snapshots.clone())
    };
    assert_eq!(with("\"off\"").unwrap(), FilesystemSnapshots::default());
    assert_eq!(with("\"auto\"").unwrap(), FilesystemSnapshots::Auto);
    let options = with(r#"{ "kinds": ["btrfs", "lvm"], "required": true, "lvmRoom": "5 GiB" }"#).unwrap().options();
    assert_eq!(options.kinds, [SnapshotKind::Btrfs, SnapshotKind::Lvm]);
    assert_eq!((options.required, options.lvm_room), (true, Room::Size(ByteSize(5 << 30))));
    assert_eq!(with(r#"{ "lvmRoom": "25%" }"#).unwrap().options().lvm_room, Room::Percent(25));
    for (value, expected) in [
        ("\"atuo\"", "filesystemSnapshots: unknown value `atuo`; did you mean `auto`?"),
        (r#"{ "lvmRom": "1%" }"#, "unknown key `lvmRom`; did you mean `lvmRoom`?"),
        (r#"{ "lvmRoom": "110%" }"#, "`110%` is no part from 1% to 100%"),
        (r#"{ "kinds": ["btrsf"] }"#, "unknown value `btrsf`; did you mean `btrfs`?"),
        (r#"{ "mountDirectory": "mnt" }"#, "filesystemSnapshots.mountDirectory: must be an absolute path"),
        ("true", "expected \"auto\", \"off\" or a table"),
    ] {
        let error = with(value).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let config = Config::parse(GOOD, Format::Json, "x").unwrap();
    let again = serde_json::to_string(&config).unwrap();
    assert!(Config::parse(&again, Format::Json, "x").is_ok(), "what `config check --json` prints can be read: {again}");
}

#[test]
fn what_is_wrong_with_a_size_in_toml_is_one_line() {
    let text = "[repositories.r]\nurl = \"/r\"\n[drills.d]\nrepository = \"r\"\nkey = \"/k\"\ntmpfs = \"lots\"\n";
    let error = error(text, Format::Toml);
    assert!(error.contains("drills.d.tmpfs: ") && error.contains("lots") && error.lines().count() == 1, "{error}");
}

#[test]
fn databases_that_cannot_be_saved_as_asked_for_are_told() {
    for (server, expected) in [
        (r#""postgresql": { "databases": [] }"#, "jobs.state.postgresql.databases: names none"),
        (r#""mysql": { "databases": [] }"#, "jobs.state.mysql.databases: names none"),
        (r#""postgresql": { "through": ["docker"], "passwordFile": "/p" }"#, "jobs.state.postgresql.passwordFile: does not pass through"),
        (r#""mariadb": { "through": ["docker"], "passwordFile": "/p" }"#, "jobs.state.mariadb.passwordFile: does not pass through"),
        (r#""mariadb": { "through": [""] }"#, "jobs.state.mariadb.through: must begin with a program"),
        (r#""postgresql": { "through": ["docker"], "format": "directory" }"#, "jobs.state.postgresql.format: a directory would be written"),
        (r#""postgresql": { "parallel": 0 }"#, "jobs.state.postgresql.parallel: must be from 1 to 64"),
        (r#""postgresql": { "scratch": "tmp" }"#, "jobs.state.postgresql.scratch: must be an absolute path"),
    ] {
        let message = error(&GOOD.replace("\"paths\": [\"/var/lib\", \"/srv/*\"]", server), Format::Json);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_tools_run_as_the_servers_user_unless_another_program_leads_to_it() {
    let run_as = |change: fn(&mut Postgresql)| {
        let mut server = Postgresql::default();
        change(&mut server);
        server.run_as().map(str::to_owned)
    };
    assert_eq!(run_as(|_| {}).as_deref(), Some("postgres"));
    assert_eq!(run_as(|server| server.user = Some(String::new())), None);
    assert_eq!(run_as(|server| server.through = vec!["docker".into()]), None);
    let both = |server: &mut Postgresql| (server.through, server.user) = (vec!["docker".into()], Some("me".into()));
    assert_eq!(run_as(both).as_deref(), Some("me"));
}

#[test]
fn a_job_or_repository_that_is_not_there_is_told_with_the_near_miss() {
    let config = Config::parse(GOOD, Format::Json, "x").unwrap();
    assert_eq!(config.job("sate").unwrap_err().to_string(), "there is no job `sate`; did you mean `state`?");
    assert_eq!(config.job("zzz").unwrap_err().to_string(), "there is no job `zzz`; there are: state");
    assert_eq!(config.repository("dsik").unwrap_err().to_string(), "there is no repository `dsik`; did you mean `disk`?");
}

#[test]
fn the_examples_in_the_documentation_are_right() {
    let parse = |file: &str| {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let examples: String = text.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
        Config::parse(&examples, Format::Toml, file).unwrap()
    };
    assert!(parse("docs/sources.md").jobs.len() > 15);
    let config = parse("docs/configuration.md");
    assert_eq!(config.jobs["state"].repositories, ["disk", "usb"]);
    assert_eq!(config.jobs["state"].hooks.always.len(), 1);
    assert_eq!(parse("docs/hub.md").hub.unwrap().hosts.len(), 2);
}

#[test]
fn the_published_schema_is_the_one_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.schema.json");
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(published.trim_end(), Config::schema(), "write it anew: hearth-backup config schema > docs/config.schema.json");
}
