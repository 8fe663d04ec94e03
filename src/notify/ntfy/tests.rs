//! Against a small server of our own; tests/notify_receivers.rs has a real one.

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use super::*;
use crate::model::event::{Collect, Severity};
use crate::notify::http::tests::Server;
use crate::notify::receiver::tests::{message, patient};
use crate::notify::receiver::{Told, Tries, tell};

fn topic(url: &str, token: Option<&std::path::Path>) -> Topic {
    let token_file = token.map(|path| path.to_str().unwrap().parse().unwrap());
    let table = serde_json::json!({ "url": url, "topic": "backups", "priority": 5, "tags": ["rex"] });
    let ntfy = Ntfy { token_file, ..serde_json::from_value(table).unwrap() };
    Topic::new(&ntfy, &Credentials { directory: None, service: "hearth-backup-notify".into() })
}

/// Tells a topic; what became of it, how long was waited, and what was said.
fn told(topic: Topic, time: Duration) -> (Told, Vec<Duration>, String) {
    let waited = Mutex::new(Vec::new());
    let wait = |pause| waited.lock().unwrap().push(pause);
    let tries = Tries { time, ..patient(&wait) };
    let heard = Collect::default();
    let told = tell(&[(Arc::new(topic), Arc::new(message()))], &tries, &heard).remove(0);
    (told, waited.into_inner().unwrap(), heard.findings(Severity::Info).join("\n"))
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_topic_gets_the_text_with_title_priority_tags_and_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "tk_secret\n").unwrap();
    let server = Server::answering(&["200 OK"]);
    let (told, waited, said) = told(topic(&server.url, Some(&token)), MINUTE);
    assert_eq!((told.trouble, waited), (None, vec![]));
    assert_eq!(told.receiver, format!("ntfy {}/backups", server.url));
    assert!(!said.contains("tk_secret"));
    let asked = server.asked.join().unwrap().remove(0);
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    let head: Vec<String> = head.lines().map(str::to_lowercase).collect();
    assert_eq!(head[0], "post /backups http/1.1");
    for line in ["title: rex: backup state failed", "priority: 5", "tags: rotating_light,rex", "authorization: bearer tk_secret"] {
        assert!(head.iter().any(|found| found == line), "{line} in {head:?}");
    }
    assert_eq!(body, message().text(LONGEST));
}

#[test]
fn a_fault_of_the_server_is_tried_again_and_a_refusal_is_not() {
    let server = Server::answering(&["500 Internal Server Error", "429 Too Many Requests", "200 OK"]);
    let (told_then, waited, said) = told(topic(&server.url, None), MINUTE);
    assert_eq!((told_then.trouble, waited.len()), (None, 2));
    assert!(said.contains("the server answered 500 Internal Server Error: why it is so; it is tried again in 2 seconds"), "{said}");
    assert_eq!(server.asked.join().unwrap().len(), 3);
    for (answers, expected) in [
        (&["403 Forbidden"], "the server answered 403 Forbidden: why it is so"),
        (&["301 Moved Permanently\nLocation: https://other.example/backups"], "is at https://other.example/backups; write that"),
    ] {
        let server = Server::answering(answers);
        let (told, waited, _) = told(topic(&server.url, None), MINUTE);
        assert!(matches!(&told.trouble, Some(Trouble::Lasting(why)) if why.contains(expected)), "{told:?}");
        assert_eq!((waited.len(), server.asked.join().unwrap().len()), (0, 1));
    }
}

#[test]
fn a_server_that_is_not_there_and_one_that_says_nothing_are_given_up() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (refused, waited, _) = told(topic(&format!("http://{free}"), None), MINUTE);
    assert!(matches!(&refused.trouble, Some(Trouble::Passing(_))), "{refused:?}");
    assert_eq!(waited.len(), 3);
    // It takes connections, as the kernel does for it, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    let (late, _, _) = told(topic(&format!("http://{}", silent.local_addr().unwrap()), None), Duration::from_millis(200));
    assert!(matches!(&late.trouble, Some(Trouble::Passing(why)) if why.contains("timeout")), "{late:?}");
    assert!(begun.elapsed() < MINUTE);
}

#[test]
fn what_is_less_urgent_is_told_less_loudly() {
    let server = Server::answering(&["200 OK"; 5]);
    for occasion in Occasion::ALL {
        topic(&server.url, None).tell(&Message { occasion, ..message() }, MINUTE).unwrap();
    }
    let heads: Vec<String> = server.asked.join().unwrap().into_iter().map(|asked| asked.to_lowercase()).collect();
    let value = |head: &String, name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let priorities: Vec<String> = heads.iter().map(|head| value(head, "priority: ")).collect();
    assert_eq!(priorities, ["2", "2", "3", "5", "3"]);
    assert_eq!((value(&heads[1], "tags: "), value(&heads[4], "tags: ")), ("white_check_mark,rex".into(), "green_heart,rex".into()));
}

#[test]
fn a_token_that_cannot_be_used_is_told_without_showing_it() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret\r\nX-Other: 1").unwrap();
    let trouble = topic("http://127.0.0.1:9", Some(&token)).tell(&message(), MINUTE).unwrap_err().to_string();
    assert!(trouble.contains("the token in") && !trouble.contains("secret"), "{trouble}");
}

#[test]
fn a_title_that_is_not_plain_is_encoded() {
    assert_eq!(header("rex: backup state failed"), "rex: backup state failed");
    assert_eq!(header("häuschen"), "=?UTF-8?B?aMOkdXNjaGVu?=");
    assert_eq!(header("two\r\nlines"), "=?UTF-8?B?dHdvDQpsaW5lcw==?=");
}

#[test]
fn a_server_is_spoken_to_through_tls_if_its_url_says_so() {
    // It speaks no TLS, but what it was asked shows that we do.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = thread::spawn(move || {
        let mut start = [0; 3];
        listener.accept().unwrap().0.read_exact(&mut start).unwrap();
        start
    });
    let error = topic(&format!("https://{address}"), None).tell(&message(), MINUTE).unwrap_err();
    assert!(matches!(error, Trouble::Passing(_)), "{error}");
    assert_eq!(asked.join().unwrap()[..2], [22, 3], "a record of a TLS handshake");
}
