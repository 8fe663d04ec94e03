//! What a check found, for people and machines.

use serde::Serialize;

use crate::cli::progress::grouped;
use crate::cli::render::text::{self, count};
use crate::content::check::{DataReport, Repaired};
use crate::model::event::Severity;
use crate::model::human;
use crate::sealed::repository::Repository;
use crate::sealed::verify::{self, Counts};

/// All findings of a run. The `problems` of both depths stand in one list.
#[derive(Serialize)]
pub struct Report {
    repository: String,
    clean: bool,
    structure: Option<Counts>,
    data: Option<Data>,
    repaired: Option<Repaired>,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Data {
    blocks: u64,
    chunks: u64,
    bytes: u64,
    snapshots: u64,
    files: u64,
}

#[derive(Serialize)]
struct Problem {
    /// `info`, `warning` or `error`.
    severity: &'static str,
    /// Object or path.
    subject: String,
    what: String,
    /// Ids of the snapshots concerned, or the start of them.
    snapshots: Vec<String>,
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

impl Report {
    /// Nothing found yet.
    pub fn new(repository: &Repository) -> Self {
        Self { repository: repository.id().to_bech32(), clean: true, structure: None, data: None, repaired: None, problems: Vec::new() }
    }

    fn problem(&mut self, severity: Severity, subject: String, what: String, snapshots: Vec<String>) {
        self.clean &= severity == Severity::Info;
        self.problems.push(Problem { severity: word(severity), subject, what, snapshots });
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.clean
    }

    /// Takes what a check without keys found.
    pub fn structure(&mut self, report: &verify::Report) {
        for problem in &report.problems {
            let snapshots = problem.snapshots.iter().map(ToString::to_string).collect();
            self.problem(problem.severity, problem.object.clone(), problem.what.clone(), snapshots);
        }
        self.structure = Some(report.counts);
    }

    /// Takes what a check with a restore key found.
    pub fn data(&mut self, report: DataReport) {
        let DataReport { blocks, chunks, bytes, snapshots, files, problems } = report;
        for problem in problems {
            self.problem(Severity::Error, problem.subject, problem.what, problem.snapshots.into_iter().collect());
        }
        self.data = Some(Data { blocks, chunks, bytes, snapshots, files });
    }

    /// Takes what a repair did.
    pub fn repaired(&mut self, repaired: Repaired) {
        for (subject, what) in &repaired.unmended {
            self.problem(Severity::Error, subject.clone(), format!("could not be mended: {what}"), Vec::new());
        }
        if repaired.lost_chunks > 0 {
            let what =
                format!("{} of the renewed snapshots are in no block; --read-data names the files", count(repaired.lost_chunks, "chunk"));
            self.problem(Severity::Error, "repair".into(), what, Vec::new());
        }
        self.repaired = Some(repaired);
    }

    /// Writes the problems to the log.
    pub fn log(&self) {
        for Problem { severity, subject, what, snapshots } in &self.problems {
            let ids = snapshots.iter().map(|id| id.get(..8).unwrap_or(id)).collect::<Vec<_>>().join(", ");
            let concerned = if ids.is_empty() { String::new() } else { format!(" (snapshots {ids})") };
            match *severity {
                "info" => tracing::info!(%subject, "{what}{concerned}"),
                "warning" => tracing::warn!(%subject, "{what}{concerned}"),
                _ => tracing::error!(%subject, "{what}{concerned}"),
            }
        }
    }

    /// The summary.
    pub fn text(&self) -> String {
        let mut rows = Vec::new();
        if let Some(repaired) = &self.repaired {
            let made = format!("{} for {}", count(repaired.indexes, "index object"), count(repaired.blocks, "block"));
            rows.push(("Repaired", format!("{made}; {} renewed", count(repaired.snapshots.len() as u64, "snapshot"))));
        }
        if let Some(counts) = &self.structure {
            rows.extend(structure_rows(counts));
        }
        if let Some(data) = &self.data {
            let opened =
                format!("{} with {} opened, {}", count(data.blocks, "block"), count(data.chunks, "chunk"), human::size(data.bytes));
            rows.push(("Content", opened));
            rows.push(("Files", format!("{} in {}", grouped(data.files), count(data.snapshots, "snapshot"))));
        }
        rows.push(("Verdict", self.verdict()));
        text::fields(&rows)
    }

    fn verdict(&self) -> String {
        let bad = self.problems.iter().filter(|problem| problem.severity != "info").count();
        let depth = match (&self.structure, &self.data) {
            (_, Some(_)) => "every chunk of every file is there and whole",
            (Some(counts), _) if counts.packs_read >= counts.packs => "every stored byte is as it was written",
            (Some(counts), _) if counts.packs_read > 0 => "all that is needed is there; what was read is as it was written",
            _ => "all that is needed is there; --read-packs reads it too",
        };
        if bad == 0 { depth.to_owned() } else { format!("{}, listed above", count(bad as u64, "problem")) }
    }
}

fn structure_rows(counts: &Counts) -> Vec<(&'static str, String)> {
    let snapshots = [
        (counts.uncommitted, "incomplete"),
        (counts.foreign, "of unknown writers"),
        (counts.closed, "of closed writers"),
        (counts.forgotten, "forgotten"),
    ];
    let others: String =
        snapshots.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!(", {} {what}", grouped(*number))).collect();
    let mut rows = vec![
        ("Snapshots", format!("{}{others}", grouped(counts.snapshots))),
        ("Needed", format!("{} in {}", human::size(counts.bytes), count(counts.blocks, "block"))),
        ("Packs", format!("{}, {}", grouped(counts.packs), human::size(counts.pack_bytes))),
    ];
    let waste = [
        (counts.orphans, "packs that no list names"),
        (counts.unneeded_lists, "lists that no snapshot needs"),
        (counts.condemned, "condemned objects"),
    ];
    let waste: Vec<String> =
        waste.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{} {what}", grouped(*number))).collect();
    if !waste.is_empty() {
        rows.push(("For prune", waste.join(", ")));
    }
    if counts.unknown_folders > 0 {
        rows.push(("Unknown", format!("{} that this version leaves alone", count(counts.unknown_folders, "folder"))));
    }
    if counts.packs_read > 0 {
        rows.push(("Read", format!("{}, {}", count(counts.packs_read, "pack"), human::size(counts.bytes_read))));
    }
    rows
}
