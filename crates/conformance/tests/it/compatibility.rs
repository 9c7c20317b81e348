//! `docs/compatibility.md` says what the operation enum, the clients' tests and `differences.toml` say. Run with
//! `UPDATE=1` to write it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;
use welkin_storage_wire::operation::{Operation, Service, Spec};

use crate::tested;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
const CLIENTS: &str = include_str!("../../clients.toml");
const DIFFERENCES: &str = include_str!("../../differences.toml");
const INTRODUCTION: &str = "# Operations of the Azure Storage protocol

Every operation of the protocol, whether this server does it, which real clients have done it in the tests, and where
it differs from the documents. One that is not built answers `501 NotImplemented`. This page is written by a test from
the enum of operations (`crates/storage-wire/src/operation/`), from what each client's test saw succeed
(`crates/conformance/tested/`) and from `crates/conformance/differences.toml`:
`UPDATE=1 cargo test -p welkin-conformance --test it`, twice where a client's test saw something new.

The letters are the permissions of a shared access signature (SAS) of which one is needed; `–` means that an account
key is needed.
";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clients {
    client: Vec<Client>,
}

/// A client that somebody else wrote, and its tests here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    name: String,
    what: String,
    tests: Vec<String>,
    cannot: Vec<String>,
}

fn clients() -> Vec<Client> {
    toml::from_str::<Clients>(CLIENTS).unwrap().client
}

fn differences() -> BTreeMap<String, String> {
    toml::from_str(DIFFERENCES).unwrap()
}

/// The names of the clients that do an operation.
fn testers(operation: &str, tested: &[(String, BTreeSet<String>)]) -> String {
    let names: Vec<&str> =
        tested.iter().filter(|(_, seen)| seen.contains(operation)).map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { "–".to_owned() } else { names.join(", ") }
}

fn page() -> String {
    let (clients, differences) = (clients(), differences());
    let tested: Vec<(String, BTreeSet<String>)> = clients
        .iter()
        .map(|client| {
            (client.name.clone(), client.tests.iter().flat_map(|test| tested::listed(test)).collect())
        })
        .collect();
    let mut page = INTRODUCTION.to_owned();
    for (service, title) in [(Service::Blob, "Blob"), (Service::Queue, "Queue"), (Service::Table, "Table")] {
        let specs: Vec<Spec> =
            Operation::all().map(Operation::spec).filter(|spec| spec.service == service).collect();
        let built = specs.iter().filter(|spec| spec.built).count();
        let _ = write!(
            page,
            "\n## {title} service: {built} of {} built\n\n\
             | operation | built | tested by | account SAS | service SAS | difference |\n|---|---|---|---|---|---|\n",
            specs.len()
        );
        for spec in specs {
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} |",
                spec.name,
                if spec.built { "yes" } else { "no" },
                testers(spec.name, &tested),
                letters(spec.account_sas),
                letters(spec.service_sas),
                differences.get(spec.name).map_or("", String::as_str)
            );
        }
    }
    page + &about(&clients)
}

/// Who the clients are, and what they cannot do.
fn about(clients: &[Client]) -> String {
    let mut text = "\n## Clients\n".to_owned();
    for client in clients {
        let _ = write!(text, "\n**{}**: {}.", client.name, client.what);
        text.push_str(if client.cannot.is_empty() { "\n" } else { " What it cannot do here:\n\n" });
        for what in &client.cannot {
            let _ = writeln!(text, "* {what}");
        }
    }
    text
}

fn letters(text: &str) -> String {
    match text {
        "" => "–".to_owned(),
        text => text.chars().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn page_says_what_the_enum_says() {
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(Path::new(PAGE), &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/compatibility.md is out of date: run this test with UPDATE=1");
}

#[test]
fn names_are_told_apart() {
    let mut names: Vec<&str> = Operation::all().map(|operation| operation.spec().name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// What the page is made of names operations that are there, and every list of a test belongs to a client.
#[test]
fn lists_name_built_operations() {
    let built: BTreeSet<&str> =
        Operation::all().map(Operation::spec).filter(|spec| spec.built).map(|spec| spec.name).collect();
    for name in differences().keys() {
        assert!(built.contains(name.as_str()), "differences.toml: {name} is not built");
    }
    let tests: BTreeSet<String> = clients().into_iter().flat_map(|client| client.tests).collect();
    for entry in std::fs::read_dir(tested::FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let test = name.strip_suffix(".txt").unwrap_or(&name);
        assert!(tests.contains(test), "clients.toml: no client has the test {test}");
        for operation in tested::listed(test) {
            assert!(built.contains(operation.as_str()), "{name}: {operation} is not built");
        }
    }
}
