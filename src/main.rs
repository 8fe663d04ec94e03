//! The `hearth-backup` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    hearth_backup::cli::run(std::env::args_os())
}
