//! What is wrong now, as far as the hub sees it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::{Cause, Watch};
use crate::history::{JobStatus, Severity, State, warning};
use crate::hub::status::{RepositoryStatus, Status};
use crate::model::human;
use crate::model::report::{HUB, Kind, Outcome};

/// The hub's own run that was not for one mirror.
const ALL: &str = "all";
/// How long a mirror of which no timer is known may stay behind, and the first report of a host may take.
const BEHIND: SignedDuration = SignedDuration::from_hours(35 * 24);
const FIRST: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Letters of a concern: hosts write some of them.
const LONGEST: usize = 600;
/// Concerns of one host: it may make up jobs.
const OF_A_HOST: usize = 20;
/// How much of a disk shall be free, in percent.
const FREE: u64 = 10;
/// So many runs in a row with warnings are no accident.
const WARNED: u64 = 3;
/// How much longer reading everything may take than it should: a part of its turn is always ahead.
const LATER: f64 = 1.25;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concern {
    /// The same as long as it lasts.
    pub name: String,
    /// Why it is one.
    pub cause: Cause,
    /// How bad it is.
    pub severity: Severity,
    /// A sentence for people, that says of whom and what.
    pub text: String,
}

/// What a look has found.
pub(super) struct Found {
    /// Everything that is wrong and of which people want to know, the worst first.
    pub(super) concerns: Vec<Concern>,
    /// The names of those of which nobody need be told, as another one tells more.
    pub(super) explained: BTreeSet<String>,
    /// The names of those that are too many of one host: they are still wrong.
    pub(super) cut: BTreeSet<String>,
}

/// Everything that is wrong.
pub(super) fn of(status: &Status, watch: &Watch) -> Found {
    let mut of_hosts: BTreeMap<&str, Vec<Concern>> = BTreeMap::new();
    for job in &status.jobs {
        of_hosts.entry(&job.host).or_default().extend(of_job(job, status.now));
    }
    // With the rank among those of the same host: of what a host makes up nobody else's is crowded out.
    let (mut ranked, mut cut): (Vec<(usize, Concern)>, BTreeSet<String>) = Default::default();
    for (host, concerns) in of_hosts {
        ranked.extend(bounded(host, concerns, watch, &mut cut).into_iter().enumerate());
    }
    let mut of_hub: Vec<Concern> = Vec::new();
    for (name, why) in &status.unreadable {
        let text = format!("repository {name}: it cannot be read: {why}");
        of_hub.push(Concern { name: format!("unreadable {name}"), cause: Cause::Upkeep, severity: Severity::Error, text });
    }
    let own = || status.jobs.iter().filter(|job| job.repository.is_empty());
    for repository in &status.repositories {
        of_hub.extend(of_repository(repository, watch, status.now, &|mirror| is_timed(own(), mirror)));
    }
    if let Some(disk) = status.disk.filter(|disk| disk.free < disk.size / 100 * FREE) {
        let text = format!("the hub's disk has {} free of {}", human::size(disk.free), human::size(disk.size));
        of_hub.push(Concern { name: "disk".into(), cause: Cause::Disk, severity: Severity::Error, text });
    }
    ranked.extend(of_hub.into_iter().filter(|concern| watch.tells(concern.cause)).map(|concern| (0, concern)));
    // Silence first: it is what nobody else tells.
    ranked.sort_by(|(rank, one), (other_rank, other)| {
        (one.severity, rank, one.cause, &one.name).cmp(&(other.severity, other_rank, other.cause, &other.name))
    });
    let mut found: Vec<Concern> = ranked.into_iter().map(|(_, concern)| concern).collect();
    let mut seen = BTreeSet::new();
    found.retain(|concern| seen.insert(concern.name.clone()));
    for concern in &mut found {
        concern.text = concern.text.chars().take(LONGEST).collect();
    }
    let explained = status.jobs.iter().filter_map(|job| explained(job, &found)).collect();
    Found { concerns: found, explained, cut }
}

/// Those of one host of which people are told, the worst first, and how many there are besides.
fn bounded(host: &str, mut concerns: Vec<Concern>, watch: &Watch, cut: &mut BTreeSet<String>) -> Vec<Concern> {
    concerns.retain(|concern| watch.tells(concern.cause));
    concerns.sort_by(|one, other| (one.severity, one.cause, &one.name).cmp(&(other.severity, other.cause, &other.name)));
    let more = concerns.len().saturating_sub(OF_A_HOST);
    if let Some(worst) = concerns.first().filter(|_| more > 0) {
        let text = format!("{host}: and {more} more problems, which `hearth-backup status` shows");
        let more = Concern { name: format!("more {host}"), cause: worst.cause, severity: worst.severity, text };
        cut.extend(concerns.drain(OF_A_HOST..).map(|concern| concern.name));
        concerns.push(more);
    }
    concerns
}

/// Whether it is known when the hub next brings a mirror up to date, so that its silence is noticed.
fn is_timed<'j>(mut own: impl Iterator<Item = &'j JobStatus>, mirror: &str) -> bool {
    let name = format!("{HUB}{mirror}");
    own.any(|job| job.kind == Kind::Mirror && job.job.as_deref() == Some(&name) && job.overdue_at.is_some())
}

/// The failure of one of the hub's own runs, if what a repository or a mirror says tells why.
fn explained(job: &JobStatus, found: &[Concern]) -> Option<String> {
    let name = job.job.as_ref().filter(|_| job.repository.is_empty())?;
    // That it was killed nothing else tells.
    if job.last_run.as_ref().is_some_and(|run| matches!(run.outcome, Outcome::Killed | Outcome::Stopped)) {
        return None;
    }
    let of = name.strip_prefix(HUB)?;
    let mirror = format!("mirror {of} ");
    let tells = |concern: &Concern| match (concern.cause, job.kind) {
        (Cause::Mirror, _) => of == ALL || concern.name.starts_with(&mirror),
        (Cause::Upkeep, Kind::Maintain) => true,
        _ => false,
    };
    found.iter().any(tells).then(|| name_of("failing", job, name))
}

/// The name of a concern of a job.
fn name_of(word: &str, job: &JobStatus, name: &str) -> String {
    format!("{word} {} {} {name}", job.host, job.kind)
}

fn of_job(job: &JobStatus, now: Timestamp) -> Vec<Concern> {
    let Some(name) = &job.job else { return unheard(job, now).into_iter().collect() };
    let kind = if job.kind == Kind::Backup { "job".to_owned() } else { job.kind.to_string() };
    let who = format!("{kind} {name} of {}", job.host);
    let mut found = Vec::new();
    let mut say = |cause: Cause, severity, word: &str, text: String| {
        let name = name_of(word, job, name);
        found.push(Concern { name, cause, severity, text: format!("{who}: {text}") });
    };
    let last =
        job.last_success.map_or_else(|| "it never succeeded".to_owned(), |then| format!("the last success was {}", human::age(then, now)));
    // What is under way says nothing yet: until it ends, what counts is how the run before it ended.
    let state = match &job.last_run {
        Some(run) if job.state == State::Running && !matches!(run.outcome, Outcome::Success | Outcome::Warnings | Outcome::Running) => {
            State::Failing
        }
        Some(_) if job.state == State::Running && job.warnings > 0 => State::Warnings,
        _ => job.state,
    };
    match state {
        State::Late if job.running_since.is_some() => {
            say(Cause::Silent, Severity::Error, "silent", format!("{}; {last}", warning::endless(job)));
        }
        State::Late => {
            let since = job.late_since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
            say(Cause::Silent, Severity::Error, "silent", format!("no run was reported{since}, when one should have been; {last}"));
        }
        State::Failing => {
            let run = job.last_run.as_ref();
            let outcome = run.map_or("failure", |run| run.outcome.as_str());
            let ended = match run.filter(|run| run.outcome.is_success()) {
                Some(run) if run.problems > 0 => "found damage".to_owned(),
                Some(_) => "ended with failure in one of its repositories".to_owned(),
                None => format!("ended with {outcome}"),
            };
            let why = run.and_then(|run| run.error.as_ref()).map(|why| format!(": {why}")).unwrap_or_default();
            say(Cause::Failing, Severity::Error, "failing", format!("the last run {ended}{why}; {last}"));
        }
        State::Warnings if job.warnings >= WARNED => {
            say(Cause::Warnings, Severity::Warning, "warnings", format!("the last {} runs had warnings", job.warnings));
        }
        State::Never | State::Warnings | State::Running | State::Ok => {}
    }
    for there in &job.repositories {
        for anomaly in &there.anomalies {
            let word = format!("suspicious {} {}", there.name, anomaly.kind.as_str());
            say(Cause::Suspicious, Severity::Warning, &word, format!("the newest snapshot in {}: {}", there.name, anomaly.text));
        }
    }
    if job.integrity_failures > 0 {
        let text = format!("{} of its SQLite databases are damaged, as their own check says", job.integrity_failures);
        say(Cause::Integrity, Severity::Error, "integrity", text);
    }
    found
}

/// A host that never reported anything, and could have for a while.
fn unheard(job: &JobStatus, now: Timestamp) -> Option<Concern> {
    let since = job.awaited_since.filter(|since| now.duration_since(*since) > FIRST)?;
    let text = format!("{}: it has a token for {} since {}, and never reported a run", job.host, job.repository, human::age(since, now));
    Some(Concern { name: format!("unheard {} {}", job.host, job.repository), cause: Cause::Silent, severity: Severity::Warning, text })
}

fn of_repository(repository: &RepositoryStatus, watch: &Watch, now: Timestamp, is_timed: &dyn Fn(&str) -> bool) -> Vec<Concern> {
    let mut found = Vec::new();
    let mut say = |cause, severity, word: String, text: String| {
        let name = format!("{word} {}", repository.name);
        found.push(Concern { name, cause, severity, text: format!("repository {}: {text}", repository.name) });
    };
    if let Some(text) = &repository.quota_warning {
        say(Cause::Quota, Severity::Warning, "quota".into(), text.clone());
    }
    if let Some(upkeep) = &repository.upkeep {
        if !upkeep.problems.is_empty() {
            say(Cause::Upkeep, Severity::Error, "upkeep".into(), upkeep.problems.join("; "));
        }
        for mirror in &upkeep.mirrors {
            if let Some(error) = &mirror.error {
                say(Cause::Mirror, Severity::Error, format!("mirror {}", mirror.name), format!("mirror {}: {error}", mirror.name));
            } else if let Some(since) = mirror.last_success.or(repository.made).filter(|since| now.duration_since(*since) > BEHIND)
                && repository.newest.is_some()
                && !is_timed(&mirror.name)
            {
                let last = mirror.last_success.map_or_else(|| "never".to_owned(), |_| human::age(since, now));
                let text = format!("mirror {}: it was last brought up to date {last}; is there a timer for it?", mirror.name);
                say(Cause::Mirror, Severity::Error, format!("behind {}", mirror.name), text);
            }
        }
        let within = repository.verify_within.map(|seconds| SignedDuration::from_secs_f64(seconds as f64 * LATER));
        if let (Some(within), Some(read)) = (within, upkeep.read_in_full)
            && now.duration_since(read) > within
        {
            say(Cause::Unverified, Severity::Warning, "unverified".into(), format!("a part of it was last read {}", human::age(read, now)));
        }
    }
    if let Some(within) = watch.drill_within.filter(|_| repository.newest.is_some()) {
        let oldest = within.0.before(now, &TimeZone::UTC);
        let untried = |last: Option<Timestamp>| last.or(repository.made).is_none_or(|last| last < oldest);
        let text = |last: Option<Timestamp>| {
            let last = last.map_or_else(|| "never".to_owned(), |last| human::age(last, now));
            format!("a restore of it was last tried {last}, and shall be within {}", within.0)
        };
        if untried(repository.last_drill) {
            say(Cause::Untried, Severity::Warning, "untried".into(), text(repository.last_drill));
        }
        // What was never brought there cannot be tried, and is told anyway.
        let there = repository.upkeep.iter().flat_map(|upkeep| &upkeep.mirrors).filter(|mirror| mirror.last_success.is_some());
        for mirror in there.filter(|mirror| untried(mirror.last_drill)) {
            let name = format!("untried mirror {} {}", mirror.name, repository.name);
            let text = format!("mirror {} of repository {}: {}", mirror.name, repository.name, text(mirror.last_drill));
            found.push(Concern { name, cause: Cause::Untried, severity: Severity::Warning, text });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::job::never;
    use crate::history::tests::{at, entry, job};
    use crate::hub::status::tests::known;
    use crate::model::report::Report;

    const DAY: i64 = 24;

    fn texts(status: &Status, watch: &Watch) -> Vec<String> {
        of(status, watch).concerns.into_iter().map(|concern| concern.text).collect()
    }

    /// A hub at a time, at which nothing is wrong of what these tests are not about.
    fn hub(now: i64) -> Status {
        let mut status = Status { now: at(now), jobs: Vec::new(), disk: None, ..known() };
        status.repositories[0].verify_within = None;
        status
    }

    #[test]
    fn a_host_that_never_reported_is_told_after_three_days() {
        let mut status = hub(3 * DAY);
        status.jobs = vec![JobStatus { awaited_since: Some(at(0)), ..never("nas".into(), "nas".into()) }];
        assert_eq!(texts(&status, &Watch::default()), [""; 0]);
        status.now = at(3 * DAY + 1);
        assert_eq!(texts(&status, &Watch::default()), ["nas: it has a token for nas since 3 days ago, and never reported a run"]);
    }

    #[test]
    fn a_mirror_that_is_not_brought_up_to_date_is_told_unless_a_timer_says_when_it_will_be() {
        let mut status = hub(36 * DAY + 2);
        assert_eq!(
            texts(&status, &Watch::default()),
            ["repository nas: mirror friend: it was last brought up to date 36 days ago; is there a timer for it?"]
        );
        let own = |report: &mut Report| {
            (report.kind, report.job) = (Kind::Mirror, "hub/friend".into());
            (report.started, report.next) = (at(35 * DAY), Some(at(36 * DAY)));
        };
        status.jobs = vec![JobStatus { repository: String::new(), ..job(vec![entry(35 * DAY, Outcome::Success, own)], 36 * DAY + 2) }];
        assert_eq!(texts(&status, &Watch::default()), [""; 0]);
        let upkeep = status.repositories[0].upkeep.as_mut().unwrap();
        upkeep.mirrors[0].last_success = None;
        (status.repositories[0].made, status.jobs) = (Some(at(0)), Vec::new());
        assert!(texts(&status, &Watch::default())[0].contains("last brought up to date never"));
    }

    #[test]
    fn a_restore_of_a_new_repository_has_as_long_as_that_of_any_other() {
        let watch = Watch { tell: Some(vec![Cause::Untried]), drill_within: Some(crate::config::TimeSpan("10d".parse().unwrap())) };
        let mut status = hub(10 * DAY);
        (status.repositories[0].last_drill, status.repositories[0].made) = (None, Some(at(1)));
        let tried = |status: &mut Status, then| status.repositories[0].upkeep.as_mut().unwrap().mirrors[0].last_drill = then;
        tried(&mut status, None);
        assert_eq!(texts(&status, &watch), [""; 0]);
        status.now = at(10 * DAY + 2);
        let own = "repository nas: a restore of it was last tried never, and shall be within 10d";
        let mirror = "mirror friend of repository nas: a restore of it was last tried";
        assert_eq!(texts(&status, &watch), [format!("{mirror} never, and shall be within 10d"), own.to_owned()]);
        tried(&mut status, Some(at(2 * DAY)));
        assert_eq!(texts(&status, &watch), [own], "a mirror is tried by itself");
        (status.now, status.repositories[0].last_drill) = (at(13 * DAY), Some(at(12 * DAY)));
        assert_eq!(texts(&status, &watch), [format!("{mirror} 11 days ago, and shall be within 10d")]);
    }
}
