//! What a server may say that no server should: its answers are bounded and checked before anything relies on them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod bucket;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use hearth_backup::store::{Folder, Store as _};

/// Answers every request with these bytes, over and over if they shall not end.
fn server(body: String, endless: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            for line in BufReader::new(&connection).lines() {
                if line.is_ok_and(|line| line.is_empty()) {
                    break;
                }
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n";
            let mut said = connection.write_all(head.as_bytes());
            while said.is_ok() {
                said = connection.write_all(body.as_bytes());
                if !endless {
                    break;
                }
            }
        }
    });
    address
}

/// A whole listing of these keys.
fn listing(keys: &[&str]) -> String {
    let mut text = format!("<ListBucketResult><KeyCount>{}</KeyCount><IsTruncated>false</IsTruncated>", keys.len());
    for key in keys {
        let about = "<Size>1</Size><ETag>x</ETag><LastModified>2026-01-01T00:00:00Z</LastModified>";
        let _ = write!(text, "<Contents><Key>{key}</Key>{about}</Contents>");
    }
    text + "</ListBucketResult>"
}

fn refusal(body: String, endless: bool) -> String {
    let store = bucket::store(&bucket::location(server(body, endless), "home"));
    store.list(Folder::Index).unwrap_err().to_string()
}

#[test]
fn an_answer_without_end_is_not_read_to_the_end_of_memory() {
    let error = refusal("<!-- -->".repeat(8192), true);
    assert!(error.contains("the server's answer is longer than 67108864 bytes"), "{error}");
}

#[test]
fn names_in_another_order_are_refused() {
    let error = refusal(listing(&["home/index/b", "home/index/a"]), false);
    assert!(error.contains("lists names out of order: `index/a` behind `index/b`"), "{error}");
}

#[test]
fn a_name_twice_is_refused() {
    let error = refusal(listing(&["home/index/b", "home/index/b"]), false);
    assert!(error.contains("out of order"), "{error}");
}

#[test]
fn names_that_nobody_asked_for_are_no_objects() {
    let keys = ["home/index/../packs/a", "home/index//a", "home/index/a%2fb", "home/indexes/a", "home/packs/ab"];
    for key in keys {
        let store = bucket::store(&bucket::location(server(listing(&[key]), false), "home"));
        let found = store.list(Folder::Index);
        assert!(found.as_ref().is_ok_and(Vec::is_empty), "{key}: {found:?}");
    }
}

#[test]
fn names_outside_of_the_prefix_are_refused() {
    for key in ["a", "ho", "home", "évil/index/a", "evil/index/a", "/x", "homely/index/a"] {
        let error = refusal(listing(&[key]), false);
        let told = key.trim_start_matches('/');
        assert!(error.contains(&format!("the server lists `{told}`, where it was asked for what begins with `home/`")), "{key}: {error}");
        let store = bucket::store(&bucket::location(server(listing(&[key]), false), "home"));
        assert!(store.list_folders(&[Folder::Index, Folder::Packs]).is_err(), "{key}");
        assert!(store.unknown_folders().is_err(), "{key}");
    }
}
