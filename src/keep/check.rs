//! Checking without a restore key.

use super::KeepError;
use crate::model::event::Monitor;
use crate::sealed::repository::Repository;
use crate::sealed::verify::{self, Report, Share, verify};

/// Looks whether all is there that the snapshots need, and reads a share of the packs.
///
/// # Errors
/// As [`verify`], or if the run is asked to stop.
pub fn check(repository: &Repository, read_packs: Option<Share>, monitor: &dyn Monitor) -> Result<Report, KeepError> {
    let report = verify(repository, &verify::Options { read_packs }, monitor)?;
    if report.cancelled { Err(KeepError::Stopped("the check is not complete")) } else { Ok(report) }
}
