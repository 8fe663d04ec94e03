//! Checking without a restore key.

use crate::job::JobError;
use crate::model::event::Monitor;
use crate::sealed::repository::Repository;
use crate::sealed::verify::{self, Report, verify};

/// Looks whether all is there that the snapshots need, and reads so many percent of the packs, others every day.
///
/// # Errors
/// As [`verify`], or if the run is asked to stop.
pub fn check(repository: &Repository, read_packs: Option<u8>, monitor: &dyn Monitor) -> Result<Report, JobError> {
    let report = verify(repository, &verify::Options { read_packs }, monitor)?;
    if report.cancelled { Err(JobError::Stopped("the check is not complete")) } else { Ok(report) }
}
