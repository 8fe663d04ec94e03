//! `hub watch`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{SERVICE, Which};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, explain};
use crate::cli::telling::Audience;
use crate::config::Occasion;
use crate::history::Severity;
use crate::hub::watch::{Concern, Lasting, Look};
use crate::hub::{Hub, OWN};
use crate::notify::{Subject, Telling, Told};

/// Concerns that are told of at once; the others are counted, and told of at the next look.
const MOST: usize = 30;
/// After how long people are told again that nobody is watching.
const AGAIN: Duration = Duration::from_secs(24 * 3600);
/// Letters of a title.
const TITLE: usize = 120;

/// Tell those whom the hub's `notify` names what has become wrong since the last look, and what is right again
///
/// Among it the silence of hosts: a run that should have been reported by now, with a grace of a quarter of the time between two runs. Meant for a
/// timer that elapses every few minutes. Whoever cannot be told is told at the next look.
#[derive(Debug, Args)]
pub struct Watch {
    #[command(flatten)]
    which: Which,

    /// Tell nobody, only show what is wrong
    #[arg(long, short = 'n')]
    dry_run: bool,
}

impl Watch {
    /// Runs the command.
    ///
    /// # Errors
    /// If the hub's directory cannot be used.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let looked = self.look(context);
        if !self.dry_run {
            self.tell_of_itself(context, looked.as_ref().err());
        }
        looked
    }

    /// Tells once that nobody is watching, and once that somebody is again. Whoever could be told every few minutes would not listen for long.
    fn tell_of_itself(&self, context: &Context, error: Option<&anyhow::Error>) {
        let Some(mark) = self.mark() else { return };
        let is_known = fs::metadata(&mark).and_then(|mark| mark.modified()).is_ok_and(|told| told.elapsed().is_ok_and(|age| age < AGAIN));
        let (occasion, title, line) = match (error, is_known) {
            (Some(error), false) => (Occasion::Failure, "the hub is not watched", explain(error)),
            (None, _) if mark.exists() => (Occasion::Recovery, "the hub is watched again", "its state can be seen again".to_owned()),
            _ => return,
        };
        // Written before it is told: on a disk that is full nobody is told, rather than every few minutes.
        let marked = if error.is_some() { fs::write(&mark, b"") } else { fs::remove_file(&mark) };
        let config = self.which.config().ok().flatten();
        let audience = config.and_then(|config| Audience::of(context, &config, Subject::Hub).ok());
        if let (Ok(()), Some(audience), Ok(progress)) = (marked, audience, context.progress()) {
            let told = audience.with(&progress, |telling| telling.news(occasion, title, &[line]));
            progress.finish();
            // Whom nobody could reach knows nothing, and is told at the next look.
            if error.is_some() && !told.is_empty() && told.iter().all(|told| told.trouble.is_some()) {
                let _ = fs::remove_file(&mark);
            }
        }
    }

    /// The file that says that people know that nobody is watching: where systemd keeps things for the unit, else beside the hub's own.
    fn mark(&self) -> Option<PathBuf> {
        let kept = std::env::var_os("RUNTIME_DIRECTORY").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let own = || Some(self.which.hub_that_is_there().ok()?.data_dir.join(OWN)).filter(|folder| folder.is_dir());
        Some(kept.or_else(own)?.join("watch.failed"))
    }

    fn look(&self, context: &Context) -> anyhow::Result<Exit> {
        let settings = self.which.hub_that_is_there()?;
        let hub = Hub::open(&settings, &Which::credentials(context, &format!("{SERVICE}watch")))?;
        // Another one at the same time would tell the same once more.
        let _turn = if self.dry_run { None } else { Some(hub.turn()?) };
        let mut look = hub.look()?;
        context.say(&text(&look))?;
        context.document(&look)?;
        if self.dry_run {
            return Ok(Exit::Done);
        }
        // What is not named now is not known, and its turn comes at the next look.
        let later = look.began.split_off(MOST.min(look.began.len()));
        let Some((began, ended)) = self.tell(context, &look, later.len())? else { return Ok(Exit::Done) };
        // What nobody heard is told at the next look; what one receiver took is not told again by all others.
        let is_told = |told: &[Told]| told.is_empty() || told.iter().any(|told| told.trouble.is_none());
        let missed = began.iter().chain(&ended).any(|told| told.trouble.is_some());
        let (knows_begin, knows_end) = (is_told(&began), is_told(&ended));
        let lasting = if knows_end { Vec::new() } else { look.ended.clone() };
        let known = Look {
            now: look.now,
            began: if knows_begin { look.began } else { Vec::new() },
            lasting: [look.lasting, lasting].concat(),
            ended: Vec::new(),
        };
        hub.remember(&known)?;
        Ok(match (knows_begin && knows_end, missed) {
            (false, _) => Exit::Failed,
            (true, true) => Exit::Warnings,
            (true, false) => Exit::Done,
        })
    }

    /// What became of telling what began, and what ended; none if nobody could be asked to.
    fn tell(&self, context: &Context, look: &Look, later: usize) -> anyhow::Result<Option<(Vec<Told>, Vec<Told>)>> {
        if look.began.is_empty() && look.ended.is_empty() {
            return Ok(Some((Vec::new(), Vec::new())));
        }
        let Some(config) = self.which.config()? else {
            tracing::warn!("nobody is told: who is told stands in a configuration; give --config instead of --data");
            return Ok(None);
        };
        let audience = Audience::of(context, &config, Subject::Hub)?;
        let progress = context.progress()?;
        let told = audience.with(&progress, |telling| {
            let began: Vec<&Concern> = look.began.iter().collect();
            let worst = if began.iter().any(|concern| concern.severity == Severity::Error) { Occasion::Failure } else { Occasion::Warning };
            let mut lines: Vec<String> = began.iter().map(|concern| concern.text.clone()).collect();
            if later > 0 {
                lines.push(format!("and {later} more, of which the next look tells; `hearth-backup hub watch --dry-run` shows them"));
            }
            let told = news(telling, worst, (&began, "problems"), &lines);
            let ended: Vec<&Concern> = look.ended.iter().map(|lasting| &lasting.concern).collect();
            let lines: Vec<String> = look.ended.iter().take(MOST).map(was).collect();
            (told, news(telling, Occasion::Recovery, (&ended, "problems are over"), &lines))
        });
        progress.finish();
        if told.0.is_empty() && told.1.is_empty() {
            tracing::warn!("nobody is told: neither hub.notify nor notify names a receiver for people that wants to hear of this");
        }
        Ok(Some(told))
    }
}

/// What somebody was told of and is no more.
fn was(lasting: &Lasting) -> String {
    format!("known since {:.0} and over now: {}", lasting.since, lasting.concern.text)
}

/// Tells of some concerns at once, in a line each.
fn news(telling: &Telling<'_>, occasion: Occasion, (concerns, many): (&[&Concern], &str), lines: &[String]) -> Vec<Told> {
    let title = match (concerns, occasion) {
        ([], _) => return Vec::new(),
        ([one], Occasion::Recovery) => format!("over: {}", one.text.split("; ").next().unwrap_or_default()),
        ([one], _) => one.text.split("; ").next().unwrap_or_default().to_owned(),
        (several, _) => format!("{} {many}", several.len()),
    };
    let title: String = title.chars().take(TITLE).collect();
    telling.news(occasion, &title, lines)
}

/// A line for each concern.
fn text(look: &Look) -> String {
    let line = |word: &str, concern: &Concern| {
        let severity = if concern.severity == Severity::Error { "error" } else { "warning" };
        format!("{word}: {severity}: {}\n", crate::cli::render::text::path(concern.text.as_bytes()))
    };
    let began = look.began.iter().map(|concern| line("new", concern));
    let lasting = look.lasting.iter().map(|lasting| line("known", &lasting.concern));
    let ended = look.ended.iter().map(|lasting| line("over", &lasting.concern));
    let text: String = began.chain(lasting).chain(ended).collect();
    if text.is_empty() { "All is well\n".to_owned() } else { text }
}
