//! The description of the hub's protocol for programs is that of the protocol's text, of the code, and of what a hub answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod hub;
#[path = "hub/raw.rs"]
mod raw;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hearth_backup::hub::Role;
use hearth_backup::store::Folder;
use hearth_backup::store::hub::protocol::Reason;
use hub::Server;
use raw::ask;
use serde_json::Value;

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

fn description() -> Value {
    serde_json::from_str(&document("hub-openapi.json")).unwrap()
}

fn strings(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

const METHODS: [&str; 7] = ["get", "head", "put", "post", "delete", "patch", "options"];

/// Method and path of every operation.
fn operations(description: &Value) -> BTreeSet<(String, String)> {
    let paths = description["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        let methods: Vec<_> = METHODS.into_iter().filter(|method| item.get(method).is_some()).map(str::to_uppercase).collect();
        methods.into_iter().map(|method| (method, path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// Each row of a table of the protocol that begins with a request.
fn requests() -> BTreeSet<(String, String)> {
    let text = document("hub-protocol.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()?.split_once(' '));
    let requests = rows.filter(|(method, _)| METHODS.contains(&method.to_lowercase().as_str()));
    let paths = requests.flat_map(|(method, path)| {
        let path = path.split('?').next().unwrap().replace("NAME", "{repository}").replace("/ID", "/{order}");
        // A pack lies a folder deeper.
        let all = match path.strip_suffix("/PATH") {
            Some(before) => vec![format!("{before}/{{folder}}/{{name}}"), format!("{before}/packs/{{shard}}/{{pack}}")],
            None => vec![path],
        };
        all.into_iter().map(move |path| (method.to_owned(), path))
    });
    paths.collect()
}

#[test]
fn requests_are_those_of_the_protocols_text() {
    assert_eq!(operations(&description()), requests());
}

#[test]
fn reasons_and_their_statuses_are_those_of_the_text_and_of_the_code() {
    let description = description();
    let coded: BTreeSet<_> = Reason::ALL.into_iter().map(Reason::word).collect();
    assert_eq!(strings(&description["components"]["schemas"]["Reason"]["enum"]), coded);
    // Where each operation has a status, and each status its reasons.
    let mut described = BTreeMap::new();
    for item in description["paths"].as_object().unwrap().values() {
        let answers = METHODS.into_iter().filter_map(|method| item.get(method)?["responses"].as_object());
        for (status, answer) in answers.flatten().filter(|(status, _)| !status.starts_with('2')) {
            let name = answer["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let examples = &description["components"]["responses"][name]["content"]["application/json"]["examples"];
            described.extend(examples.as_object().unwrap().keys().map(|reason| (reason.clone(), status.clone())));
        }
    }
    let text = document("hub-protocol.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | `"));
    let written: BTreeMap<_, _> = rows
        .filter(|(status, _)| status.parse::<u16>().is_ok())
        .map(|(status, rest)| (rest.split('`').next().unwrap().to_owned(), status.to_owned()))
        .collect();
    // One status that no path has alone: what knows no other method.
    described.insert("method".to_owned(), "405".to_owned());
    assert_eq!(described, written);
    assert_eq!(written.keys().cloned().collect::<BTreeSet<_>>(), coded);
}

#[test]
fn folders_are_those_of_the_code() {
    let components = &description()["components"];
    let all: BTreeSet<_> = Folder::ALL.into_iter().map(|folder| folder.as_str().to_owned()).collect();
    assert_eq!(strings(&components["schemas"]["Folder"]["enum"]), all);
    let without_packs = all.into_iter().filter(|name| name != "packs").collect();
    assert_eq!(strings(&components["parameters"]["folder"]["schema"]["enum"]), without_packs);
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| match value.as_str().filter(|_| key == "$ref") {
                Some(reference) => found.push(reference),
                None => walk(value, found),
            }),
            Value::Array(list) => list.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let (description, mut found) = (description(), Vec::new());
    walk(&description, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        assert!(description.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[test]
fn a_hub_knows_every_operation_and_no_other_method() {
    let server = Server::start();
    let token = format!("Authorization: Bearer {}\r\n", server.token("admin", Role::Maintainer, "nas"));
    let description = description();
    let operations = operations(&description);
    for path in description["paths"].as_object().unwrap().keys() {
        let real = path.replace("{repository}", "nas").replace("{folder}/{name}", "index/ab");
        let real = real.replace("{order}", "none");
        let real = real.replace("{shard}/{pack}", &format!("ab/ab{}", "01".repeat(31)));
        let known: Vec<_> = METHODS
            .iter()
            .map(|method| method.to_uppercase())
            .filter(|method| operations.contains(&(method.clone(), path.clone())))
            .collect();
        // HEAD is known wherever GET is, and answered without a body; OPTIONS is asked by browsers, which are no clients of this.
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let (status, answer) = ask(&server.base, &format!("{method} {real}"), &format!("{token}Content-Length: 0\r\n"), "");
            let (reason, stated) = (answer["error"].as_str().unwrap_or_default(), known.iter().any(|one| one == method));
            assert_eq!(reason == "method" && status == 405, !stated, "{method} {real}: {status} {answer}");
            assert!(!answer["message"].as_str().unwrap_or_default().contains("nothing is there"), "{method} {real}");
            let operation = &description["paths"][path][method.to_lowercase()]["responses"];
            assert!(!stated || operation.get(status.to_string()).is_some(), "{method} {real} answered {status}, which is not described");
        }
    }
}

#[test]
fn everybody_may_read_the_description() {
    let server = Server::start();
    assert_eq!(ask(&server.base, "GET /openapi.json", "", ""), (200, description()));
}
