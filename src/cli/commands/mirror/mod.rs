//! `mirror`: a repository is copied to another place, and house is kept there.

mod report;

use std::sync::Arc;

use clap::Args;
use jiff::tz::TimeZone;

use self::report::Report;
use super::forget::policy::PolicyArgs;
use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::keys::Key;
use crate::cli::reporting::{Told, reported, reporter};
use crate::cli::telling::telling;
use crate::cli::trust;
use crate::config::{self, Config, Credentials};
use crate::content::keys::WriterKey;
use crate::keep::forget::{Memory, policy};
use crate::keep::mirror::{MirrorOptions, mirror};
use crate::keep::prune;
use crate::keep::reach::access_to;
use crate::model::report::Kind;
use crate::notify::Subject;
use crate::report::of_mirror;
use crate::retention::{Limits, Policy};
use crate::sealed::gc;
use crate::sealed::repository::Repository;
use crate::store::{Access, Address, Location, LocationError, Store, open};

/// Copy a repository to another place, or bring the copy up to date; needs no key
///
/// The copy is the same repository in another place: it is read, checked and restored from like the original. It is brought what is new, each
/// object checked on the way, and may keep other snapshots than the original: what was forgotten in it does not come back, and what was
/// forgotten in the original stays until the copy's own rules forget it. Backups and prunes may run on either side meanwhile.
#[derive(Debug, Args)]
pub struct Mirror {
    /// A mirror of the configuration; its retention and prune stand there, and verify unless --verify says otherwise
    #[arg(value_name = "NAME", conflicts_with_all = ["from", "to", "policy", "prune"])]
    name: Option<String>,

    #[command(flatten)]
    file: super::config::ConfigFile,

    /// The repository to copy [default: that of --repo]
    #[arg(long, value_name = "REPO")]
    from: Option<String>,

    /// Where to; an empty place becomes the same repository
    #[arg(long, value_name = "REPO", required_unless_present = "name")]
    to: Option<String>,

    #[command(flatten)]
    policy: PolicyArgs,

    /// Prune the mirror afterwards, with the default grace period
    #[arg(long)]
    prune: bool,

    /// Read back and hash what the mirror has, or so many percent of its packs, others every day
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "100", value_parser = args::OptionalPercent)]
    verify: Option<u8>,

    /// Change nothing, say what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Refuse to forget more than so many percent of the mirror's snapshots at once
    #[arg(long, value_name = "PERCENT", default_value = "90", value_parser = args::percent)]
    max_forget: u8,

    /// The clock is right, although it is behind a record or far past the last run
    #[arg(long)]
    accept_clock: bool,

    /// Tell those whom the mirror's `notify` names, where no unit beside this one does
    #[arg(long, requires = "name")]
    notify: bool,
}

/// A place, and what is needed to reach it.
struct End {
    url: String,
    access: Access,
}

/// What is to be done, whoever said so.
struct Task {
    from: End,
    to: End,
    key: Option<Key>,
    options: MirrorOptions,
}

impl Mirror {
    /// Runs the command.
    ///
    /// # Errors
    /// If the repository or the place for its mirror cannot be used.
    pub fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let Some(name) = &self.name else { return self.copy(context, self.given(context)?, &mut Told::default(), "") };
        let config = self.file.read()?;
        let context = &context.with_state_of(&config)?;
        let wanted = config.mirror(name)?;
        let ends = vec![wanted.to.clone(), wanted.from.clone()];
        let reporter = reporter(context, &config, (Kind::Mirror, name), ends, format!("hearth-backup-mirror-{name}"))?;
        telling(context, &config, Subject::Mirror(name.clone()), (self.notify && !self.dry_run).then_some(&reporter), || {
            reported(context, Some(&reporter).filter(|_| !self.dry_run), |told| {
                self.copy(context, self.configured(context, &config, name)?, told, &wanted.to)
            })
        })
    }

    /// Does what is to be done; in the report the mirror is called `name_of_mirror`.
    fn copy(&self, context: &Context, task: Task, told: &mut Told, name_of_mirror: &str) -> anyhow::Result<Exit> {
        let location = open::open(&task.from.url, &task.from.access)?;
        let seen = task.key.as_ref().and_then(Key::seen);
        let source = trust::open(context, location, task.key.as_ref().and_then(Key::repository), seen)?;
        let store = place(context, &task.to, &source, task.options.dry_run)?;
        let state = context.state(&source.id())?;
        let progress = context.progress()?;
        let mirrored = mirror(&source, store.as_ref(), &Memory::within(state.dir()), &task.options, &progress)?;
        progress.finish();
        told.work = of_mirror(name_of_mirror, &mirrored);
        told.found(&progress);
        if let (Some(store), false) = (&store, task.options.dry_run) {
            context.known()?.remember(&store.location(), source.id());
        }
        let failed = mirrored.failed();
        let to = store.map_or(task.to.url, |store| store.location());
        let report = Report::new(source.store().location(), to, task.options.dry_run, mirrored, progress.warnings());
        report.log();
        if task.options.dry_run {
            context.say(&report.text())?;
        } else {
            context.summary(&report.text())?;
        }
        context.document(&report)?;
        Ok(match (failed, report.is_clean()) {
            (true, _) => Exit::Failed,
            (false, false) => Exit::Warnings,
            (false, true) => context.end(&progress),
        })
    }

    fn limits(&self) -> Limits {
        Limits { max_forget_percent: self.max_forget, accept_clock: self.accept_clock }
    }

    fn given(&self, context: &Context) -> anyhow::Result<Task> {
        let from = match &self.from {
            Some(from) => from.clone(),
            None => context.location().map_err(|_| UsageError::new("which repository shall be copied? Give it with --from"))?.to_owned(),
        };
        let policy = self.policy.policy();
        let prune = gc::Options { dry_run: self.dry_run, ..gc::Options::default() };
        let options = MirrorOptions {
            policy: Some(policy).filter(|policy| *policy != Policy::default()),
            limits: self.limits(),
            zone: TimeZone::system(),
            prune: self.prune.then_some(prune),
            verify: self.verify,
            dry_run: self.dry_run,
        };
        let end = |url: String| anyhow::Ok(End { url, access: context.access()? });
        Ok(Task { from: end(from)?, to: end(self.to.clone().unwrap_or_default())?, key: context.key()?, options })
    }

    fn configured(&self, context: &Context, config: &Config, name: &str) -> anyhow::Result<Task> {
        let wanted = config.mirror(name)?;
        let (from, to) = (config.repository(&wanted.from)?, config.repository(&wanted.to)?);
        let credentials = credentials(context, name);
        // Either key says which repository it must be, though none is needed.
        let key = match from.writer_key.as_ref().or(to.writer_key.as_ref()) {
            Some(file) => Some(Key::Writer(Box::new(WriterKey::read(&file.locate(&credentials)?)?))),
            None => None,
        };
        let options = MirrorOptions {
            policy: wanted.retention.as_ref().map(policy),
            limits: self.limits(),
            zone: TimeZone::system(),
            prune: wanted.prune.then(|| prune::options(to.prune, self.dry_run)).transpose()?,
            verify: Some(self.verify.unwrap_or(wanted.verify.get())).filter(|share| *share > 0),
            dry_run: self.dry_run,
        };
        let usual = context.access()?;
        let end = |configured: &config::Repository| {
            anyhow::Ok(End { url: configured.url.clone(), access: access_to(configured, &credentials, &usual)? })
        };
        Ok(Task { from: end(from)?, to: end(to)?, key, options })
    }
}

/// Where the mirror's service finds its secrets.
fn credentials(context: &Context, mirror: &str) -> Credentials {
    Credentials { directory: context.credentials(), service: format!("hearth-backup-mirror-{mirror}") }
}

/// The store of the mirror; an empty one is made, unless a mirror is known to have been there: its disk may not be mounted.
fn place(context: &Context, to: &End, source: &Repository, dry_run: bool) -> anyhow::Result<Option<Arc<dyn Store>>> {
    // Before anything is made.
    anyhow::ensure!(
        Address::parse(&to.url, &to.access)?.expected_id.is_none_or(|id| id == source.id()),
        "{} shall be another repository than the one to be copied, which is {}",
        to.url,
        source.id().to_bech32()
    );
    let Location { store, .. } = match open::open(&to.url, &to.access) {
        Err(LocationError::Store(error)) if error.is_not_found() => {
            if context.known()?.get(&error.object).is_some() && !context.global.trust_new_repository {
                anyhow::bail!(
                    "{} is empty or not there; a repository was when this machine looked last, so none is made now: its disk may not be mounted. If it \
                     is gone for good, add --trust-new-repository",
                    error.object
                );
            }
            if dry_run {
                return Ok(None);
            }
            open::create(&to.url, &to.access)?
        }
        other => other?,
    };
    Ok(Some(store))
}
