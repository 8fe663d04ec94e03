//! The status as Prometheus reads it: the text format, version 0.0.4.

use jiff::Timestamp;

use super::Status;
use crate::history::{Page, metrics};

/// What the text is, for `Content-Type`.
pub(in crate::hub) const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Status {
    /// As text.
    pub fn metrics(&self) -> String {
        let mut page = Page::default();
        page.gauge("hub_info", "The version of the hub.", [(vec![("version", self.program.as_str())], Some(1.0))]);
        metrics::of_jobs(&self.jobs, &mut page);
        self.stores(&mut page);
        page.into_text()
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
        page.gauge(
            "repository_last_drill_timestamp_seconds",
            "When a restore of the hub's copy of a repository was last tried, and worked.",
            self.repositories.iter().map(|it| (vec![("repository", it.name.clone())], it.last_drill.map(|time| time.as_second() as f64))),
        );
        page.gauge(
            "repository_verify_within_seconds",
            "In which time each byte of a repository shall be read once.",
            self.repositories.iter().map(|it| (vec![("repository", it.name.clone())], it.verify_within.map(|seconds| seconds as f64))),
        );
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
        let tried = mirrors().map(|(it, mirror)| (labels(it, mirror), mirror.last_drill.map(|time| time.as_second() as f64)));
        page.gauge("mirror_last_drill_timestamp_seconds", "When a restore of a mirror of the hub was last tried, and worked.", tried);
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
