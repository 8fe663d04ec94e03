//! The command line: arguments, commands, progress, output for people and for machines.
//!
//! ```text
//!   run -> clap -> commands/* -> content, sealed, retention
//!                     |  ^ events
//!                     |  +-- progress, logging --> standard error
//!                     +----- render, JSON -------> standard output
//! ```
//!
//! May import everything; nothing imports it. Only here is anything printed, asked, or read from the environment.

mod args;
mod commands;
mod console;
mod context;
mod course;
mod exit;
mod keys;
mod listing;
mod logging;
mod process;
mod progress;
mod prompt;
mod render;
mod reporting;
mod signals;
mod state_dir;
mod telling;
mod trust;
mod unit_status;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use self::args::Global;
use self::commands::Command;
use self::console::Console;
use self::context::Context;
use self::exit::{Exit, explain};
use self::logging::Verbosity;
use self::signals::Interrupt;

/// Fast, small, trustworthy backups: hosts cannot read their own, and whoever keeps them cannot either
#[derive(Debug, Parser)]
#[command(name = "hearth-backup", version, disable_help_subcommand = true, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The command line's definition, for completions and manual pages.
fn definition() -> clap::Command {
    Cli::command()
}

/// Runs the program with these arguments, the first being its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    process::prepare();
    let parsed = definition().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return code.into();
        }
    };
    let verbosity = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let context = Context { global: cli.global, console: Console::default(), interrupt: Interrupt::default(), course: Arc::default() };
    logging::start(&context.console, verbosity);
    let goes_on = cli.command.goes_on();
    let ended = process::guard(|| cli.command.run(&context));
    context.console.set_bar(None);
    let exit = match ended {
        Ok(exit) => exit,
        Err(error) => {
            let exit = Exit::of(&error);
            if context.interrupt.is_set() && exit == Exit::Failed {
                // Ctrl-C also ends what the run has started, such as ssh: what it meets then is no fault.
                let rest = if goes_on { "; what is stored so far is kept, and the next run goes on with it" } else { "" };
                tracing::warn!("stopped on request{rest}");
                tracing::debug!("{}", explain(&error));
            } else if !exit.is_closed_output() {
                tracing::error!("{}", explain(&error));
            }
            exit
        }
    };
    // A run that was asked to stop says so by its code, whatever it met while it stopped.
    let stopped = context.interrupt.exit().filter(|_| exit != Exit::Done);
    stopped.unwrap_or(exit).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        // Checks nothing in a build without debug assertions.
        definition().debug_assert();
    }

    #[test]
    fn no_command_has_two_arguments_of_one_name() {
        fn look(command: &clap::Command) {
            let mut names: Vec<_> = command.get_arguments().map(|argument| argument.get_id().as_str()).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{}: {names:?}", command.get_name());
            command.get_subcommands().for_each(look);
        }
        look(&definition());
    }
}
