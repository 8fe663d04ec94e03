//! How a run ended, from what systemd tells the unit that it starts through `OnFailure=`.
//!
//! Source: systemd.exec(5), "Environment Variables Set or Propagated by the Service Manager": `$MONITOR_SERVICE_RESULT`, `$MONITOR_EXIT_CODE`,
//! `$MONITOR_EXIT_STATUS`, `$MONITOR_INVOCATION_ID` and `$MONITOR_UNIT`, since systemd 251. They are missing if several units failed at once.

use std::fmt;

/// Exit status of a run that has made a snapshot, but not of everything.
const INCOMPLETE: i32 = 3;
/// Exit statuses by which systemd says that it did not get so far as to run the program.
const NOT_RUN: std::ops::RangeInclusive<i32> = 200..=243;
/// What shells, and we, add to the number of a signal.
const SIGNALLED: i32 = 128;

/// A run that failed, as far as systemd tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// The unit that ran it.
    pub unit: Option<String>,
    /// Which of the unit's runs it was: 32 hexadecimal digits.
    pub invocation: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Outcome {
    /// With a snapshot from which something is missing.
    Incomplete,
    /// With status 1, or nobody knows how.
    #[default]
    Failed,
    /// With another status.
    Status(i32),
    /// By a signal of this name or number.
    Signal(String),
    /// It took too long.
    Timeout,
    /// There was no memory left.
    Memory,
    /// In another way, in a word of systemd.
    Other(String),
}

impl Failure {
    /// From the variables in the environment, of which `variable` gives the values.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(&format!("MONITOR_{name}")).filter(|value| !value.is_empty());
        let hexadecimal = |id: &String| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        Self {
            unit: variable("UNIT"),
            invocation: variable("INVOCATION_ID").filter(hexadecimal),
            outcome: Outcome::of(variable("SERVICE_RESULT").as_deref(), variable("EXIT_STATUS")),
        }
    }
}

impl Outcome {
    /// From `$MONITOR_SERVICE_RESULT` and `$MONITOR_EXIT_STATUS`, the latter a number or the name of a signal.
    fn of(result: Option<&str>, status: Option<String>) -> Self {
        let number = status.as_ref().and_then(|status| status.parse::<i32>().ok());
        match (result, number) {
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

    /// One word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Incomplete => "incomplete",
            Outcome::Failed | Outcome::Status(_) | Outcome::Other(_) => "failure",
            Outcome::Signal(_) => "signal",
            Outcome::Timeout => "timeout",
            Outcome::Memory => "oom",
        }
    }
}

/// What the run did, for people, after its name.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Incomplete => f.write_str("finished, but something could not be read"),
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

    fn failure(variables: &[(&str, &str)]) -> Failure {
        Failure::from_variables(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn what_systemd_says_becomes_words() {
        for (result, status, word, words) in [
            ("exit-code", "3", "incomplete", "finished, but something could not be read"),
            ("exit-code", "1", "failure", "failed"),
            ("exit-code", "2", "failure", "failed with exit status 2"),
            ("exit-code", "143", "signal", "was ended by signal TERM"),
            ("exit-code", "226", "failure", "could not be started by systemd (exit status 226)"),
            ("signal", "KILL", "signal", "was ended by signal KILL"),
            ("core-dump", "SEGV", "signal", "was ended by signal SEGV"),
            ("timeout", "TERM", "timeout", "took longer than its unit allows and was ended"),
            ("oom-kill", "KILL", "oom", "was ended because memory ran out"),
            ("start-limit-hit", "", "failure", "failed (systemd says: start-limit-hit)"),
            ("", "", "failure", "failed"),
        ] {
            let outcome = failure(&[("MONITOR_SERVICE_RESULT", result), ("MONITOR_EXIT_STATUS", status)]).outcome;
            assert_eq!((outcome.word(), outcome.to_string().as_str()), (word, words), "{result} {status}");
        }
    }

    #[test]
    fn an_invocation_that_is_none_is_not_asked_for() {
        let id = "0123456789abcdef0123456789abcdef";
        let with = |id: &str| failure(&[("MONITOR_INVOCATION_ID", id), ("MONITOR_UNIT", "x.service")]).invocation;
        assert_eq!(with(id).as_deref(), Some(id));
        assert_eq!((with("--all"), with("")), (None, None));
        assert_eq!(failure(&[]), Failure::default());
    }
}
