//! Deleting many objects, some of which the store may not give up: a bucket with object lock, or a key without the right to delete.

use super::SealedError;
use crate::model::event::{Event, Monitor};
use crate::store::{ObjectName, Store, StoreErrorKind};

/// Most refusals that are told one by one; the others are counted.
const TOLD: usize = 10;

/// Deletes objects; says for each, in their order, whether it is gone. What the store refuses stays, which is told, for a later run
/// to try again.
///
/// # Errors
/// If the store fails in another way; some may be gone then.
pub(crate) fn remove_all(store: &dyn Store, names: &[ObjectName], monitor: &dyn Monitor) -> Result<Vec<bool>, SealedError> {
    let mut gone = Vec::with_capacity(names.len());
    let mut refused = 0;
    for (name, result) in names.iter().zip(store.delete_many(names)) {
        match result {
            Ok(()) => gone.push(true),
            Err(error) if error.kind == StoreErrorKind::Refused => {
                refused += 1;
                if refused <= TOLD {
                    let message = format!("{error}. It is of no more use and stays; the next run tries again");
                    monitor.event(Event::warning(name.to_string(), message));
                }
                gone.push(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if refused > TOLD {
        let message = format!("refuses to delete {} more objects that are of no more use; the next run tries again", refused - TOLD);
        monitor.event(Event::warning(store.location(), message));
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::event::{Collect, Severity};
    use crate::store::layer::fault::{FaultStore, Moment};
    use crate::store::{Folder, MemoryStore};

    fn names(folder: Folder, count: usize) -> Vec<ObjectName> {
        (0..count).map(|number| ObjectName::new(folder, format!("a{number:03}")).unwrap()).collect()
    }

    #[test]
    fn what_is_refused_stays_and_is_told_without_end_only_in_sum() {
        let memory = MemoryStore::new();
        let store = FaultStore::new(Arc::new(memory.clone()));
        let all = [names(Folder::Maps, 14), names(Folder::Refs, 2)].concat();
        for name in &all {
            memory.put_new(name, b"x").unwrap();
        }
        store.lock(Folder::Maps);
        let heard = Collect::default();
        let gone = remove_all(&store, &all, &heard).unwrap();
        assert_eq!(gone, [vec![false; 14], vec![true; 2]].concat());
        assert_eq!((memory.list(Folder::Maps).unwrap().len(), memory.list(Folder::Refs).unwrap().len()), (14, 0));
        let told = heard.findings(Severity::Warning);
        assert_eq!(told.len(), 11, "{told:?}");
        assert!(told[0].contains("maps/a000") && told[10].contains("4 more"), "{told:?}");
    }

    #[test]
    fn other_failures_are_errors() {
        let store = FaultStore::new(Arc::new(MemoryStore::new()));
        store.fail_change(1, Moment::Before);
        remove_all(&store, &names(Folder::Maps, 2), &Collect::default()).unwrap_err();
    }
}
