//! The house rules, checked: who may import whom, where each foreign crate may be named, how long a file may be.
//!
//! The rules are the tables at the top; the layer map they repeat is drawn in `src/lib.rs`. Every violation is printed
//! as `file:line: what` with the rule and its reason.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read the sources has failed")]

#[path = "architecture/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};

use source::{SourceFile, sources};

/// Layer, and the other layers it may import. A top-level module that is missing here is a violation.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("retention", &["model"]),
    ("store", &["model"]),
    ("source", &["model"]),
    ("sealed", &["store", "model"]),
    ("content", &["sealed", "source", "store", "model"]),
    ("config", &["model"]),
    ("notify", &["history", "config", "model"]),
    ("history", &["store", "model"]),
    ("job", &["keep", "content", "sealed", "source", "store", "retention", "config", "model"]),
    ("keep", &["config", "sealed", "store", "retention", "model"]),
    ("agent", &["store", "model"]),
    ("report", &["job", "notify", "keep", "content", "history", "config", "source", "sealed", "store", "model"]),
    ("drill", &["job", "content", "sealed", "source", "store", "config", "model"]),
    ("hub", &["history", "keep", "config", "sealed", "store", "retention", "model"]),
    (
        "cli",
        &[
            "agent",
            "drill",
            "hub",
            "report",
            "history",
            "job",
            "keep",
            "notify",
            "config",
            "content",
            "sealed",
            "source",
            "store",
            "retention",
            "model",
        ],
    ),
    ("lib", &[]),
    ("main", &["cli"]),
];

/// Foreign crates, the only places that may name them, and why.
const CRATES: &[(&[&str], &[&str], &str)] = &[
    (&["age", "age_core"], &["content/", "cli/"], "only content opens and seals; cli names age for prompts and plugin callbacks"),
    (&["fastcdc"], &["content/"], "cutting into chunks needs the plaintext"),
    (&["zstd"], &["content/", "sealed/refs.rs"], "blocks are compressed before sealing; refs are the one compressed object in clear"),
    (
        &["aws_lc_rs"],
        &["content/", "sealed/signature.rs", "hub/page/frame.rs"],
        "without a key one verifies signatures, and the policy of pages names their style by its hash",
    ),
    (&["maud"], &["hub/page/"], "one place writes HTML, and escapes what it shows"),
    (
        &["getrandom"],
        &["content/", "hub/token.rs", "drill/random.rs", "report/mod.rs", "sealed/run_id.rs", "store/sftp/mod.rs"],
        "keys, tokens, and names that nobody else draws",
    ),
    (&["toml", "schemars", "serde_path_to_error", "strsim"], &["config/"], "one schema, and one place that reads it"),
    (&["ureq"], &["notify/http.rs"], "one place speaks HTTP to others' servers"),
    (&["lettre"], &["notify/email.rs"], "one place writes e-mail"),
    (&["opendal", "opendal_http_transport_reqwest"], &["store/object/"], "the store of buckets"),
    (&["reqwest"], &["store/object/", "store/hub/"], "the stores of buckets and of hubs speak HTTP"),
    (&["hyper", "hyper_util", "http_body_util"], &["hub/", "store/hub/wire.rs"], "the hub, and the way to it through ssh"),
    (&["listenfd", "tokio_rustls", "subtle"], &["hub/"], "one layer serves"),
    (&["sd_notify"], &["hub/", "agent/", "cli/unit_status.rs"], "services, and runs that are units, speak with systemd"),
    (&["zbus"], &["agent/systemd.rs"], "one place asks systemd to start what the host runs"),
    (&["openssh_sftp_client"], &["store/sftp/"], "the store of other machines speaks SFTP"),
    (
        &["bytes"],
        &["store/object/", "store/sftp/", "store/hub/", "store/pieces.rs", "store/download.rs", "hub/"],
        "what goes through sockets is not copied once more",
    ),
    (
        &["tokio", "futures_util"],
        &[
            "store/object/",
            "store/sftp/",
            "store/hub/",
            "store/ssh/",
            "store/attempt.rs",
            "store/download.rs",
            "store/line.rs",
            "hub/",
            "agent/",
        ],
        "stores wait for servers, and for the pace of their line; the hub waits for clients, and the agent for the hub",
    ),
    (
        &["rustls", "rustls_native_certs"],
        &["notify/http.rs", "notify/email.rs", "store/tls.rs", "hub/serve/tls.rs"],
        "whom to trust is decided where connections are made",
    ),
    (&["rusqlite"], &["source/database/sqlite/"], "copies of SQLite databases are made by SQLite, in one place"),
    (&["memchr"], &["source/database/", "store/hub/listing.rs"], "counts what passes in dumps, and finds the ends of lines"),
    (&["tar"], &["source/archive.rs", "content/browse/archive.rs"], "one place reads archives, and one writes them"),
    (&["memmap2"], &["content/dedup/mapping.rs"], "one place proves that mapped files are not changed underneath us"),
    (&["clap", "clap_complete", "clap_mangen", "indicatif", "rpassword"], &["cli/"], "the library knows no terminal"),
    (&["anyhow", "tracing_subscriber", "signal_hook"], &["cli/", "main.rs"], "the library returns typed errors and owns no process"),
];

/// Macros and functions that talk to the terminal or the environment.
const TERMINAL_MACROS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];
const TERMINAL_FUNCTIONS: &[&str] = &["stdin", "stdout", "stderr"];
const ENVIRONMENT: &[&str] = &["var", "var_os", "vars", "vars_os", "args", "args_os"];

/// The only file that may contain `unsafe`.
const UNSAFE: &str = "content/dedup/mapping.rs";

/// Lines of a file that are not tests.
const LONGEST_FILE: usize = 600;

/// Words that say nothing about what a thing is.
const EMPTY_WORDS: &[&str] = &["util", "utils", "helper", "helpers", "manager", "common", "misc"];

/// The files whose types are keys.
const KEYS: &[&str] = &["content/keys.rs", "content/secret.rs", "content/seal.rs"];

#[test]
fn layers_import_only_what_is_below_them() {
    let files = sources();
    let modules = top_level_modules(files);
    let mut report = Report::default();
    for file in files {
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == file.layer()) else {
            report.add(file, 1, format!("layer `{}` is not in the table LAYERS", file.layer()));
            continue;
        };
        for import in file.imports().filter(|import| modules.contains(import.module.as_str())) {
            if import.module != file.layer() && !allowed.contains(&import.module.as_str()) {
                report.add(
                    file,
                    import.line,
                    format!("`{}` may not use `{}` (it may use: {})", file.layer(), import.module, allowed.join(", ")),
                );
            }
        }
        for line in file.imports().filter(|import| import.module == "*").map(|import| import.line) {
            report.add(file, line, "`crate::*` hides which layers are used".to_owned());
        }
    }
    report.finish("a layer imports only layers below it (src/lib.rs)");
}

#[test]
fn no_two_top_level_modules_import_each_other() {
    let files = sources();
    let modules = top_level_modules(files);
    let mut uses: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| modules.contains(file.layer())) {
        let imported = file.imports().filter(|import| !import.test && import.module != file.layer());
        uses.entry(file.layer())
            .or_default()
            .extend(imported.map(|import| import.module).filter(|module| modules.contains(module.as_str())));
    }
    // Take away modules that use nothing that is left; what cannot be taken away is a cycle, or stands above one.
    while let Some(free) = uses.iter().find(|(_, used)| used.is_empty()).map(|(module, _)| *module) {
        uses.remove(free);
        uses.values_mut().for_each(|used| {
            used.remove(free);
        });
    }
    assert!(uses.is_empty(), "these modules import each other in a circle: {uses:?}");
}

#[test]
fn foreign_crates_stay_in_their_place() {
    let mut report = Report::default();
    for file in sources() {
        for (crates, places, reason) in CRATES {
            if places.iter().any(|place| file.is_in(place)) {
                continue;
            }
            for (line, name) in file.crates_named().filter(|(_, name)| crates.contains(name)) {
                report.add(file, line, format!("`{name}` may be named only in {}: {reason}", places.join(", ")));
            }
        }
    }
    report.finish("each foreign crate has its place");
}

#[test]
fn only_the_command_line_talks_to_the_terminal_and_reads_the_environment() {
    let mut report = Report::default();
    for file in sources().iter().filter(|file| !file.is_in("cli/") && !file.is_in("main.rs")) {
        for at in file.shipped() {
            let [before, word, after] = [file.text(at.wrapping_sub(1)), file.text(at), file.text(at + 1)];
            let terminal = TERMINAL_MACROS.contains(&word) && after == "!"
                || TERMINAL_FUNCTIONS.contains(&word) && after == "(" && before != "fn" && before != ".";
            let environment = ENVIRONMENT.contains(&word) && before == ":" && file.text(at.wrapping_sub(3)) == "env";
            if terminal || environment {
                report.add(file, file.line(at), format!("`{word}` belongs into cli/; the library reports events and takes arguments"));
            }
        }
    }
    report.finish("standard streams and the environment are the command line's");
}

#[test]
fn the_sealed_layer_never_names_a_key() {
    let files = sources();
    let keys: BTreeSet<&str> = files.iter().filter(|file| KEYS.contains(&file.path())).flat_map(SourceFile::types).collect();
    assert!(!keys.is_empty(), "the files of KEYS have moved");
    let mut report = Report::default();
    for file in files.iter().filter(|file| file.is_in("sealed/") || file.is_in("store/")) {
        for at in file.shipped().filter(|at| keys.contains(file.text(*at))) {
            report.add(file, file.line(at), format!("`{}` is a type of the keys", file.text(at)));
        }
    }
    report.finish("whoever keeps the backups has no key (docs/format.md)");
}

#[test]
fn unsafe_code_stays_in_one_file() {
    let mut report = Report::default();
    for file in sources().iter().filter(|file| file.path() != UNSAFE) {
        for at in file.everything().filter(|at| file.text(*at) == "unsafe") {
            report.add(file, file.line(at), format!("`unsafe` outside {UNSAFE}"));
        }
    }
    report.finish("unsafe code is in one reviewed file");
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    let mut report = Report::default();
    for file in sources() {
        let lines = file.shipped_lines();
        if lines > LONGEST_FILE {
            report.add(file, 1, format!("{lines} lines without its tests; at most {LONGEST_FILE}"));
        }
    }
    report.finish("one file, one subject");
}

#[test]
fn names_say_what_a_thing_is() {
    let mut report = Report::default();
    for file in sources() {
        for part in file.path().trim_end_matches(".rs").split('/').filter(|part| is_empty_word(part)) {
            report.add(file, 1, format!("`{part}` says nothing"));
        }
        for (line, name) in file.definitions().filter(|(_, name)| is_empty_word(name)) {
            report.add(file, line, format!("`{name}` says nothing"));
        }
    }
    report.finish("no util, helper, manager, common");
}

/// Whether one of the words of a `snake_case` or `CamelCase` name is empty.
fn is_empty_word(name: &str) -> bool {
    let mut spaced = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            spaced.push('_');
        }
        spaced.extend(letter.to_lowercase());
    }
    spaced.split('_').any(|word| EMPTY_WORDS.contains(&word))
}

fn top_level_modules(files: &[SourceFile]) -> BTreeSet<&str> {
    files.iter().map(SourceFile::layer).filter(|layer| !["lib", "main"].contains(layer)).collect()
}

/// Violations of one rule.
#[derive(Default)]
struct Report(Vec<String>);

impl Report {
    fn add(&mut self, file: &SourceFile, line: usize, what: String) {
        self.0.push(format!("src/{}:{line}: {what}", file.path()));
    }

    fn finish(self, rule: &str) {
        assert!(self.0.is_empty(), "rule: {rule}\n{}\n", self.0.join("\n"));
    }
}
