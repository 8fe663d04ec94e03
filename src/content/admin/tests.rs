use std::sync::Arc;

use age::x25519::Identity;

use super::*;
use crate::content::keys::WriterKey;
use crate::sealed::SealedError;
use crate::store::layer::{FaultStore, Moment};
use crate::store::{MemoryStore, Store};

fn new(recipient: &Identity) -> NewRepository {
    let recipients = vec![KeyRecipient::parse(&recipient.to_public().to_string(), age::NoCallbacks).unwrap()];
    NewRepository::generate(&InitOptions { writer: "host".into(), ..InitOptions::default() }, recipients).unwrap()
}

fn key(identity: &Identity) -> RestoreKey {
    RestoreKey { identities: vec![Box::new(identity.clone())], repository: None, origin: "test".into() }
}

fn publish(new: NewRepository, store: &Arc<dyn Store>) -> Result<(Repository, WriterKey), ContentError> {
    new.publish(Arc::clone(store), &mut |_| Ok(()))
}

/// A repository, and an administrator of it.
fn fixture() -> (Arc<dyn Store>, Identity, Admin) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let identity = Identity::generate();
    let (repository, _) = publish(new(&identity), &store).unwrap();
    let admin = Admin::open(repository, &key(&identity)).unwrap();
    (store, identity, admin)
}

#[test]
fn a_crash_during_init_leaves_no_repository_or_a_whole_one() {
    for n in 1.. {
        for moment in [Moment::Before, Moment::After] {
            let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let faulty = FaultStore::new(Arc::clone(&inner));
            faulty.kill_at_change(n, moment);
            let identity = Identity::generate();
            let attempt = new(&identity);
            let id = attempt.id();
            let store: Arc<dyn Store> = Arc::new(faulty);
            let done = publish(attempt, &store).is_ok();
            match Repository::open(Arc::clone(&inner), &Trust::default()) {
                Ok(repository) => {
                    assert_eq!(repository.id(), id);
                    Admin::open(repository, &key(&identity)).unwrap();
                    let second = publish(new(&identity), &inner).err().unwrap();
                    assert!(second.to_string().contains("holds a repository already"), "{second}");
                }
                Err(SealedError::NoRepository { .. }) => {
                    assert!(!done);
                    let (repository, _) = publish(new(&identity), &inner).unwrap();
                    Admin::open(repository, &key(&identity)).unwrap();
                }
                Err(error) => panic!("change {n}: {error}"),
            }
            if done {
                return;
            }
        }
    }
}

#[test]
fn an_init_that_cannot_keep_its_keys_makes_no_repository() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let failed = new(&Identity::generate()).publish(Arc::clone(&store), &mut |_| Err(ContentError::Other("disk full".into())));
    assert!(failed.is_err());
    assert!(matches!(Repository::open(store, &Trust::default()), Err(SealedError::NoRepository { .. })));
}

#[test]
fn without_recipients_a_restore_key_is_drawn() {
    let new = NewRepository::generate(&InitOptions { writer: "host".into(), ..InitOptions::default() }, Vec::new()).unwrap();
    let text = new.restore_key_text().unwrap();
    assert!(text.contains(&new.id().to_bech32()) && text.contains("AGE-SECRET-KEY-1"));
    let odd = InitOptions { writer: "a\nb".into(), ..InitOptions::default() };
    assert!(NewRepository::generate(&odd, Vec::new()).err().unwrap().to_string().contains("control characters"));
}

#[test]
fn two_administrators_do_not_lose_each_others_statements() {
    let (store, identity, mut first) = fixture();
    let again = Repository::open(Arc::clone(&store), &Trust::default()).unwrap();
    let mut second = Admin::open(again, &key(&identity)).unwrap();
    first.add_writer("one", &mut |_| Ok(())).unwrap();
    second.add_writer("two", &mut |_| Ok(())).unwrap();
    let repository = Repository::open(Arc::clone(&store), &Trust::default()).unwrap();
    let names: Vec<_> = repository.statement().writers.iter().map(|writer| writer.name.as_str()).collect();
    assert_eq!(names, ["host", "one", "two"]);
    assert_eq!(repository.statement().number, 3);
}

#[test]
fn after_a_rotation_by_somebody_else_nothing_is_signed_with_the_old_root_key() {
    let (store, identity, mut first) = fixture();
    let again = Repository::open(Arc::clone(&store), &Trust::default()).unwrap();
    let mut late = Admin::open(again, &key(&identity)).unwrap();
    first.rotate(&mut |entry| KeyRecipient::parse(&entry.recipient, age::NoCallbacks)).unwrap();
    let error = late.add_writer("late", &mut |_| Ok(())).err().unwrap();
    assert!(error.to_string().contains("rotated"), "{error}");
    let repository = Repository::open(Arc::clone(&store), &Trust::default()).unwrap();
    assert_eq!(repository.statement().number, 2);
    let mut admin = Admin::open(repository, &key(&identity)).unwrap();
    admin.add_writer("later", &mut |_| Ok(())).unwrap();
}

#[test]
fn a_crash_during_a_rotation_leaves_the_old_key_or_the_new_one() {
    for n in 1.. {
        for moment in [Moment::Before, Moment::After] {
            let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let identity = Identity::generate();
            publish(new(&identity), &inner).unwrap();
            let faulty = FaultStore::new(Arc::clone(&inner));
            faulty.kill_at_change(n, moment);
            let repository = Repository::open(Arc::new(faulty), &Trust::default()).unwrap();
            let mut admin = Admin::open(repository, &key(&identity)).unwrap();
            let done = admin.rotate(&mut |entry| KeyRecipient::parse(&entry.recipient, age::NoCallbacks)).is_ok();
            let repository = Repository::open(inner, &Trust::default()).unwrap();
            let keys = vault::unlock(&repository, &key(&identity)).unwrap();
            assert_eq!(Some(keys.content_recipient().unwrap().to_string().as_str()), repository.statement().content_recipient());
            if done {
                assert_eq!(keys.identities.len(), 2);
                // Whether the obsolete object could be removed matters to nobody.
                if n > 3 {
                    return;
                }
            }
        }
    }
}

#[test]
fn the_last_recipient_stays() {
    let (_, identity, mut admin) = fixture();
    let entry = admin.find_recipient(&identity.to_public().to_string()).unwrap().clone();
    assert!(admin.remove_recipient(&entry).is_err());
    let other = Identity::generate();
    let added = admin.add_recipient(&KeyRecipient::parse(&other.to_public().to_string(), age::NoCallbacks).unwrap()).unwrap();
    assert_eq!(admin.find_recipient(&added.id.short()).unwrap(), &added);
    admin.remove_recipient(&entry).unwrap();
    let repository = admin.repository().clone();
    assert!(Admin::open(repository.clone(), &key(&identity)).is_err());
    Admin::open(repository, &key(&other)).unwrap();
}

#[test]
fn what_a_newer_program_added_to_a_statement_is_carried_over() {
    let (store, identity, admin) = fixture();
    let repository = admin.repository();
    let mut next = serde_json::to_value(repository.statement()).unwrap();
    next["number"] = 2.into();
    next["previous"] = repository.seen().1.to_string().into();
    for place in ["", "/features", "/writers/0", "/content/0", "/keys/0"] {
        next.pointer_mut(place).unwrap()["later"] = serde_json::json!({ "number": 1.5, "list": [1, "two", null] });
    }
    let text = serde_json::to_vec(&next).unwrap();
    let signature = admin.keys.root.sign(Subject::Statement, &statement::signing_scope(2, &repository.id()), &text);
    store.put_new(&statement::name(2), &statement::encode(&text, &signature)).unwrap();

    let mut admin = Admin::open(Repository::open(store, &Trust::default()).unwrap(), &key(&identity)).unwrap();
    admin.add_writer("laptop", &mut |_| Ok(())).unwrap();
    assert_eq!(admin.repository().statement().number, 3);
    let made = serde_json::to_value(admin.repository().statement()).unwrap();
    for place in ["", "/features", "/writers/0", "/content/0", "/keys/0"] {
        assert_eq!(made.pointer(place).unwrap()["later"], next.pointer(place).unwrap()["later"], "{place}");
    }
}

#[test]
fn writers_are_found_by_name_and_id() {
    let (_, _, mut admin) = fixture();
    let added = admin.add_writer("laptop", &mut |_| Ok(())).unwrap();
    assert_eq!(admin.find_writer("laptop").unwrap().id, added.writer);
    assert_eq!(admin.find_writer(&added.writer.short()).unwrap().id, added.writer);
    assert!(admin.find_writer("nobody").err().unwrap().to_string().contains("laptop"));
    admin.close_writer(&added.writer, None).unwrap();
    assert!(admin.close_writer(&added.writer, None).is_err());
    let renewed = admin.add_writer("laptop", &mut |_| Ok(())).unwrap();
    assert_eq!(admin.find_writer("laptop").unwrap().id, renewed.writer, "the open one is meant");
}
