//! A program that is told: for all that has no receiver of its own.

use std::io;
use std::time::Duration;

use super::message::Message;
use super::program;
use super::receiver::{Receiver, Trouble};

/// Bytes of a text.
const LONGEST: usize = 100_000;

/// A program that takes the text as its standard input.
pub(super) struct Program(Vec<String>);

impl Program {
    /// From the program and its arguments.
    pub(super) fn new(command: &[String]) -> Self {
        Self(command.to_vec())
    }
}

impl Receiver for Program {
    fn kind(&self) -> &'static str {
        "command"
    }

    fn name(&self) -> String {
        // Its arguments may be nobody's business.
        format!("command {}", self.0.first().map_or("", String::as_str))
    }

    fn tell(&self, message: &Message, time: Duration) -> Result<(), Trouble> {
        let mut environment = vec![
            ("HEARTH_EVENT", message.occasion.as_str()),
            ("HEARTH_RESULT", message.result),
            ("HEARTH_HOST", message.host.as_str()),
            ("HEARTH_TITLE", message.title.as_str()),
            ("HEARTH_UNIT", message.unit.as_deref().unwrap_or_default()),
        ];
        environment.extend(message.subject.variable());
        program::run(&self.0, &environment, &message.text(LONGEST), time).map(drop).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Trouble::Lasting(error.to_string()),
            _ => Trouble::Passing(error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::receiver::tests::message;

    #[test]
    fn a_program_gets_the_text_and_knows_what_it_is_about() {
        let folder = tempfile::tempdir().unwrap();
        let heard = folder.path().join("heard");
        let script =
            format!("(echo $HEARTH_JOB $HEARTH_EVENT $HEARTH_RESULT $HEARTH_HOST $HEARTH_UNIT: $HEARTH_TITLE; cat) > {}", heard.display());
        let program = Program::new(&["sh", "-c", &script].map(str::to_owned));
        program.tell(&message(), Duration::from_secs(60)).unwrap();
        let heard = std::fs::read_to_string(heard).unwrap();
        assert_eq!(
            heard,
            format!("state failure failure rex hearth-backup-state.service: rex: backup state failed\n{}", message().text(LONGEST))
        );
        assert_eq!(program.name(), "command sh");
    }

    #[test]
    fn a_program_that_fails_may_be_tried_again_and_one_that_is_not_there_need_not() {
        let tell = |command: &[&str]| {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            Program::new(&command).tell(&message(), Duration::from_secs(60)).unwrap_err()
        };
        assert!(matches!(tell(&["sh", "-c", "echo busy >&2; exit 75"]), Trouble::Passing(why) if why.contains("75: busy")));
        assert!(matches!(tell(&["no-such-program"]), Trouble::Lasting(why) if why.contains("cannot be started")));
    }
}
