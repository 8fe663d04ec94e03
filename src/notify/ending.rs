//! How a run ended, from what systemd tells the unit that it starts through `OnFailure=` or `OnSuccess=`.
//!
//! Source: systemd.exec(5), "Environment Variables Set or Propagated by the Service Manager": `$MONITOR_SERVICE_RESULT`, `$MONITOR_EXIT_CODE`,
//! `$MONITOR_EXIT_STATUS`, `$MONITOR_INVOCATION_ID` and `$MONITOR_UNIT`, since systemd 251. They are missing if several units ended at once.

use std::fmt;

use crate::model::report::{self, Report};

/// Exit status of a run that has done its work, but not without warnings.
const INCOMPLETE: i32 = 3;
/// Exit statuses by which systemd says that it did not get so far as to run the program.
const NOT_RUN: std::ops::RangeInclusive<i32> = 200..=243;
/// What shells, and we, add to the number of a signal.
const SIGNALLED: i32 = 128;

/// The end of a run, as far as systemd tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// The unit that ran it.
    pub unit: Option<String>,
    /// Which of the unit's runs it was: 32 hexadecimal digits.
    pub invocation: Option<String>,
    /// How it ended, if systemd said so.
    pub outcome: Option<Outcome>,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Outcome {
    /// All was done.
    Succeeded,
    /// It was done, and something is to be looked at.
    Incomplete,
    /// It was done, and found that something is damaged or missing.
    Damage,
    /// Somebody stopped it.
    Stopped,
    /// With status 1, or nobody knows how.
    #[default]
    Failed,
    /// With another status.
    Status(i32),
    /// By a signal of this name or number.
    Signal(String),
    /// It was gone without a word.
    Vanished,
    /// It took too long.
    Timeout,
    /// There was no memory left.
    Memory,
    /// In another way, in a word of systemd.
    Other(String),
}

impl Ending {
    /// From the variables in the environment, of which `variable` gives the values.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(&format!("MONITOR_{name}")).filter(|value| !value.is_empty());
        let (result, status) = (variable("SERVICE_RESULT"), variable("EXIT_STATUS"));
        let outcome = (result.is_some() || status.is_some()).then(|| Outcome::of(result.as_deref(), status));
        Self { unit: variable("UNIT"), invocation: variable("INVOCATION_ID").filter(|id| is_invocation(id)), outcome }
    }
}

/// Whether a text names one run of a unit.
fn is_invocation(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Outcome {
    /// From `$MONITOR_SERVICE_RESULT` and `$MONITOR_EXIT_STATUS`, the latter a number or the name of a signal.
    fn of(result: Option<&str>, status: Option<String>) -> Self {
        let number = status.as_ref().and_then(|status| status.parse::<i32>().ok());
        match (result, number) {
            (Some("success"), Some(0)) => Outcome::Succeeded,
            (Some("success"), None) if status.is_none() => Outcome::Succeeded,
            (Some("success"), Some(INCOMPLETE)) => Outcome::Incomplete,
            // What a unit counts as success besides is that it was stopped (SuccessExitStatus=130 143).
            (Some("success"), _) => Outcome::Stopped,
            (Some("exit-code") | None, Some(INCOMPLETE)) => Outcome::Incomplete,
            (Some("exit-code") | None, Some(1) | None) => Outcome::Failed,
            (Some("exit-code") | None, Some(number)) if number > SIGNALLED && !NOT_RUN.contains(&number) => {
                let signal = nix::sys::signal::Signal::try_from(number - SIGNALLED);
                signal.map_or(Outcome::Status(number), |signal| Outcome::Signal(signal.as_str().trim_start_matches("SIG").to_owned()))
            }
            (Some("exit-code") | None, Some(number)) => Outcome::Status(number),
            (Some("signal" | "core-dump" | "watchdog"), _) => Outcome::Signal(status.unwrap_or_else(|| "that is not known".to_owned())),
            (Some("timeout"), _) => Outcome::Timeout,
            (Some("oom-kill"), _) => Outcome::Memory,
            (Some(other), _) => Outcome::Other(other.to_owned()),
        }
    }

    /// As the run's own report says; none while it runs.
    pub(super) fn reported(report: &Report) -> Option<Self> {
        Some(match (report.outcome, report.exit_status) {
            (report::Outcome::Running, _) => return None,
            (report::Outcome::Success, _) => Self::Succeeded,
            (report::Outcome::Warnings, _) => Self::Incomplete,
            (report::Outcome::Stopped, _) => Self::Stopped,
            (report::Outcome::Killed, _) => Self::Vanished,
            (report::Outcome::Failure, Some(status @ 2..)) => Self::Status(status.into()),
            (report::Outcome::Failure, _) => Self::Failed,
        })
    }

    /// What the report says, and what systemd does: who knows more is believed, and who knows of something worse.
    pub(super) fn either(systemd: Option<Self>, reported: Option<Self>) -> Self {
        match (systemd, reported) {
            (Some(known @ (Self::Timeout | Self::Memory | Self::Signal(_) | Self::Other(_))), _) => known,
            (Some(known), Some(Self::Succeeded)) => known,
            (_, Some(reported)) => reported,
            (Some(known), None) => known,
            (None, None) => Self::Failed,
        }
    }

    /// Whether what was to be done was done.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Incomplete)
    }

    /// One word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Succeeded => "success",
            Outcome::Incomplete => "incomplete",
            Outcome::Damage => "damage",
            Outcome::Stopped => "stopped",
            Outcome::Failed | Outcome::Status(_) | Outcome::Other(_) => "failure",
            Outcome::Signal(_) => "signal",
            Outcome::Vanished => "killed",
            Outcome::Timeout => "timeout",
            Outcome::Memory => "oom",
        }
    }

    /// The exit status, if it is known and says something.
    pub(super) fn status(&self) -> Option<u8> {
        match self {
            Self::Incomplete | Self::Damage => u8::try_from(INCOMPLETE).ok(),
            Self::Status(number) => u8::try_from(*number).ok(),
            _ => None,
        }
    }
}

/// What the run did, for people, after its name.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Succeeded => f.write_str("succeeded"),
            Outcome::Damage => f.write_str("found damage"),
            Outcome::Incomplete => f.write_str("finished, but something could not be read, or is not as it should be"),
            Outcome::Stopped => f.write_str("was stopped"),
            Outcome::Vanished => f.write_str("was killed, or the machine went down"),
            Outcome::Failed => f.write_str("failed"),
            Outcome::Status(number) if NOT_RUN.contains(number) => write!(f, "could not be started by systemd (exit status {number})"),
            Outcome::Status(number) => write!(f, "failed with exit status {number}"),
            Outcome::Signal(name) => write!(f, "was ended by signal {name}"),
            Outcome::Timeout => f.write_str("took longer than its unit allows and was ended"),
            Outcome::Memory => f.write_str("was ended because memory ran out"),
            Outcome::Other(word) => write!(f, "failed (systemd says: {word})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(variables: &[(&str, &str)]) -> Ending {
        Ending::from_variables(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn what_systemd_says_becomes_words() {
        for (result, status, word, words) in [
            ("exit-code", "3", "incomplete", "finished, but something could not be read, or is not as it should be"),
            ("exit-code", "1", "failure", "failed"),
            ("exit-code", "2", "failure", "failed with exit status 2"),
            ("exit-code", "143", "signal", "was ended by signal TERM"),
            ("exit-code", "226", "failure", "could not be started by systemd (exit status 226)"),
            ("signal", "KILL", "signal", "was ended by signal KILL"),
            ("core-dump", "SEGV", "signal", "was ended by signal SEGV"),
            ("timeout", "TERM", "timeout", "took longer than its unit allows and was ended"),
            ("oom-kill", "KILL", "oom", "was ended because memory ran out"),
            ("start-limit-hit", "", "failure", "failed (systemd says: start-limit-hit)"),
            ("success", "0", "success", "succeeded"),
            ("success", "3", "incomplete", "finished, but something could not be read, or is not as it should be"),
            ("success", "143", "stopped", "was stopped"),
            ("success", "TERM", "stopped", "was stopped"),
        ] {
            let outcome = ending(&[("MONITOR_SERVICE_RESULT", result), ("MONITOR_EXIT_STATUS", status)]).outcome.unwrap();
            assert_eq!((outcome.word(), outcome.to_string().as_str()), (word, words), "{result} {status}");
        }
    }

    #[test]
    fn an_invocation_that_is_none_is_not_asked_for() {
        let id = "0123456789abcdef0123456789abcdef";
        let with = |id: &str| ending(&[("MONITOR_INVOCATION_ID", id), ("MONITOR_UNIT", "x.service")]).invocation;
        assert_eq!(with(id).as_deref(), Some(id));
        assert_eq!((with("--all"), with("")), (None, None));
        assert_eq!(ending(&[("MONITOR_SERVICE_RESULT", "")]), Ending::default());
    }

    #[test]
    fn whoever_knows_more_of_the_end_is_believed() {
        let either = |systemd: Option<Outcome>, reported: Option<Outcome>| Outcome::either(systemd, reported).word();
        assert_eq!(either(Some(Outcome::Timeout), Some(Outcome::Stopped)), "timeout");
        assert_eq!(either(Some(Outcome::Succeeded), Some(Outcome::Incomplete)), "incomplete");
        assert_eq!(either(Some(Outcome::Stopped), Some(Outcome::Failed)), "failure");
        assert_eq!(either(Some(Outcome::Failed), Some(Outcome::Succeeded)), "failure");
        assert_eq!(either(Some(Outcome::Signal("KILL".into())), Some(Outcome::Vanished)), "signal");
        assert_eq!((either(None, Some(Outcome::Vanished)), either(None, None)), ("killed", "failure"));
    }
}
