//! Walks a snapshot's trees and looks every chunk up.

use std::collections::{BTreeSet, HashSet};

use super::{DataReport, Problem};
use crate::content::ContentError;
use crate::content::browse::{OpenSnapshot, Step, TreeWalk};
use crate::content::tree;
use crate::content::vault::Vault;
use crate::model::entry::{Element, Kind};
use crate::model::id::BlockId;
use crate::sealed::snapshots::Snapshot;

pub(super) fn walk(vault: &Vault, snapshot: &Snapshot, bad: &HashSet<BlockId>, report: &mut DataReport) -> Result<(), ContentError> {
    let open = match OpenSnapshot::open(vault, snapshot) {
        Ok(open) => open,
        Err(error) => {
            report.problems.push(problem(snapshot, format!("snapshots/{}", snapshot.id), error.to_string()));
            return Ok(());
        }
    };
    let mut reader = open.reader()?;
    let mut lists = open.reader()?;
    let mut walk = TreeWalk::new(&mut reader, &open.payload.root);
    while let Some(step) = walk.step() {
        match step {
            Step::Entry(entry) => {
                let Kind::File { content, .. } = &entry.kind else { continue };
                report.files += 1;
                let mut lost = 0_u64;
                let looked = tree::walk_elements(content, &mut lists, &mut |element| {
                    if let Element::Chunk { id, .. } = element {
                        let good = |place: crate::content::vault::ChunkPlace| {
                            open.map.block_id(place.block).is_some_and(|block| !bad.contains(&block))
                        };
                        lost += u64::from(!open.map.find(id).any(good));
                    }
                    Ok(())
                });
                let what = match looked {
                    Err(error) => Some(format!("its list of chunks is lost: {error}")),
                    Ok(()) if lost > 0 => Some(format!("{lost} of its chunks are lost")),
                    Ok(()) => None,
                };
                if let Some(what) = what {
                    let path = String::from_utf8_lossy(walk.path()).into_owned();
                    report.problems.push(problem(snapshot, path, what));
                }
            }
            Step::Damaged(error) => {
                let path = String::from_utf8_lossy(walk.path()).into_owned();
                report.problems.push(problem(snapshot, format!("{path}/"), format!("part of its listing is lost: {error}")));
            }
            Step::Enter(_) | Step::Leave => {}
        }
    }
    Ok(())
}

fn problem(snapshot: &Snapshot, subject: String, what: String) -> Problem {
    Problem { subject, what, snapshots: BTreeSet::from([snapshot.id.short()]) }
}
