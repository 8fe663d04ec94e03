//! Orders: what a hub asks a host to run, and what the host says of it (`docs/hub-protocol.md`, "Orders").
//!
//! ```text
//!   asked --> taken --> running --> succeeded | warnings | failed
//!     |        |
//!     |        +--> refused     the host may not, or cannot, run that job
//!     +-----------> expired     nobody took it
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Letters of a message that are kept.
pub const LONGEST_MESSAGE: usize = 1000;
/// Letters of a text about progress that are kept.
pub const LONGEST_PROGRESS: usize = 200;
/// How often a stream of orders says that it is alive, in seconds.
pub const PULSE: u64 = 20;
/// How long somebody may wait for news of an order by one request, in seconds.
pub const LONGEST_WAIT: u64 = 60;

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Nobody has taken it yet.
    Asked,
    /// The host's agent has it.
    Taken,
    /// The job runs.
    Running,
    /// It ran and all is saved.
    Succeeded,
    /// It ran, and something is worth a look.
    Warnings,
    /// It could not be started, or failed.
    Failed,
    /// The host does not let the hub start that job.
    Refused,
    /// Nobody took it in time, or nothing was heard of it any more.
    Expired,
}

impl OrderState {
    /// Whether nothing more comes of it.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Asked | Self::Taken | Self::Running => false,
            Self::Succeeded | Self::Warnings | Self::Failed | Self::Refused | Self::Expired => true,
        }
    }
}

/// How far a run has come, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderProgress {
    /// For people.
    pub text: String,
    /// From 0 to 100, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

/// A run that somebody asked a host for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Names it among those of its host; later ones sort behind earlier ones.
    pub id: String,
    /// The host.
    pub host: String,
    /// Its job.
    pub job: String,
    /// Whose token asked for it.
    pub asked_by: String,
    /// When.
    pub asked: Timestamp,
    /// How far it is.
    pub state: OrderState,
    /// When the host took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Timestamp>,
    /// What is to be said of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<OrderProgress>,
    /// Which run it is: the invocation id of its systemd unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When any of this changed.
    pub changed: Timestamp,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The host.
    pub host: String,
    /// Its job.
    pub job: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The order.
    pub order: Order,
    /// Whether the host's agent is connected to the hub now.
    pub connected: bool,
}

/// What a host says of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct News {
    /// How far it is.
    pub state: OrderState,
    /// What is to be said of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<OrderProgress>,
    /// Which run it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl News {
    /// Only a state.
    pub fn of(state: OrderState) -> Self {
        Self { state, message: None, progress: None, run: None }
    }

    /// With words.
    #[must_use]
    pub fn saying(self, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..self }
    }
}

/// A line of the stream that a host's agent reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OrderLine {
    /// One to be run, or that ran when the agent was last connected.
    Order {
        /// The order.
        order: Box<Order>,
    },
    /// The hub is there.
    Alive {
        /// Always true.
        alive: bool,
    },
    /// The hub ends the stream, and there is no hurry to come again.
    Ended {
        /// Why.
        ended: String,
    },
}

/// Text of others as it may be shown: without what moves a terminal's cursor, and of bounded length.
pub fn plain(text: &str, longest: usize) -> String {
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    let text: String = text.trim().chars().map(shown).take(longest).collect();
    text.trim_end().to_owned()
}

/// Whether a job may be called so, as the configuration has it.
pub fn is_job(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(letter) && !name.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_stream_are_told_apart() {
        assert_eq!(serde_json::from_str::<OrderLine>(r#"{"alive":true}"#).unwrap(), OrderLine::Alive { alive: true });
        assert!(matches!(serde_json::from_str(r#"{"ended":"x"}"#), Ok(OrderLine::Ended { .. })));
        let order = r#"{"order":{"id":"1","host":"nas","job":"state","asked_by":"me","asked":"2026-01-01T00:00:00Z","state":"asked","changed":"2026-01-01T00:00:00Z","later":1}}"#;
        assert!(matches!(serde_json::from_str(order), Ok(OrderLine::Order { order }) if order.state == OrderState::Asked));
    }

    #[test]
    fn names_of_jobs_lead_nowhere_else() {
        assert!(["state", "State_2.a-b", "7"].iter().all(|name| is_job(name)));
        assert!(!["", ".", "..", "-x", "a/b", "a b", "a\n", "ä", "a@b", &"a".repeat(65)].iter().any(|name| is_job(name)));
    }

    #[test]
    fn what_others_say_is_shown_without_moving_the_cursor() {
        assert_eq!(plain(" a\u{1b}[2Jb\nc ", 100), "a [2Jb c");
        assert_eq!(plain("abc def", 4), "abc");
    }
}
