//! What the documents say is so: links lead somewhere, and the commands they show have the options they are shown with.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot read the documents has failed")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        for target in links(&document.text) {
            let path = target.split(['#', '?']).next().unwrap();
            let there = path.is_empty() || document.path.parent().unwrap().join(path).exists();
            if !there && !target.contains("://") && !target.starts_with("mailto:") {
                broken.push(format!("{}: {target}", document.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_command_shown_exists_with_its_options() {
    let mut wrong = Vec::new();
    let mut known = Help::default();
    for document in documents() {
        for line in command_lines(&document.text) {
            wrong.extend(
                arguments(&line).and_then(|words| known.objection(&words)).map(|why| format!("{}: {why}", document.path.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "commands that do not work:\n{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_in_the_documents() {
    let text =
        "Run:\n```sh\n$ sudo hearth-backup key add-writer \\\n    --repo R > out\ncargo run --release -- try /x\n```\n`hearth-backup x`\n";
    let found: Vec<_> = command_lines(text).iter().filter_map(|line| arguments(line)).collect();
    assert_eq!(found, [vec!["key", "add-writer", "--repo", "R"], vec!["try", "/x"]]);
    let mut help = Help::default();
    assert_eq!(help.objection(&["init".to_owned(), "--repo=R".to_owned()]), None);
    assert!(help.objection(&["init".to_owned(), "--rep".to_owned()]).is_some());
    assert!(help.objection(&["initialise".to_owned()]).is_some());
}

struct Document {
    path: PathBuf,
    text: String,
}

/// The Markdown files of the project.
fn documents() -> Vec<Document> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned(), root.join("fuzz")];
    folders.extend(folders_below(&root.join("docs")));
    for entry in folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            found.push(Document { text: fs::read_to_string(&path).unwrap(), path });
        }
    }
    found
}

fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let below = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).flat_map(|path| folders_below(&path));
    [folder.to_owned()].into_iter().chain(below).collect()
}

/// Targets of `[text](target)` outside code.
fn links(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2);
    let inline = prose.flat_map(|part| part.split('`').step_by(2));
    let starts = inline.flat_map(|part| part.split("](").skip(1));
    starts.filter_map(|rest| rest.split([')', ' ']).next()).map(str::to_owned).collect()
}

/// Lines of code blocks for shells, with continued lines joined.
fn command_lines(text: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    let shell = blocks.filter(|(language, _)| ["", "sh", "bash", "console", "shell"].contains(&language.trim()));
    shell.flat_map(|(_, code)| code.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The arguments if the line runs the program, up to a pipe, redirection or comment.
fn arguments(line: &str) -> Option<Vec<String>> {
    let line = line.replace("cargo run --release -- ", "hearth-backup ");
    let words = line.split_whitespace().skip_while(|word| *word == "$" || *word == "sudo" || word.contains('='));
    let mut words = words.take_while(|word| !["|", "||", "&&", ";", ">", ">>", "<", "#"].contains(word) && !word.starts_with("2>"));
    (words.next()? == "hearth-backup").then(|| words.map(str::to_owned).collect())
}

/// What `--help` says of each command.
#[derive(Default)]
struct Help(HashMap<Vec<String>, Option<String>>);

impl Help {
    /// Why these arguments cannot be right; none if they may be.
    fn objection(&mut self, words: &[String]) -> Option<String> {
        let mut command = Vec::new();
        for word in words.iter().take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-')) {
            let takes_commands = self.of(&command).is_some_and(|help| help.contains("\nCommands:\n"));
            if !takes_commands || word.starts_with('-') {
                break;
            }
            command.push(word.clone());
        }
        let Some(help) = self.of(&command) else { return Some(format!("there is no `hearth-backup {}`", command.join(" "))) };
        let options = words.iter().filter(|word| word.starts_with("--") && word.len() > 2).map(|word| word.split('=').next().unwrap());
        let unknown = options.into_iter().find(|option| *option != "--version" && !names(help, option))?;
        Some(format!("`hearth-backup {}` has no {unknown}", command.join(" ")))
    }

    fn of(&mut self, command: &[String]) -> Option<&String> {
        let ask = || {
            let output = Command::new(env!("CARGO_BIN_EXE_hearth-backup")).args(command).arg("--help").output().unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        };
        self.0.entry(command.to_vec()).or_insert_with(ask).as_ref()
    }
}

/// Whether a help text names an option, and not only a longer one.
fn names(help: &str, option: &str) -> bool {
    help.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').any(|word| word == option)
}

#[test]
fn every_example_of_a_configuration_is_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let check = Command::new(env!("CARGO_BIN_EXE_hearth-backup")).args(["config", "check", "--config"]).arg(&path).output().unwrap();
        assert!(check.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&check.stderr));
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn units_of_the_examples_run_commands_that_exist() {
    let mut known = Help::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/systemd");
    let units: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let commands: Vec<_> = units.iter().flat_map(|unit| unit.lines()).filter_map(|line| line.split_once("=/usr/local/bin/")).collect();
    assert_eq!(commands.len(), 14);
    for (_, command) in commands {
        assert_eq!(known.objection(&arguments(command).unwrap()), None, "{command}");
    }
}

#[test]
fn units_of_the_examples_are_understood_by_systemd_and_those_of_a_hub_confined() {
    let analyze = |arguments: &[&str], units: &[PathBuf]| Command::new("systemd-analyze").args(arguments).args(units).output();
    if analyze(&["--version"], &[]).is_err() {
        eprintln!("no systemd-analyze");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/systemd")).unwrap() {
        let path = entry.unwrap().path();
        let copy = folder.path().join(path.file_name().unwrap());
        let text = fs::read_to_string(path).unwrap();
        fs::write(&copy, text.replace("/usr/local/bin/hearth-backup", env!("CARGO_BIN_EXE_hearth-backup"))).unwrap();
        units.push(copy);
    }
    let verified = analyze(&["verify", "--man=no"], &units).unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    let about_ours: Vec<_> = said.lines().filter(|line| line.contains("hearth-backup")).collect();
    assert!(verified.status.success() && about_ours.is_empty(), "{said}");
    for name in ["hearth-backup-hub.service", "hearth-backup-hub-maintain.service"] {
        let judged = analyze(&["security", "--offline=true", "--no-pager"], &[folder.path().join(name)]).unwrap();
        let said = String::from_utf8_lossy(&judged.stdout);
        let level = said.lines().last().and_then(|line| line.split(": ").nth(1)?.split(' ').next()?.parse().ok());
        assert!(level.is_some_and(|level: f64| level <= 1.5), "{name}: {said}");
    }
}
