//! The status as Prometheus reads it: the text format, version 0.0.4.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{JobStatus, State, Status};
use crate::model::report::Kind;

/// What the text is, for `Content-Type`.
pub(in crate::hub) const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Status {
    /// As text.
    pub fn metrics(&self) -> String {
        let mut page = Page::default();
        page.gauge("hub_info", "The version of the hub.", [(vec![("version", self.program.as_str())], Some(1.0))]);
        self.backups(&mut page);
        self.tasks(&mut page);
        self.stores(&mut page);
        page.0
    }

    /// Each backup, and each of its repositories.
    fn backups(&self, page: &mut Page) {
        let jobs: Vec<(&JobStatus, &str)> =
            self.jobs.iter().filter(|job| job.kind == Kind::Backup).filter_map(|job| Some((job, job.job.as_deref()?))).collect();
        let places = || jobs.iter().flat_map(|(job, name)| job.repositories.iter().map(move |there| (*job, *name, there)));
        let labels = |job: &'_ JobStatus, name: &'_ str, there: &'_ str| {
            vec![("host", job.host.clone()), ("job", name.to_owned()), ("repository", there.to_owned())]
        };
        let time = |time: Option<Timestamp>| time.map(|time| time.as_second() as f64);
        page.gauge(
            "last_success_timestamp_seconds",
            "When a job last had its snapshot in a repository, by its own word.",
            places().map(|(job, name, there)| (labels(job, name, &there.name), time(there.last_success))),
        );
        page.gauge(
            "repository_success",
            "Whether the last run of a job succeeded in a repository.",
            places().map(|(job, name, there)| (labels(job, name, &there.name), Some(f64::from(u8::from(there.outcome.is_success()))))),
        );
        let sizes: [(&str, &str, fn(&super::JobRepository) -> u64); 5] = [
            ("source_files", "Files of the source at the last success.", |there| there.files),
            ("source_bytes", "Content of the source at the last success.", |there| there.bytes),
            ("read_bytes", "What the last success read.", |there| there.bytes_read),
            ("added_bytes", "What of that was new, before compression.", |there| there.bytes_added),
            ("stored_bytes", "What that took in the repository.", |there| there.bytes_stored),
        ];
        for (metric, help, value) in sizes {
            let good = places().filter(|(_, _, there)| there.last_success.is_some());
            page.gauge(metric, help, good.map(|(job, name, there)| (labels(job, name, &there.name), Some(value(there) as f64))));
        }
        let own = |job: &JobStatus, name: &str| vec![("host", job.host.clone()), ("job", name.to_owned())];
        let figures: [(&str, &str, fn(&JobStatus) -> Option<f64>); 9] = [
            ("last_run_timestamp_seconds", "When the last run of a job ended, or began if it still runs.", |job| {
                job.last_run.as_ref().map(|run| run.ended.unwrap_or(run.started).as_second() as f64)
            }),
            ("last_run_success", "Whether the last run of a job was done.", |job| {
                job.last_run.as_ref().map(|run| f64::from(u8::from(run.outcome.is_success())))
            }),
            ("last_run_duration_seconds", "How long the last run of a job took.", |job| Some(job.last_run.as_ref()?.seconds? as f64)),
            ("last_run_warnings", "How many warnings the last run of a job had.", |job| {
                job.last_run.as_ref().map(|run| run.warnings as f64)
            }),
            ("runs_failed_in_a_row", "How many of the last runs of a job failed in a row.", |job| Some(job.failures as f64)),
            ("runs_warned_in_a_row", "How many of the last runs of a job had warnings in a row.", |job| Some(job.warnings as f64)),
            ("next_run_timestamp_seconds", "When the next run of a job is due.", |job| job.next.map(|next| next.as_second() as f64)),
            ("late", "Whether a run of a job should have been reported and was not.", |job| {
                Some(f64::from(u8::from(job.late_since.is_some())))
            }),
            ("copies", "Copies of what a job saves, the live data among them.", |job| Some(job.copies.as_ref()?.count as f64)),
        ];
        for (metric, help, value) in figures {
            page.gauge(metric, help, jobs.iter().map(|(job, name)| (own(job, name), value(job))));
        }
        let copies: [(&str, &str, fn(&super::Copies) -> u64); 3] = [
            ("copies_media", "Kinds of media that the copies of a job are on.", |copies| copies.media),
            ("copies_offsite", "Whether a copy of a job is in another building.", |copies| copies.offsite.into()),
            ("copies_enough", "Whether a job has copies as the rule of 3-2-1 wants them.", |copies| copies.enough.into()),
        ];
        for (metric, help, value) in copies {
            page.gauge(
                metric,
                help,
                jobs.iter().map(|(job, name)| (own(job, name), job.copies.as_ref().map(|copies| value(copies) as f64))),
            );
        }
        let states = jobs.iter().flat_map(|(job, name)| {
            State::ALL.into_iter().map(move |state| {
                let mut labels = own(job, name);
                labels.push(("state", state.as_str().to_owned()));
                (labels, Some(f64::from(u8::from(job.state == state))))
            })
        });
        page.gauge("state", "How a job fares: 1 for the state that it is in.", states);
    }

    /// Everything that is no backup.
    fn tasks(&self, page: &mut Page) {
        let tasks: Vec<(&JobStatus, &str)> =
            self.jobs.iter().filter(|job| job.kind != Kind::Backup).filter_map(|job| Some((job, job.job.as_deref()?))).collect();
        let labels =
            |job: &JobStatus, name: &str| vec![("host", job.host.clone()), ("kind", job.kind.to_string()), ("name", name.to_owned())];
        let figures: [(&str, &str, fn(&JobStatus) -> Option<f64>); 4] = [
            ("task_last_success_timestamp_seconds", "When a check, mirror or the like was last done.", |job| {
                job.last_success.map(|time| time.as_second() as f64)
            }),
            ("task_last_run_success", "Whether the last run of a check, mirror or the like was done.", |job| {
                job.last_run.as_ref().map(|run| f64::from(u8::from(run.outcome.is_success())))
            }),
            ("task_last_run_duration_seconds", "How long that took.", |job| Some(job.last_run.as_ref()?.seconds? as f64)),
            ("task_late", "Whether it should have been reported and was not.", |job| Some(f64::from(u8::from(job.late_since.is_some())))),
        ];
        for (metric, help, value) in figures {
            page.gauge(metric, help, tasks.iter().map(|(job, name)| (labels(job, name), value(job))));
        }
    }

    /// Repositories, and the disk that they are on.
    fn stores(&self, page: &mut Page) {
        // What has no bound has no figure for it.
        let bound = |most: u64| (most < u64::MAX).then_some(most as f64);
        let figures: [(&str, &str, Box<dyn Fn(&super::RepositoryStatus) -> Option<f64>>); 7] = [
            ("repository_used_bytes", "What the objects of a repository take.", Box::new(|it| Some(it.used.bytes as f64))),
            ("repository_objects", "Objects of a repository.", Box::new(|it| Some(it.used.objects as f64))),
            ("repository_quota_bytes", "What they may take.", Box::new(move |it| bound(it.quota?.bytes))),
            ("repository_quota_objects", "How many objects there may be.", Box::new(move |it| bound(it.quota?.objects))),
            ("repository_snapshots", "Snapshots that count.", Box::new(|it| Some(it.snapshots as f64))),
            (
                "repository_snapshots_uncounted",
                "Snapshots that do not, being unfinished or forged.",
                Box::new(|it| Some(it.uncounted as f64)),
            ),
            (
                "repository_newest_snapshot_timestamp_seconds",
                "When the hub received the newest snapshot that counts.",
                Box::new(|it| it.newest.map(|time| time.as_second() as f64)),
            ),
        ];
        for (metric, help, value) in figures {
            page.gauge(metric, help, self.repositories.iter().map(|it| (vec![("repository", it.name.clone())], value(it))));
        }
        let kept = || self.repositories.iter().filter_map(|it| Some((it, it.upkeep.as_ref()?)));
        let times: [(&str, &str, fn(&super::Upkeep) -> Option<Timestamp>); 4] = [
            ("repository_forget_timestamp_seconds", "When the hub last let go of what no retention keeps.", |upkeep| upkeep.forgot),
            ("repository_prune_timestamp_seconds", "When the hub last gave back space.", |upkeep| upkeep.pruned),
            ("repository_verify_timestamp_seconds", "When the hub last read a share of the packs.", |upkeep| upkeep.verified),
            ("repository_read_in_full_timestamp_seconds", "Since when every byte has been read once.", |upkeep| upkeep.read_in_full),
        ];
        for (metric, help, value) in times {
            let samples =
                kept().map(|(it, upkeep)| (vec![("repository", it.name.clone())], value(upkeep).map(|time| time.as_second() as f64)));
            page.gauge(metric, help, samples);
        }
        let problems = kept().map(|(it, upkeep)| (vec![("repository", it.name.clone())], Some(upkeep.problems.len() as f64)));
        page.gauge("repository_upkeep_problems", "Steps of housekeeping whose last run has something to tell.", problems);
        let mirrors = || kept().flat_map(|(it, upkeep)| upkeep.mirrors.iter().map(move |mirror| (it, mirror)));
        let labels = |it: &super::RepositoryStatus, mirror: &super::MirrorUpkeep| {
            vec![("repository", it.name.clone()), ("mirror", mirror.name.clone())]
        };
        let done = mirrors().map(|(it, mirror)| (labels(it, mirror), mirror.last_success.map(|time| time.as_second() as f64)));
        page.gauge("mirror_last_success_timestamp_seconds", "When a mirror of the hub was last brought up to date.", done);
        let good = mirrors().map(|(it, mirror)| (labels(it, mirror), Some(f64::from(u8::from(mirror.error.is_none())))));
        page.gauge("mirror_success", "Whether the last run of a mirror of the hub had nothing to tell.", good);
        if let Some(disk) = self.disk {
            for (metric, help, value) in [
                ("hub_disk_free_bytes", "What is free on the disk of the hub.", disk.free),
                ("hub_disk_size_bytes", "How large that disk is.", disk.size),
            ] {
                page.gauge(metric, help, [(Vec::<(&str, String)>::new(), Some(value as f64))]);
            }
        }
    }
}

/// The text, growing.
#[derive(Default)]
struct Page(String);

impl Page {
    /// A gauge, with a line for each of its labels that has a value; nothing if none has.
    fn gauge<T: AsRef<str>>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Vec<(&'static str, T)>, Option<f64>)>) {
        let mut begun = false;
        for (labels, value) in samples {
            let Some(value) = value else { continue };
            if !std::mem::replace(&mut begun, true) {
                let _ = writeln!(self.0, "# HELP hearth_backup_{name} {help}\n# TYPE hearth_backup_{name} gauge");
            }
            let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text.as_ref()))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "hearth_backup_{name}{labels} {value}");
        }
    }
}

/// A label's value between its quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
