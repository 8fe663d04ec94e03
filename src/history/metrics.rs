//! How jobs fare, as metrics.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Copies, JobRepository, JobStatus, Page, State};
use crate::model::report::{AnomalyKind, Disk, DrillFigures, Kind};

/// Adds those of all jobs to a page.
pub fn of_jobs(jobs: &[JobStatus], page: &mut Page) {
    backups(jobs, page);
    repositories(jobs, page);
    tasks(jobs, page);
    drills(jobs, page);
    clocks(jobs, page);
}

/// Backups whose name is known.
fn named(jobs: &[JobStatus], is_meant: impl Fn(Kind) -> bool) -> Vec<(&JobStatus, &str)> {
    jobs.iter().filter(|job| is_meant(job.kind)).filter_map(|job| Some((job, job.job.as_deref()?))).collect()
}

fn seconds(time: Option<Timestamp>) -> Option<f64> {
    time.map(|time| time.as_second() as f64)
}

fn truth(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// Each job in each of its repositories.
fn repositories(jobs: &[JobStatus], page: &mut Page) {
    let jobs = named(jobs, |kind| kind == Kind::Backup);
    let places = || jobs.iter().flat_map(|(job, name)| job.repositories.iter().map(move |there| (*job, *name, there)));
    let labels = |job: &JobStatus, name: &str, there: &JobRepository| {
        vec![("host", job.host.clone()), ("job", name.to_owned()), ("repository", there.name.clone())]
    };
    let figures: [(&str, &str, fn(&JobRepository) -> Option<f64>); 7] = [
        ("last_success_timestamp_seconds", "When a job last had its snapshot in a repository, by its own word.", |there| {
            seconds(there.last_success)
        }),
        ("repository_success", "Whether the last run of a job succeeded in a repository.", |there| Some(truth(there.outcome.is_success()))),
        ("source_files", "Files of the source at the last success.", |there| there.last_success.map(|_| there.files as f64)),
        ("source_bytes", "Content of the source at the last success.", |there| there.last_success.map(|_| there.bytes as f64)),
        ("read_bytes", "What the last success read.", |there| there.last_success.map(|_| there.bytes_read as f64)),
        ("added_bytes", "What of that was new, before compression.", |there| there.last_success.map(|_| there.bytes_added as f64)),
        ("stored_bytes", "What that took in the repository.", |there| there.last_success.map(|_| there.bytes_stored as f64)),
    ];
    for (metric, help, value) in figures {
        page.gauge(metric, help, places().map(|(job, name, there)| (labels(job, name, there), value(there))));
    }
    let anomalies = places().filter(|(_, _, there)| there.last_success.is_some()).flat_map(|(job, name, there)| {
        AnomalyKind::ALL.into_iter().map(move |kind| {
            let labels = [labels(job, name, there), vec![("kind", kind.as_str().to_owned())]].concat();
            (labels, Some(truth(there.anomalies.iter().any(|anomaly| anomaly.kind == kind))))
        })
    });
    page.gauge("anomalies", "Whether the last success was suspicious in a way.", anomalies);
    // Several jobs may go to one repository, and a repository has one disk.
    let mut disks = BTreeMap::new();
    for (job, _, there) in places().filter(|(_, _, there)| there.disk.is_some()) {
        let newest = disks.entry((job.host.clone(), there.name.clone())).or_insert((there.last_success, there.disk));
        if there.last_success > newest.0 {
            *newest = (there.last_success, there.disk);
        }
    }
    let figures: [(&str, &str, fn(&Disk) -> u64); 2] = [
        ("repository_disk_free_bytes", "What was free after the last success on the disk of a host that a repository lies on.", |it| {
            it.free
        }),
        ("repository_disk_size_bytes", "How large that disk is.", |it| it.size),
    ];
    for (metric, help, value) in figures {
        let labels = |host: &String, name: &String| vec![("host", host.clone()), ("repository", name.clone())];
        let samples = disks.iter().map(|((host, name), (_, disk))| (labels(host, name), disk.as_ref().map(|disk| value(disk) as f64)));
        page.gauge(metric, help, samples);
    }
}

/// Each backup.
fn backups(jobs: &[JobStatus], page: &mut Page) {
    let jobs = named(jobs, |kind| kind == Kind::Backup);
    let own = |job: &JobStatus, name: &str| vec![("host", job.host.clone()), ("job", name.to_owned())];
    let figures: [(&str, &str, fn(&JobStatus) -> Option<f64>); 12] = [
        ("last_run_timestamp_seconds", "When the last run of a job ended, or began if it still runs.", |job| {
            job.last_run.as_ref().map(|run| run.ended.unwrap_or(run.started).as_second() as f64)
        }),
        ("last_run_success", "Whether the last run of a job was done.", |job| {
            job.last_run.as_ref().map(|run| truth(run.outcome.is_success()))
        }),
        ("last_run_duration_seconds", "How long the last run of a job took.", |job| Some(job.last_run.as_ref()?.seconds? as f64)),
        ("last_run_warnings", "How many warnings the last run of a job had.", |job| job.last_run.as_ref().map(|run| run.warnings as f64)),
        ("runs_failed_in_a_row", "How many of the last runs of a job failed in a row.", |job| Some(job.failures as f64)),
        ("runs_warned_in_a_row", "How many of the last runs of a job had warnings in a row.", |job| Some(job.warnings as f64)),
        ("next_run_timestamp_seconds", "When the next run of a job is due.", |job| seconds(job.next)),
        ("overdue_timestamp_seconds", "From when on a job is late: due, with a grace and the time that it takes.", |job| {
            seconds(job.overdue_at)
        }),
        ("late", "Whether a run of a job should have been reported and was not.", |job| Some(truth(job.late_since.is_some()))),
        ("sqlite_copies", "SQLite databases that the last run of a job copied and looked at.", |job| Some(job.sqlite_copies as f64)),
        ("integrity_failures", "Those of them that are damaged.", |job| Some(job.integrity_failures as f64)),
        ("copies", "Copies of what a job saves, the live data among them.", |job| Some(job.copies.as_ref()?.count as f64)),
    ];
    for (metric, help, value) in figures {
        page.gauge(metric, help, jobs.iter().map(|(job, name)| (own(job, name), value(job))));
    }
    let copies: [(&str, &str, fn(&Copies) -> u64); 3] = [
        ("copies_media", "Kinds of media that the copies of a job are on.", |copies| copies.media),
        ("copies_offsite", "Whether a copy of a job is in another building.", |copies| copies.offsite.into()),
        ("copies_enough", "Whether a job has copies as the rule of 3-2-1 wants them.", |copies| copies.enough.into()),
    ];
    for (metric, help, value) in copies {
        page.gauge(metric, help, jobs.iter().map(|(job, name)| (own(job, name), job.copies.as_ref().map(|copies| value(copies) as f64))));
    }
    let states = jobs.iter().flat_map(|(job, name)| {
        State::ALL.into_iter().map(move |state| {
            let mut labels = own(job, name);
            labels.push(("state", state.as_str().to_owned()));
            (labels, Some(truth(job.state == state)))
        })
    });
    page.gauge("state", "How a job fares: 1 for the state that it is in.", states);
}

/// Everything that is no backup.
fn tasks(jobs: &[JobStatus], page: &mut Page) {
    let tasks = named(jobs, |kind| kind != Kind::Backup);
    let labels = |job: &JobStatus, name: &str| vec![("host", job.host.clone()), ("kind", job.kind.to_string()), ("name", name.to_owned())];
    let figures: [(&str, &str, fn(&JobStatus) -> Option<f64>); 7] = [
        ("task_last_success_timestamp_seconds", "When a check, mirror or the like was last done.", |job| seconds(job.last_success)),
        ("task_last_run_timestamp_seconds", "When its last run ended, or began if it still runs.", |job| {
            job.last_run.as_ref().map(|run| run.ended.unwrap_or(run.started).as_second() as f64)
        }),
        ("task_last_run_success", "Whether the last run of a check, mirror or the like was done, and found nothing damaged.", |job| {
            job.last_run.as_ref().map(|run| truth(run.outcome.is_success() && run.problems == 0))
        }),
        ("task_last_run_duration_seconds", "How long that took.", |job| Some(job.last_run.as_ref()?.seconds? as f64)),
        ("task_late", "Whether it should have been reported and was not.", |job| Some(truth(job.late_since.is_some()))),
        ("task_overdue_timestamp_seconds", "From when on it is late.", |job| seconds(job.overdue_at)),
        ("task_runs_failed_in_a_row", "How many of its last runs failed in a row.", |job| Some(job.failures as f64)),
    ];
    for (metric, help, value) in figures {
        page.gauge(metric, help, tasks.iter().map(|(job, name)| (labels(job, name), value(job))));
    }
}

/// Each drill, by the repository that it tries.
fn drills(jobs: &[JobStatus], page: &mut Page) {
    let drills = named(jobs, |kind| kind == Kind::Drill);
    let places = || drills.iter().flat_map(|(job, name)| job.repositories.iter().map(move |there| (*job, *name, there)));
    let labels = |job: &JobStatus, name: &str, there: &JobRepository| {
        vec![("host", job.host.clone()), ("drill", name.to_owned()), ("repository", there.name.clone())]
    };
    page.gauge(
        "drill_last_success_timestamp_seconds",
        "When a drill last restored what it should.",
        places().map(|(job, name, there)| (labels(job, name, there), seconds(there.last_success))),
    );
    page.gauge(
        "drill_success",
        "Whether the last drill did.",
        places().map(|(job, name, there)| (labels(job, name, there), Some(truth(there.outcome.is_success())))),
    );
    let figures: [(&str, &str, fn(&DrillFigures) -> Option<f64>); 4] = [
        ("drill_restore_seconds", "How long the last restore of a drill took.", |it| Some(it.restore_milliseconds as f64 / 1000.0)),
        ("drill_restored_bytes", "What it brought back.", |it| Some(it.bytes as f64)),
        ("drill_bytes_per_second", "How fast.", |it| it.bytes_per_second.map(|rate| rate as f64)),
        ("drill_recovery_seconds", "How long everything in the repository would take at that speed.", |it| {
            it.recovery_seconds.map(|time| time as f64)
        }),
    ];
    for (metric, help, value) in figures {
        let samples = places().map(|(job, name, there)| (labels(job, name, there), job.drill.as_ref().and_then(value)));
        page.gauge(metric, help, samples);
    }
    let ages = places().map(|(job, name, there)| {
        let age = job.drill.as_ref().and_then(|drill| Some(job.last_run.as_ref()?.started.duration_since(drill.snapshot_time?)));
        (labels(job, name, there), age.map(|age| age.as_secs().max(0) as f64))
    });
    page.gauge("drill_snapshot_age_seconds", "How old the snapshot was that the last drill restored.", ages);
}

/// How far the clocks of hosts are ahead, by the newest report of each.
fn clocks(jobs: &[JobStatus], page: &mut Page) {
    let mut newest = BTreeMap::new();
    for job in jobs {
        if let (Some(ahead), Some(run)) = (job.clock_ahead, &job.last_run) {
            let known = newest.entry(&job.host).or_insert((run.received, ahead));
            *known = (*known).max((run.received, ahead));
        }
    }
    let samples = newest.into_iter().map(|(host, (_, ahead))| (vec![("host", host.clone())], Some(ahead as f64)));
    page.gauge("clock_skew_seconds", "How far the clock of a host was ahead when its last report came.", samples);
}
